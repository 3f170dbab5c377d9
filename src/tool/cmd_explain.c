/* SPDX-License-Identifier: BSD-2-Clause */
/* anonshim explain: what a name or an address is. */
#include <getopt.h>
#include <stdio.h>

#include "tool/cmds.h"
#include "tool/explain.h"
#include "tool/subject.h"

struct request {
	const char *core;
	pid_t pid;
	const char *what; /* NULL: list everything */
	bool tsv;
};

static const struct option options[] = {
	{"core", required_argument, NULL, 'c'},
	{"tsv", no_argument, NULL, 't'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static int parse_operands(const struct command *self, int argc, char **argv,
			  struct request *request)
{
	if (request->core == NULL) {
		if (optind == argc)
			return cli_usage(self, "a PID is missing");
		if (!cli_parse_pid(argv[optind], &request->pid))
			return cli_usage(self, "%s is no PID", argv[optind]);
		optind++;
	}
	if (optind < argc)
		request->what = argv[optind++];
	if (optind < argc)
		return cli_usage(self, "one name or address at a time");
	if (request->what != NULL && request->tsv)
		return cli_usage(self, "--tsv lists all regions and takes no "
				       "name");
	return CLI_OK;
}

static int parse(const struct command *self, int argc, char **argv,
		 struct request *request)
{
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 'c')
			request->core = optarg;
		else if (c == 't')
			request->tsv = true;
		else if (c == ':')
			return cli_usage(self, "%s takes a value",
					 argv[optind - 1]);
		else if (c == '?')
			return cli_usage(self, "there is no option %s",
					 argv[optind - 1]);
		else if (c == 'h')
			return -1;
	}
	return parse_operands(self, argc, argv, request);
}

static int explain(struct subject *subject, const struct request *request)
{
	if (request->what == NULL) {
		explain_list(subject, request->tsv, stdout);
		return cli_finish(CLI_OK);
	}
	if (explain_what(subject, request->what, stdout))
		return cli_finish(CLI_OK);
	return cli_fail_text(
		"explain", request->what, "no memory has this name or address",
		"see anonshim explain without it for all there is");
}

static int explain_main(const struct command *self, int argc, char **argv)
{
	struct request request = {NULL, 0, NULL, false};
	struct subject subject;
	int status = parse(self, argc, argv, &request);

	if (status == -1) {
		cli_help(self);
		return cli_finish(CLI_OK);
	}
	if (status != CLI_OK)
		return status;
	status = request.core != NULL
			 ? subject_open_core(&subject, request.core)
			 : subject_open_live(&subject, "/proc", request.pid);
	if (status == CLI_OK)
		status = explain(&subject, &request);
	subject_close(&subject);
	return status;
}

const struct command cmd_explain = {
	.name = "explain",
	.usage = "{PID | --core FILE} [NAME | ADDRESS] [--tsv]",
	.summary = "What a name or an address is: its owner, its sizes, the "
		   "call stack that mapped it.",
	.help = "Without a name or an address: every region beside the "
		"kernel's VMAs.\n"
		"\n"
		"  --core FILE  a core file instead of a process\n"
		"  --tsv        the regions for scripts: start, end, kind, "
		"flags,\n"
		"               site_name, own_name, separated by tabs\n",
	.main = explain_main,
};
