/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every subcommand shares: messages, exit statuses and the reading of
 * arguments.  Messages go to stderr, one line each, in the form
 *
 *     anonshim: <what> <object>: <errno text>; <what to do>
 *
 * and are safe to print whatever the object holds: bytes that a terminal could
 * take for an instruction appear as `?`.
 */
#ifndef ANONSHIM_TOOL_CLI_H
#define ANONSHIM_TOOL_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum cli_status {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	/* `run`, before CMD has started; the shell's and env(1)'s numbers */
	CLI_RUN_FAILED = 125,
	CLI_NOT_EXECUTABLE = 126,
	CLI_NOT_FOUND = 127,
};

/* A subcommand: main's table dispatches to it, --help prints it. */
struct command {
	const char *name;
	const char *usage;   /* arguments */
	const char *summary; /* one line */
	const char *help;    /* the options, one a line */
	/* argv[0] is the subcommand's name; returns the exit status */
	int (*main)(const struct command *self, int argc, char **argv);
};

/*
 * Prints one line about a failure.  `err` is an errno value, 0 for none;
 * `object` and `remedy` may be NULL.  Returns CLI_FAILED.
 */
int cli_fail(const char *what, const char *object, int err, const char *remedy);

/* The same with a text in place of errno's, NULL for none. */
int cli_fail_text(const char *what, const char *object, const char *text,
		  const char *remedy);

/* Prints one line for the user's information. */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints one line about bad usage and where help is.  Returns CLI_USAGE. */
int cli_usage(const struct command *cmd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Prints --help of a subcommand on stdout. */
void cli_help(const struct command *cmd);

/* A decimal PID above 0: true and *pid, else false. */
bool cli_parse_pid(const char *text, pid_t *pid);

/* A hexadecimal address, with or without 0x: true and *addr, else false. */
bool cli_parse_addr(const char *text, uint64_t *addr);

/* Flushes stdout; a write that failed is told.  Returns the exit status. */
int cli_finish(int status);

#endif
