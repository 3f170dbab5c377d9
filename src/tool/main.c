/* SPDX-License-Identifier: BSD-2-Clause */
/* The anonshim command: one table drives dispatch and help. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdio.h>
#include <string.h>

#include "tool/cmds.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static const struct command *const commands[] = {
	&cmd_run,
	&cmd_report,
	&cmd_explain,
	&cmd_doctor,
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int print_help(void)
{
	printf("usage: anonshim COMMAND ARGUMENTS\n\n"
	       "Names anonymous memory by the code that asked for it.\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  anonshim %s %s\n      %s\n", commands[i]->name,
		       commands[i]->usage, commands[i]->summary);
	printf("\nanonshim COMMAND --help tells more, man anonshim all.\n");
	return cli_finish(CLI_OK);
}

static int dispatch(const char *name, int argc, char **argv)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i]->main(commands[i], argc, argv);
	return cli_usage(NULL, "there is no command %s", name);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return cli_usage(NULL, "a command is missing");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return print_help();
	if (strcmp(argv[1], "--version") == 0) {
		printf("anonshim " PACKAGE_VERSION "\n");
		return cli_finish(CLI_OK);
	}
	return dispatch(argv[1], argc - 1, argv + 1);
}
