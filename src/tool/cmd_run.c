/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * anonshim run: starts a command under the shim.  The command takes this
 * process's place, so that PID and exit status are its own.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/cmds.h"
#include "tool/mem.h"
#include "tool/shim_path.h"
#include "tool/target.h"

static const struct option options[] = {
	{"option", required_argument, NULL, 'o'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* Appends ",word" to a list that starts empty. */
static char *append(char *list, const char *word)
{
	size_t used = strlen(list);

	list = mem_realloc(list, used + strlen(word) + 2, 1);
	sprintf(list + used, "%s%s", used > 0 ? "," : "", word);
	return list;
}

/* The environment with the shim in it: CLI_OK or CLI_RUN_FAILED. */
static int prepare(const char *shim_options)
{
	char shim[PATH_MAX];

	if (shim_path_find(shim, sizeof(shim)) != 0) {
		cli_fail("find", "libanonshim.so", ENOENT,
			 "it must be beside anonshim or in ../lib from there; "
			 "install both");
		return CLI_RUN_FAILED;
	}
	if (shim_path_splits(shim)) {
		cli_fail("preload", shim, EINVAL,
			 "LD_PRELOAD takes the blank or colon in this path "
			 "for a separator; install anonshim elsewhere");
		return CLI_RUN_FAILED;
	}
	shim_path_preload(shim, shim_options);
	return CLI_OK;
}

static int fail_exec(const char *command, int error)
{
	if (error == ENOENT) {
		cli_fail("run", command, error, "check its name and PATH");
		return CLI_NOT_FOUND;
	}
	cli_fail("run", command, error, NULL);
	return CLI_NOT_EXECUTABLE;
}

static int run(char **command, const char *shim_options)
{
	struct target target;
	int status = target_find(&target, command[0]);

	if (status != 0)
		return fail_exec(command[0], -status);
	if (target.fit == TARGET_FITS)
		status = prepare(shim_options);
	else
		cli_note("the shim cannot be loaded into %s: %s; it runs "
			 "without",
			 target.path, target.why);
	if (status != CLI_OK)
		return status;
	execvp(command[0], command);
	return fail_exec(command[0], errno);
}

static int run_main(const struct command *self, int argc, char **argv)
{
	char *shim_options = mem_strdup("");
	int c, status;

	optind = 1;
	while ((c = getopt_long(argc, argv, "+:o:", options, NULL)) != -1) {
		if (c == 'h') {
			cli_help(self);
			return cli_finish(CLI_OK);
		}
		if (c == ':')
			return cli_usage(self, "%s takes key=value",
					 argv[optind - 1]);
		if (c == '?')
			return cli_usage(self, "there is no option %s",
					 argv[optind - 1]);
		if (strchr(optarg, '=') == NULL || optarg[0] == '=')
			return cli_usage(self, "-o takes key=value, not %s",
					 optarg);
		shim_options = append(shim_options, optarg);
	}
	if (optind == argc)
		return cli_usage(self, "the command to run is missing");
	status = run(argv + optind, shim_options);
	free(shim_options);
	return status;
}

const struct command cmd_run = {
	.name = "run",
	.usage = "[-o KEY=VALUE]... [--] COMMAND [ARGUMENT]...",
	.summary = "Starts a command with its memory named.",
	.help = "  -o KEY=VALUE  an option of the shim, put behind those in\n"
		"                ANONSHIM_OPTIONS; -o help=1 lists them\n"
		"\n"
		"The command takes the place of anonshim: PID and exit status "
		"are its own.\n"
		"125: anonshim failed, 126: the command cannot be executed, "
		"127: there is none.\n",
	.main = run_main,
};
