/* SPDX-License-Identifier: BSD-2-Clause */
/* Summing up a subject, and the sums as JSON. */
#include "tool/report.h"

#include <string.h>

#include "tool/alias_print.h"
#include "tool/heap_live.h"
#include "tool/heap_rows.h"
#include "tool/text.h"

struct making {
	struct report *report;
	struct heap_rows heap;
	const struct vma *last_vma;
};

/* A VMA counts once in a total, however many parts it has. */
static void add_part(const struct part *part, void *arg)
{
	struct making *making = arg;
	struct report *report = making->report;
	struct amounts amounts = part->amounts;
	bool anonymous = part_is_anonymous(part);

	if (!heap_rows_take(&making->heap, part))
		rows_add(&report->rows, &part->label, &amounts, anonymous);
	if (making->last_vma == part->vma)
		amounts.vmas = 0;
	making->last_vma = part->vma;
	amounts_add(&report->total, &amounts);
	if (!anonymous)
		return;
	amounts_add(&report->anonymous, &amounts);
	if (part_is_named(part))
		report->named_kib += amounts.rss_kib;
	else if (part->vma->class != VMA_ANON)
		report->heap_stack_kib += amounts.rss_kib;
}

void report_make(struct report *report, struct subject *subject,
		 enum rows_by by)
{
	struct making making = {.report = report};

	memset(report, 0, sizeof(*report));
	report->subject = subject;
	rows_init(&report->rows, by);
	report->has_heap = heap_live_any(&subject->registry);
	heap_rows_init(&making.heap, &subject->registry, &subject->pool,
		       subject->page_bytes);
	subject_attribute(subject, add_part, &making);
	report->live_bytes = heap_rows_finish(&making.heap, &report->rows);
	heap_rows_destroy(&making.heap);
	rows_sort(&report->rows);
	alias_groups_make(&report->aliases, subject);
}

void report_destroy(struct report *report)
{
	rows_destroy(&report->rows);
	alias_groups_destroy(&report->aliases);
}

static void put_key(FILE *to, const char *key)
{
	text_put_json(to, key);
	fputs(": ", to);
}

static void put_string(FILE *to, const char *key, const char *value)
{
	put_key(to, key);
	text_put_json(to, value);
	fputs(", ", to);
}

static void put_number(FILE *to, const char *key, uint64_t value)
{
	put_key(to, key);
	fprintf(to, "%llu", (unsigned long long)value);
}

/* What a core file cannot tell is null. */
static void put_live_number(FILE *to, const char *key, uint64_t value,
			    const struct report *report)
{
	put_key(to, key);
	if (report->subject->core != NULL)
		fputs("null, ", to);
	else
		fprintf(to, "%llu, ", (unsigned long long)value);
}

/* Null where there is no heap of the shim's. */
static void put_heap_live(FILE *to, bool has_live, uint64_t bytes)
{
	put_key(to, "live_kib");
	if (has_live)
		fprintf(to, "%llu", (unsigned long long)rows_live_kib(bytes));
	else
		fputs("null", to);
}

static void put_amounts(FILE *to, const struct amounts *amounts,
			const struct report *report)
{
	put_number(to, "rss_kib", amounts->rss_kib);
	fputs(", ", to);
	put_live_number(to, "pss_kib", amounts->pss_kib, report);
	put_live_number(to, "swap_kib", amounts->swap_kib, report);
	put_number(to, "size_kib", amounts->size_kib);
	fputs(", ", to);
	put_number(to, "vmas", amounts->vmas);
}

static void put_sum(FILE *to, const char *key, const struct amounts *amounts,
		    const struct report *report)
{
	fputs("  ", to);
	put_key(to, key);
	fputc('{', to);
	put_amounts(to, amounts, report);
	fputs("},\n", to);
}

static void put_head_number(FILE *to, const char *key, uint64_t value)
{
	fputs("  ", to);
	put_number(to, key, value);
	fputs(",\n", to);
}

static void put_head_string(FILE *to, const char *key, const char *value)
{
	fputs("  ", to);
	put_key(to, key);
	text_put_json(to, value);
	fputs(",\n", to);
}

static void put_row(FILE *to, const struct row *row,
		    const struct report *report)
{
	fputs("\n    {", to);
	put_string(to, "owner", row->label.owner);
	put_string(to, "kind", row->label.kind);
	put_string(to, "site", row->label.site);
	put_string(to, "name", row->label.name);
	put_amounts(to, &row->sum, report);
	fputs(", ", to);
	put_heap_live(to, row->has_live, row->live_bytes);
	fprintf(to, ", \"estimate\": %s}", row->estimate ? "true" : "false");
}

void report_print_json(const struct report *report, FILE *to)
{
	static const char *const by[] = {"owner", "site", "kind", "name"};
	const struct subject *subject = report->subject;
	uint64_t known = report->named_kib + report->heap_stack_kib;

	fputs("{\n", to);
	put_head_number(to, "schema_version", REPORT_SCHEMA_VERSION);
	put_head_number(to, "pid", (uint64_t)subject->pid);
	put_head_string(to, "comm", subject->comm);
	if (subject->core != NULL)
		put_head_string(to, "core", subject->core);
	put_head_string(to, "source", subject_source(subject));
	put_head_string(to, "by", by[report->rows.by]);
	put_sum(to, "total", &report->total, report);
	put_sum(to, "anonymous", &report->anonymous, report);
	put_head_number(to, "named_kib", report->named_kib);
	put_head_number(to, "heap_stack_kib", report->heap_stack_kib);
	put_head_number(to, "unattributed_kib",
			report->anonymous.rss_kib - known);
	fputs("  ", to);
	put_heap_live(to, report->has_heap, report->live_bytes);
	fputs(",\n  \"rows\": [", to);
	for (size_t i = 0; i < report->rows.count; i++) {
		fputs(i > 0 ? "," : "", to);
		put_row(to, &report->rows.row[i], report);
	}
	fputs("\n  ],\n", to);
	alias_print_json(&report->aliases, to);
	fputs("}\n", to);
}
