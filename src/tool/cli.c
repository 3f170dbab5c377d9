/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages, exit statuses and the reading of arguments. */
#include "tool/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_BYTES 1024

/* Everything goes out in one write, so that lines of processes do not mix. */
static void print_line(char *line)
{
	for (char *p = line; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;

		if (c < 0x20 || c == 0x7f)
			*p = '?';
	}
	fprintf(stderr, "anonshim: %s\n", line);
}

static void append(char *line, const char *before, const char *text)
{
	size_t used = strlen(line);

	snprintf(line + used, MESSAGE_BYTES - used, "%s%s", before, text);
}

int cli_fail_text(const char *what, const char *object, const char *text,
		  const char *remedy)
{
	char line[MESSAGE_BYTES] = "";

	append(line, "", what);
	if (object != NULL)
		append(line, " ", object);
	if (text != NULL)
		append(line, ": ", text);
	if (remedy != NULL)
		append(line, "; ", remedy);
	print_line(line);
	return CLI_FAILED;
}

int cli_fail(const char *what, const char *object, int err, const char *remedy)
{
	return cli_fail_text(what, object, err != 0 ? strerror(err) : NULL,
			     remedy);
}

void cli_note(const char *format, ...)
{
	char line[MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	print_line(line);
}

int cli_usage(const struct command *cmd, const char *format, ...)
{
	char line[MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	append(line, "; see anonshim ", cmd != NULL ? cmd->name : "--help");
	if (cmd != NULL)
		append(line, " ", "--help");
	print_line(line);
	return CLI_USAGE;
}

void cli_help(const struct command *cmd)
{
	printf("usage: anonshim %s %s\n\n%s\n\n%s", cmd->name, cmd->usage,
	       cmd->summary, cmd->help);
}

bool cli_parse_pid(const char *text, pid_t *pid)
{
	char *end;
	long value;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	value = strtol(text, &end, 10);
	if (errno != 0 || *end != '\0' || value <= 0 || value > INT32_MAX)
		return false;
	*pid = (pid_t)value;
	return true;
}

bool cli_parse_addr(const char *text, uint64_t *addr)
{
	size_t digits;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
		text += 2;
	digits = strspn(text, "0123456789abcdefABCDEF");
	if (digits == 0 || digits > 16 || text[digits] != '\0')
		return false;
	*addr = strtoull(text, NULL, 16);
	return true;
}

int cli_finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return cli_fail("write", "standard output", errno, NULL);
}
