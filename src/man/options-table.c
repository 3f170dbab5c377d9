/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the options of the shim as the list of a manual page, in mdoc(7): run
 * when the pages are built, so that wire/options.def stays the one place.
 */
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum type { BOOL, CHOICE, SIZE, NUMBER, PERCENT, TEXT, LIST };

struct row {
	const char *key;
	enum type type;
	const char *value;
	uint64_t low;
	uint64_t high;
	const char *choices;
	const char *unit;
	const char *meaning;
	const char *cost;
};

static const struct row rows[] = {
#define OPTION(field, key, type, value, low, high, choices, unit, text, cost) \
	{key, type, value, low, high, choices, unit, text, cost},
#include "wire/options.def"
#undef OPTION
};

static void print_escaped(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++)
		if (*text == '\\')
			fputs("\\e", stdout);
		else
			putchar(*text);
}

/* A sentence on a line of its own: the formatter sees where it ends. */
static void print_sentence(const char *begin, const char *text)
{
	char first = *begin ? *text : (char)toupper((unsigned char)*text);

	printf("%s%c", begin, first);
	print_escaped(text + 1);
	puts(".");
}

/* An argument of a macro, taken as it is though it be punctuation. */
static void print_argument(const char *text)
{
	putchar('"');
	for (; *text; text++)
		printf("%s%c", *text == '"' ? "\"" : "", *text);
	putchar('"');
}

static void print_default(const char *value)
{
	if (!*value) {
		puts("Default: none.");
		return;
	}
	fputs("Default:\n.Li ", stdout);
	print_argument(value);
	puts(" .");
}

static void print_choices(const char *choices)
{
	for (; *choices; choices++)
		if (*choices == '|')
			fputs(" | ", stdout);
		else
			putchar(*choices);
}

static void print_values(const struct row *row)
{
	const char *percent = row->type == PERCENT ? "%" : "";

	switch (row->type) {
	case BOOL:
		fputs("0 | 1", stdout);
		break;
	case CHOICE:
		print_choices(row->choices);
		break;
	case TEXT:
	case LIST:
		print_argument(*row->unit ? row->unit : "text");
		break;
	default:
		printf("%ju%s Ns \\(en Ns Ar %ju%s", (uintmax_t)row->low,
		       percent, (uintmax_t)row->high, percent);
		if (*row->unit)
			printf(" %s", row->unit);
	}
}

int main(void)
{
	puts(".Bl -tag -width Ds");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];

		printf(".It Cm %s Ns = Ns Ar ", row->key);
		print_values(row);
		putchar('\n');
		print_sentence("", row->meaning);
		print_default(row->value);
		if (strcmp(row->cost, "none") != 0)
			print_sentence("Cost: ", row->cost);
	}
	puts(".El");
	return ferror(stdout) || fflush(stdout) ? 1 : 0;
}
