/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A report as a table.  Columns depend on what rows are by, and on whether it
 * is about a process or a core file, which does not know PSS and swap, and
 * whether the process has a heap of the shim's.
 */
#include "tool/report.h"

#include <stdlib.h>
#include <string.h>

#include "tool/alias_print.h"
#include "tool/mem.h"
#include "tool/table.h"
#include "tool/text.h"

enum field {
	FIELD_RSS,
	FIELD_ANON,
	FIELD_LIVE,
	FIELD_PSS,
	FIELD_SWAP,
	FIELD_SIZE,
	FIELD_VMAS,
	FIELD_OWNER,
	FIELD_KIND,
	FIELD_SITE,
	FIELD_NAME,
	FIELD_COUNT,
};

static const struct table_column columns[FIELD_COUNT] = {
	[FIELD_RSS] = {"RSS", "rss_kib", true},
	[FIELD_ANON] = {"ANON", "anon_kib", true},
	[FIELD_LIVE] = {"LIVE", "live_kib", true},
	[FIELD_PSS] = {"PSS", "pss_kib", true},
	[FIELD_SWAP] = {"SWAP", "swap_kib", true},
	[FIELD_SIZE] = {"SIZE", "size_kib", true},
	[FIELD_VMAS] = {"VMAS", "vmas", true},
	[FIELD_OWNER] = {"OWNER", "owner", false},
	[FIELD_KIND] = {"KIND", "kind", false},
	[FIELD_SITE] = {"SITE", "site", false},
	[FIELD_NAME] = {"NAME", "name", false},
};

/* Pages that hold something, see elf_core.h. */
static const struct table_column dumped = {"DUMPED", "rss_kib", true};

struct shape {
	enum field field[FIELD_COUNT];
	struct table_column column[FIELD_COUNT];
	size_t count;
};

static void add_field(struct shape *shape, const struct report *report,
		      enum field field)
{
	bool core = report->subject->core != NULL;

	if (core && (field == FIELD_PSS || field == FIELD_SWAP))
		return;
	if (field == FIELD_LIVE && !report->has_heap)
		return;
	shape->field[shape->count] = field;
	shape->column[shape->count++] =
		core && field == FIELD_RSS ? dumped : columns[field];
}

static struct shape shape_for_people(const struct report *report)
{
	enum rows_by by = report->rows.by;
	struct shape shape = {.count = 0};

	for (enum field field = FIELD_RSS; field <= FIELD_VMAS; field++)
		if (field != FIELD_ANON || by == ROWS_BY_OWNER)
			add_field(&shape, report, field);
	if (by != ROWS_BY_KIND)
		add_field(&shape, report, FIELD_OWNER);
	if (by == ROWS_BY_KIND || by == ROWS_BY_SITE)
		add_field(&shape, report, FIELD_KIND);
	if (by == ROWS_BY_SITE)
		add_field(&shape, report, FIELD_SITE);
	if (by == ROWS_BY_NAME)
		add_field(&shape, report, FIELD_NAME);
	return shape;
}

static const char *text_of(const struct label *label, enum field field)
{
	switch (field) {
	case FIELD_OWNER:
		return label->owner;
	case FIELD_KIND:
		return label->kind;
	case FIELD_SITE:
		return label->site;
	default:
		return label->name;
	}
}

static uint64_t number_of(const struct row *row, enum field field)
{
	switch (field) {
	case FIELD_RSS:
		return row->sum.rss_kib;
	case FIELD_ANON:
		return row->anon_kib;
	case FIELD_LIVE:
		return rows_live_kib(row->live_bytes);
	case FIELD_PSS:
		return row->sum.pss_kib;
	case FIELD_SWAP:
		return row->sum.swap_kib;
	case FIELD_SIZE:
		return row->sum.size_kib;
	default:
		return row->sum.vmas;
	}
}

static void add_number(struct table *table, const struct row *row,
		       enum field field)
{
	char text[1 + TEXT_HUMAN_BYTES] = "~";

	if (field == FIELD_VMAS) {
		table_number(table, row->sum.vmas);
	} else if (field == FIELD_LIVE && !row->has_live) {
		table_text(table, "");
	} else if (field == FIELD_RSS && row->estimate) {
		text_human(text + 1, row->sum.rss_kib);
		table_text(table, text);
	} else {
		table_size(table, number_of(row, field));
	}
}

