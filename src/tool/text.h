/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text for people, scripts and JSON.  What a process calls its memory is not
 * to be trusted with a terminal: control characters never get through.
 */
#ifndef ANONSHIM_TOOL_TEXT_H
#define ANONSHIM_TOOL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Longest result of text_human and its NUL. */
#define TEXT_HUMAN_BYTES 24

/* A size as people read it: 812K, 12.3M, 1.5G; powers of 1,024. */
const char *text_human(char to[TEXT_HUMAN_BYTES], uint64_t kib);

/* part as a percentage of whole, one place after the point; 0.0 of nothing. */
double text_percent(uint64_t part, uint64_t whole);

/* How many columns a string takes when text_put prints it. */
size_t text_width(const char *text);

/* Prints a string for people: broken UTF-8 and control characters as `?`. */
void text_put(FILE *to, const char *text);

/* Prints a field for scripts: tab, newline and backslash as \t, \n and \\. */
void text_put_field(FILE *to, const char *text);

/* Prints a JSON string with its quotes; broken UTF-8 as U+FFFD. */
void text_put_json(FILE *to, const char *text);

#endif
