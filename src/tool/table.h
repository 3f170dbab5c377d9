/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables: aligned columns for people, tab-separated ones for scripts.  Rows
 * are kept until they are printed, for the widest cell sets the column.
 */
#ifndef ANONSHIM_TOOL_TABLE_H
#define ANONSHIM_TOOL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TABLE_MOST_COLUMNS 12

struct table_column {
	const char *title; /* for people */
	const char *key;   /* for scripts */
	bool number;	   /* to the right */
};

struct table {
	const struct table_column *column;
	size_t ncolumns;
	char **cell; /* row by row, each its own copy */
	size_t count;
	size_t cap;
};

void table_init(struct table *table, const struct table_column *column,
		size_t ncolumns);
void table_destroy(struct table *table);

/* The next cell, left to right, row by row. */
void table_text(struct table *table, const char *text);
void table_number(struct table *table, uint64_t number);
void table_size(struct table *table, uint64_t kib); /* as people read it */

/* Prints title, line for line; with `colour` the title is set off. */
void table_print(const struct table *table, FILE *to, bool colour);

/* Prints keys, then rows. */
void table_print_tsv(const struct table *table, FILE *to);

/* Whether a stream is a terminal that takes ANSI sequences. */
bool table_wants_colour(FILE *to);

#endif
