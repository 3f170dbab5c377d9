/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to people: one line each, on stderr or in a file.
 *
 * Contract: allocation-free; safe in signal handlers and after fork; at most
 * LOG_LINES_MAX lines a process, so that no loop of ours floods a log.  A
 * message goes to descriptor 2 only while that is the file it was at start-up:
 * a program that closed its stderr and got a data file there keeps it clean.
 * The form is `anonshim: <what> <object>: <errno text>; <what to do>`.
 */
#ifndef ANONSHIM_BASE_LOG_H
#define ANONSHIM_BASE_LOG_H

#include "base/fmt.h"

#define LOG_LINES_MAX 100
#define LOG_LINE_BYTES 1024

/* PATH: append to this file instead of stderr; NULL or "": stderr. */
void log_init(const char *path);

/* A line buffer that starts with "anonshim: ". */
struct log_line {
	struct fmt f;
	char text[LOG_LINE_BYTES];
};

void log_begin(struct log_line *line);
/* Write the line out. */
void log_end(struct log_line *line);
/* Write the line out, and abort. */
_Noreturn void log_die(struct log_line *line);

/* A line of one fixed text. */
void log_text(const char *text);

/* The same, but only the first time for each address of *SAID. */
void log_once(bool *said, const char *text);

/* Write text as it is, of any number of lines, past the cap: help, verbose. */
void log_page(const char *text, size_t len);

#endif
