/* SPDX-License-Identifier: BSD-2-Clause */
/* anonshim doctor: what works here, and what mends what does not. */
#include <getopt.h>
#include <stdio.h>

#include "tool/cmds.h"
#include "tool/doctor.h"

static const struct doctor_check checks[] = {
	{"kernel", "kernel", doctor_kernel},
	{"shim", "shim", doctor_shim},
	{"preload", "LD_PRELOAD", doctor_preload},
	{"vma_names", "names of VMAs", doctor_vma_names},
	{"smaps", "smaps", doctor_smaps},
	{"pagemap", "pagemap", doctor_pagemap},
	{"procmap_query", "PROCMAP_QUERY", doctor_procmap_query},
	{"own_children", "own children", doctor_own_children},
	{"other_processes", "other processes", doctor_other_processes},
	{"userfaultfd", "userfaultfd", doctor_userfaultfd},
	{"max_map_count", "max_map_count", doctor_max_map_count},
};

#define CHECKS (sizeof(checks) / sizeof(checks[0]))

static const struct option options[] = {
	{"json", no_argument, NULL, 'j'},
	{"self-check", no_argument, NULL, 's'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int examine(bool json)
{
	struct doctor_result results[CHECKS];
	int status = CLI_OK;

	for (size_t i = 0; i < CHECKS; i++) {
		checks[i].probe(&results[i]);
		if (results[i].state == DOCTOR_FAILED)
			status = CLI_FAILED;
	}
	if (json)
		doctor_print_json(checks, results, CHECKS);
	else
		doctor_print(checks, results, CHECKS);
	return cli_finish(status);
}

static int doctor_main(const struct command *self, int argc, char **argv)
{
	bool json = false;
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 'j')
			json = true;
		else if (c == 's')
			return doctor_self_check();
		else if (c == 'h') {
			cli_help(self);
			return cli_finish(CLI_OK);
		} else
			return cli_usage(self, "there is no option %s",
					 argv[optind - 1]);
	}
	if (optind < argc)
		return cli_usage(self, "%s is one argument too many",
				 argv[optind]);
	return examine(json);
}

const struct command cmd_doctor = {
	.name = "doctor",
	.usage = "[--json]",
	.summary = "What works here, the one line that mends what does not, "
		   "and all options.",
	.help = "  --json  for programs\n"
		"\n"
		"Exit status 0 if anonshim works here, also if some things "
		"are limited.\n",
	.main = doctor_main,
};
