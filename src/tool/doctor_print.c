/* SPDX-License-Identifier: BSD-2-Clause */
/* The doctor's findings and the table of options, for people and as JSON. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/doctor.h"
#include "tool/table.h"
#include "tool/text.h"

#define GREEN "\033[32m"
#define YELLOW "\033[33m"
#define RED "\033[31m"
#define PLAIN "\033[0m"

/* Rows of options.def; the tool shows them and leaves parsing to the shim. */
struct option_row {
	const char *key;
	const char *type;
	const char *standard;
	long long low;
	long long high;
	const char *choices;
	const char *unit;
	const char *meaning;
	const char *cost;
};

static const struct option_row option_rows[] = {
#define OPTION(field, key, type, standard, low, high, choices, unit, meaning, \
	       cost)                                                          \
	{key, #type, standard, low, high, choices, unit, meaning, cost},
#include "wire/options.def"
#undef OPTION
};

#define OPTIONS (sizeof(option_rows) / sizeof(option_rows[0]))

void doctor_say(struct doctor_result *result, enum doctor_state state,
		const char *remedy, const char *format, ...)
{
	va_list args;

	result->state = state;
	result->remedy = remedy;
	va_start(args, format);
	vsnprintf(result->detail, sizeof(result->detail), format, args);
	va_end(args);
}

long doctor_sysctl(const char *name)
{
	char path[128];
	long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	file = fopen(path, "re");
	if (file == NULL)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static const char *word_of(enum doctor_state state)
{
	static const char *const words[] = {"ok", "limited", "failed"};

	return words[state];
}

static void print_state(enum doctor_state state, bool colour)
{
	static const char *const colours[] = {GREEN, YELLOW, RED};

	printf("%s%-8s%s", colour ? colours[state] : "", word_of(state),
	       colour ? PLAIN : "");
}

/* What an option may be set to. */
static const char *range_of(const struct option_row *row, char *to,
			    size_t bytes)
{
	if (strcmp(row->type, "CHOICE") == 0)
		snprintf(to, bytes, "%s", row->choices);
	else if (strcmp(row->type, "BOOL") == 0)
		snprintf(to, bytes, "0|1");
	else if (strcmp(row->type, "PERCENT") == 0)
		snprintf(to, bytes, "%lld%%-%lld%% %s", row->low, row->high,
			 row->unit);
	else if (strcmp(row->type, "TEXT") == 0 ||
		 strcmp(row->type, "LIST") == 0)
		snprintf(to, bytes, "%s",
			 row->unit[0] != '\0' ? row->unit : "text");
	else
		snprintf(to, bytes, "%lld-%lld %s", row->low, row->high,
			 row->unit);
	return to;
}

static void print_options(void)
{
	static const struct table_column columns[] = {
		{"OPTION", "", false},
		{"VALUES", "", false},
		{"DEFAULT", "", false},
		{"MEANING", "", false},
	};
	const char *now = getenv("ANONSHIM_OPTIONS");
	struct table table;
	char range[128];

	table_init(&table, columns, 4);
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct option_row *row = &option_rows[i];

		table_text(&table, row->key);
		table_text(&table, range_of(row, range, sizeof(range)));
		table_text(&table, row->standard);
		table_text(&table, row->meaning);
	}
	printf("\nOptions of the shim, in ANONSHIM_OPTIONS=key=value,... ");
	printf("or anonshim run -o key=value; now: %s\n\n",
	       now != NULL && now[0] != '\0' ? now : "none set");
	table_print(&table, stdout, table_wants_colour(stdout));
	table_destroy(&table);
}

void doctor_print(const struct doctor_check *checks,
		  const struct doctor_result *results, size_t count)
{
	bool colour = table_wants_colour(stdout);

	for (size_t i = 0; i < count; i++) {
		print_state(results[i].state, colour);
		printf("%-18s", checks[i].title);
		text_put(stdout, results[i].detail);
		fputc('\n', stdout);
		if (results[i].remedy != NULL)
			printf("%26s-> %s\n", "", results[i].remedy);
	}
	print_options();
}

static void put_pair(const char *key, const char *value, const char *after)
{
	text_put_json(stdout, key);
	fputs(": ", stdout);
	text_put_json(stdout, value);
	fputs(after, stdout);
}

static void put_options(void)
{
	char range[128];

	fputs("  \"options\": [", stdout);
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct option_row *row = &option_rows[i];

		fputs(i > 0 ? ",\n    {" : "\n    {", stdout);
		put_pair("key", row->key, ", ");
		put_pair("values", range_of(row, range, sizeof(range)), ", ");
		put_pair("default", row->standard, ", ");
		put_pair("meaning", row->meaning, ", ");
		put_pair("cost", row->cost, "}");
	}
	fputs("\n  ]\n", stdout);
}

void doctor_print_json(const struct doctor_check *checks,
		       const struct doctor_result *results, size_t count)
{
	enum doctor_state worst = DOCTOR_OK;

	for (size_t i = 0; i < count; i++)
		if (results[i].state > worst)
			worst = results[i].state;
	printf("{\n  \"schema_version\": 1,\n  \"usable\": %s,\n"
	       "  \"checks\": [",
	       worst < DOCTOR_FAILED ? "true" : "false");
	for (size_t i = 0; i < count; i++) {
		fputs(i > 0 ? ",\n    {" : "\n    {", stdout);
		put_pair("check", checks[i].key, ", ");
		put_pair("state", word_of(results[i].state), ", ");
		put_pair("detail", results[i].detail, ", ");
		put_pair("remedy",
			 results[i].remedy != NULL ? results[i].remedy : "",
			 "}");
	}
	fputs("\n  ],\n", stdout);
	put_options();
	fputs("}\n", stdout);
}
