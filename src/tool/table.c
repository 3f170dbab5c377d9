/* SPDX-License-Identifier: BSD-2-Clause */
/* Aligned and tab-separated tables. */
#include "tool/table.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/mem.h"
#include "tool/text.h"

#define BOLD "\033[1m"
#define PLAIN "\033[0m"

void table_init(struct table *table, const struct table_column *column,
		size_t ncolumns)
{
	memset(table, 0, sizeof(*table));
	table->column = column;
	table->ncolumns = ncolumns;
}

void table_destroy(struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->cell[i]);
	free(table->cell);
	memset(table, 0, sizeof(*table));
}

void table_text(struct table *table, const char *text)
{
	table->cell = mem_grow(table->cell, table->count, &table->cap,
			       sizeof(*table->cell));
	table->cell[table->count++] = mem_strdup(text);
}

void table_number(struct table *table, uint64_t number)
{
	char text[TEXT_HUMAN_BYTES];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	table_text(table, text);
}

void table_size(struct table *table, uint64_t kib)
{
	char text[TEXT_HUMAN_BYTES];

	table_text(table, text_human(text, kib));
}

static void measure(const struct table *table, size_t *width)
{
	for (size_t c = 0; c < table->ncolumns; c++)
		width[c] = text_width(table->column[c].title);
	for (size_t i = 0; i < table->count; i++) {
		size_t now = text_width(table->cell[i]);
		size_t c = i % table->ncolumns;

		if (now > width[c])
			width[c] = now;
	}
}

static void pad(FILE *to, size_t columns)
{
	fprintf(to, "%*s", (int)columns, "");
}

/* No blanks after the last cell of a line. */
static void print_cell(const struct table *table, size_t c, const char *text,
		       size_t width, FILE *to)
{
	size_t blanks = width - text_width(text);

	if (c > 0)
		fputs("  ", to);
	if (table->column[c].number)
		pad(to, blanks);
	text_put(to, text);
	if (c + 1 == table->ncolumns)
		fputc('\n', to);
	else if (!table->column[c].number)
		pad(to, blanks);
}

void table_print(const struct table *table, FILE *to, bool colour)
{
	size_t width[TABLE_MOST_COLUMNS];

	measure(table, width);
	if (colour)
		fputs(BOLD, to);
	for (size_t c = 0; c < table->ncolumns; c++)
		print_cell(table, c, table->column[c].title, width[c], to);
	if (colour)
		fputs(PLAIN, to);
	for (size_t i = 0; i < table->count; i++) {
		size_t c = i % table->ncolumns;

		print_cell(table, c, table->cell[i], width[c], to);
	}
}

static char after(const struct table *table, size_t c)
{
	return c + 1 == table->ncolumns ? '\n' : '\t';
}

void table_print_tsv(const struct table *table, FILE *to)
{
	for (size_t c = 0; c < table->ncolumns; c++)
		fprintf(to, "%s%c", table->column[c].key, after(table, c));
	for (size_t i = 0; i < table->count; i++) {
		text_put_field(to, table->cell[i]);
		fputc(after(table, i % table->ncolumns), to);
	}
}

bool table_wants_colour(FILE *to)
{
	const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");

	return isatty(fileno(to)) && term != NULL &&
	       strcmp(term, "dumb") != 0 &&
	       (no_color == NULL || no_color[0] == '\0');
}
