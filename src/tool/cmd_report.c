/* SPDX-License-Identifier: BSD-2-Clause */
/* anonshim report: who owns the memory of a process. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tool/cmds.h"
#include "tool/report.h"
#include "tool/shimmed.h"
#include "tool/subject.h"

enum format { FORMAT_TABLE, FORMAT_TSV, FORMAT_JSON };

struct request {
	enum rows_by by;
	enum format format;
	const char *core;
	pid_t pid; /* 0: none given */
};

static const struct option options[] = {
	{"by", required_argument, NULL, 'b'},
	{"core", required_argument, NULL, 'c'},
	{"json", no_argument, NULL, 'j'},
	{"tsv", no_argument, NULL, 't'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static bool parse_by(const char *word, enum rows_by *by)
{
	static const char *const words[] = {
		[ROWS_BY_OWNER] = "owner",
		[ROWS_BY_SITE] = "site",
		[ROWS_BY_KIND] = "kind",
		[ROWS_BY_NAME] = "name",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], word) == 0) {
			*by = (enum rows_by)i;
			return true;
		}
	return false;
}

/* What stands after the options: at most one PID, and none with --core. */
static int parse_pid(const struct command *self, int argc, char **argv,
		     struct request *request)
{
	if (optind == argc)
		return CLI_OK;
	if (request->core != NULL)
		return cli_usage(self, "--core takes no PID");
	if (!cli_parse_pid(argv[optind], &request->pid))
		return cli_usage(self, "%s is no PID", argv[optind]);
	if (optind + 1 < argc)
		return cli_usage(self, "one PID at a time");
	return CLI_OK;
}

static int parse(const struct command *self, int argc, char **argv,
		 struct request *request)
{
	int c;

	optind = 1;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 'b' && !parse_by(optarg, &request->by))
			return cli_usage(self,
					 "--by takes owner, site, kind "
					 "or name, not %s",
					 optarg);
		if (c == 'c')
			request->core = optarg;
		else if (c == 'j')
			request->format = FORMAT_JSON;
		else if (c == 't')
			request->format = FORMAT_TSV;
		else if (c == ':')
			return cli_usage(self, "%s takes a value",
					 argv[optind - 1]);
		else if (c == '?')
			return cli_usage(self, "there is no option %s",
					 argv[optind - 1]);
		else if (c == 'h')
			return -1;
	}
	return parse_pid(self, argc, argv, request);
}

static int print_report(struct subject *subject, const struct request *request)
{
	struct report report;

	report_make(&report, subject, request->by);
	if (request->format == FORMAT_JSON)
		report_print_json(&report, stdout);
	else if (request->format == FORMAT_TSV)
		report_print_tsv(&report, stdout);
	else
		report_print(&report, stdout);
	report_destroy(&report);
	return cli_finish(CLI_OK);
}

static int report_main(const struct command *self, int argc, char **argv)
{
	struct request request = {.by = ROWS_BY_OWNER};
	struct subject subject;
	int status = parse(self, argc, argv, &request);

	if (status == -1) {
		cli_help(self);
		return cli_finish(CLI_OK);
	}
	if (status == CLI_OK && request.core == NULL && request.pid == 0)
		status = shimmed_pick(self, &request.pid);
	if (status != CLI_OK)
		return status;
	status = request.core != NULL
			 ? subject_open_core(&subject, request.core)
			 : subject_open_live(&subject, "/proc", request.pid);
	if (status == CLI_OK)
		status = print_report(&subject, &request);
	subject_close(&subject);
	return status;
}

const struct command cmd_report = {
	.name = "report",
	.usage = "[PID | --core FILE] [--by KEY] [--json | --tsv]",
	.summary = "Who owns the memory of a process, adding up to what the "
		   "kernel says.",
	.help = "Without a PID: of the one process that runs under anonshim.\n"
		"\n"
		"  --core FILE  a core file instead of a process\n"
		"  --by KEY     rows by owner (default), site, kind or name\n"
		"  --json       for programs; see anonshim(1) for the keys\n"
		"  --tsv        for scripts: a line of keys, then "
		"tab-separated "
		"rows\n",
	.main = report_main,
};