/* A name of ours with the function as people read it: `owner: kind site`. */
static void add_name(struct table *table, const struct label *label)
{
	size_t owner = strlen(label->owner), kind = strlen(label->kind);
	const char *name = label->name;
	char *readable;

	if (strncmp(name, label->owner, owner) != 0 ||
	    strncmp(name + owner, ": ", 2) != 0 ||
	    strncmp(name + owner + 2, label->kind, kind) != 0 ||
	    strncmp(name + owner + 2 + kind, " _Z", 3) != 0) {
		table_text(table, name);
		return;
	}
	if (asprintf(&readable, "%s: %s %s", label->owner, label->kind,
		     label->site) < 0)
		readable = mem_strdup(name);
	table_text(table, readable);
	free(readable);
}

static void add_line(struct table *table, const struct shape *shape,
		     const struct row *row)
{
	for (size_t c = 0; c < shape->count; c++) {
		enum field field = shape->field[c];

		if (field == FIELD_NAME)
			add_name(table, &row->label);
		else if (field >= FIELD_OWNER)
			table_text(table, text_of(&row->label, field));
		else
			add_number(table, row, field);
	}
}

static void add_total(struct table *table, const struct shape *shape,
		      const struct report *report)
{
	struct row total = {
		.label = {"", "", "", ""},
		.sum = report->total,
		.anon_kib = report->anonymous.rss_kib,
		.has_live = report->has_heap,
		.live_bytes = report->live_bytes,
	};

	/* In the first column that is not a number. */
	total.label.owner = "total";
	if (report->rows.by == ROWS_BY_KIND)
		total.label.kind = "total";
	add_line(table, shape, &total);
}

static void print_head(const struct report *report, FILE *to)
{
	const struct subject *subject = report->subject;
	uint64_t all = report->anonymous.rss_kib;
	uint64_t rest = all - report->named_kib - report->heap_stack_kib;
	char size[TEXT_HUMAN_BYTES];

	fprintf(to, "process %d (", (int)subject->pid);
	text_put(to, subject->comm);
	if (subject->core != NULL) {
		fputs("), core file ", to);
		text_put(to, subject->core);
	} else {
		fputc(')', to);
	}
	fprintf(to, ", names from the %s\n", subject_source(subject));
	fprintf(to,
		"anonymous memory: %s %s; %.1f %% attributed, %.1f %% "
		"[heap] and [stack], %.1f %% not attributed\n\n",
		text_human(size, all),
		subject->core != NULL ? "dumped" : "resident",
		text_percent(report->named_kib, all),
		text_percent(report->heap_stack_kib, all),
		text_percent(rest, all));
}

static void print_foot(const struct report *report, FILE *to)
{
	for (size_t i = 0; i < report->rows.count; i++) {
		if (!report->rows.row[i].estimate)
			continue;
		fputs("\n~ an estimate: small owners share pages, which are "
		      "divided by live bytes\n",
		      to);
		return;
	}
}

void report_print(const struct report *report, FILE *to)
{
	struct shape shape = shape_for_people(report);
	struct table table;

	print_head(report, to);
	table_init(&table, shape.column, shape.count);
	for (size_t i = 0; i < report->rows.count; i++)
		add_line(&table, &shape, &report->rows.row[i]);
	add_total(&table, &shape, report);
	table_print(&table, to, table_wants_colour(to));
	table_destroy(&table);
	print_foot(report, to);
	alias_print(&report->aliases, to);
}

static void add_fields(struct table *table, const struct row *row, bool core)
{
	table_text(table, row->label.owner);
	table_text(table, row->label.kind);
	table_text(table, row->label.site);
	table_text(table, row->label.name);
	table_number(table, row->sum.rss_kib);
	if (core) {
		table_text(table, "");
		table_text(table, "");
	} else {
		table_number(table, row->sum.pss_kib);
		table_number(table, row->sum.swap_kib);
	}
	table_number(table, row->sum.size_kib);
	table_number(table, row->sum.vmas);
	if (row->has_live)
		table_number(table, rows_live_kib(row->live_bytes));
	else
		table_text(table, "");
	table_text(table, row->estimate ? "true" : "false");
}

/* For scripts: the keys of JSON's rows, always all of them. */
void report_print_tsv(const struct report *report, FILE *to)
{
	static const struct table_column keys[] = {
		{"", "owner", false},	 {"", "kind", false},
		{"", "site", false},	 {"", "name", false},
		{"", "rss_kib", true},	 {"", "pss_kib", true},
		{"", "swap_kib", true},	 {"", "size_kib", true},
		{"", "vmas", true},	 {"", "live_kib", true},
		{"", "estimate", false},
	};
	struct table table;

	table_init(&table, keys, sizeof(keys) / sizeof(keys[0]));
	for (size_t i = 0; i < report->rows.count; i++)
		add_fields(&table, &report->rows.row[i],
			   report->subject->core != NULL);
	table_print_tsv(&table, to);
	table_destroy(&table);
}
