/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A report as a table.  Columns depend on what rows are by, and on whether it
 * is about a process or a core file, which does not know PSS and swap.
 */
#include "tool/report.h"

#include <stdlib.h>
#include <string.h>

#include "tool/mem.h"
#include "tool/table.h"
#include "tool/text.h"

enum field {
	FIELD_RSS,
	FIELD_ANON,
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

static uint64_t number_of(const struct amounts *sum, uint64_t anon_kib,
			  enum field field)
{
	switch (field) {
	case FIELD_RSS:
		return sum->rss_kib;
	case FIELD_ANON:
		return anon_kib;
	case FIELD_PSS:
		return sum->pss_kib;
	case FIELD_SWAP:
		return sum->swap_kib;
	case FIELD_SIZE:
		return sum->size_kib;
	default:
		return sum->vmas;
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
		     const struct label *label, const struct amounts *sum,
		     uint64_t anon_kib)
{
	for (size_t c = 0; c < shape->count; c++) {
		enum field field = shape->field[c];

		if (field == FIELD_NAME)
			add_name(table, label);
		else if (field >= FIELD_OWNER)
			table_text(table, text_of(label, field));
		else if (field == FIELD_VMAS)
			table_number(table, sum->vmas);
		else
			table_size(table, number_of(sum, anon_kib, field));
	}
}

static void add_total(struct table *table, const struct shape *shape,
		      const struct report *report)
{
	struct label total = {"", "", "", ""};

	/* In the first column that is not a number. */
	total.owner = "total";
	if (report->rows.by == ROWS_BY_KIND)
		total.kind = "total";
	add_line(table, shape, &total, &report->total,
		 report->anonymous.rss_kib);
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

void report_print(const struct report *report, FILE *to)
{
	struct shape shape = shape_for_people(report);
	struct table table;

	print_head(report, to);
	table_init(&table, shape.column, shape.count);
	for (size_t i = 0; i < report->rows.count; i++) {
		const struct row *row = &report->rows.row[i];

		add_line(&table, &shape, &row->label, &row->sum, row->anon_kib);
	}
	add_total(&table, &shape, report);
	table_print(&table, to, table_wants_colour(to));
	table_destroy(&table);
}

/* For scripts: the keys of JSON's rows, always all of them. */
void report_print_tsv(const struct report *report, FILE *to)
{
	static const struct table_column keys[] = {
		{"", "owner", false},	{"", "kind", false},
		{"", "site", false},	{"", "name", false},
		{"", "rss_kib", true},	{"", "pss_kib", true},
		{"", "swap_kib", true}, {"", "size_kib", true},
		{"", "vmas", true},
	};
	bool core = report->subject->core != NULL;
	struct table table;

	table_init(&table, keys, sizeof(keys) / sizeof(keys[0]));
	for (size_t i = 0; i < report->rows.count; i++) {
		const struct row *row = &report->rows.row[i];

		table_text(&table, row->label.owner);
		table_text(&table, row->label.kind);
		table_text(&table, row->label.site);
		table_text(&table, row->label.name);
		table_number(&table, row->sum.rss_kib);
		if (core) {
			table_text(&table, "");
			table_text(&table, "");
		} else {
			table_number(&table, row->sum.pss_kib);
			table_number(&table, row->sum.swap_kib);
		}
		table_number(&table, row->sum.size_kib);
		table_number(&table, row->sum.vmas);
	}
	table_print_tsv(&table, to);
	table_destroy(&table);
}
