/* SPDX-License-Identifier: BSD-2-Clause */
/* Aggregation: what falls into one row, and the order of rows. */
#include "tool/rows.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct strpool pool;
static struct rows rows;

static void done(void)
{
	rows_destroy(&rows);
	strpool_destroy(&pool);
}

TestSuite(tool_rows, .fini = done);

static void add(const char *owner, const char *kind, const char *site,
		const char *name, uint64_t kib, bool anonymous)
{
	struct label label = label_make(&pool, owner, kind, site, name);
	struct amounts amounts = {kib, kib / 2, kib / 4, kib * 2, 1};

	rows_add(&rows, &label, &amounts, anonymous);
}

static void add_some(enum rows_by by)
{
	rows_init(&rows, by);
	add("libc", "heap", "malloc", "libc: heap malloc", 40, true);
	add("libc", "heap", "calloc", "libc: heap calloc", 80, true);
	add("libc", "file", "", "/lib/libc", 100, false);
	add("libc", "heap", "malloc", "JIT", 4, true);
	add("prog", "heap", "malloc", "prog: heap malloc", 500, true);
}

Test(tool_rows, by_owner)
{
	add_some(ROWS_BY_OWNER);
	rows_sort(&rows);
	cr_assert_eq(rows.count, 2);
	cr_assert_str_eq(rows.row[0].label.owner, "prog");
	cr_assert_str_eq(rows.row[1].label.owner, "libc");
	cr_assert_str_eq(rows.row[1].label.kind, "");
	cr_assert_str_eq(rows.row[1].label.site, "");
	cr_assert_str_eq(rows.row[1].label.name, "");
	cr_assert_eq(rows.row[1].sum.rss_kib, 224);
	cr_assert_eq(rows.row[1].sum.pss_kib, 112);
	cr_assert_eq(rows.row[1].sum.swap_kib, 56);
	cr_assert_eq(rows.row[1].sum.size_kib, 448);
	cr_assert_eq(rows.row[1].sum.vmas, 4);
	cr_assert_eq(rows.row[1].anon_kib, 124);
}

Test(tool_rows, by_kind)
{
	add_some(ROWS_BY_KIND);
	rows_sort(&rows);
	cr_assert_eq(rows.count, 2);
	cr_assert_str_eq(rows.row[0].label.kind, "heap");
	cr_assert_str_eq(rows.row[0].label.owner, "");
	cr_assert_eq(rows.row[0].sum.rss_kib, 624);
	cr_assert_eq(rows.row[1].sum.rss_kib, 100);
}

Test(tool_rows, by_site_keeps_owners_apart)
{
	add_some(ROWS_BY_SITE);
	rows_sort(&rows);
	cr_assert_eq(rows.count, 4);
	cr_assert_str_eq(rows.row[0].label.owner, "prog");
	cr_assert_str_eq(rows.row[3].label.site, "malloc");
	cr_assert_str_eq(rows.row[3].label.name, "");
	cr_assert_eq(rows.row[3].sum.rss_kib, 44);
}

Test(tool_rows, by_name_is_the_finest)
{
	add_some(ROWS_BY_NAME);
	cr_assert_eq(rows.count, 5);
	add("libc", "heap", "malloc", "JIT", 4, true);
	cr_assert_eq(rows.count, 5);
	rows_sort(&rows);
	cr_assert_str_eq(rows.row[4].label.name, "JIT");
	cr_assert_eq(rows.row[4].sum.rss_kib, 8);
	cr_assert_eq(rows.row[4].sum.vmas, 2);
}

Test(tool_rows, equal_rows_are_in_order_of_their_labels)
{
	rows_init(&rows, ROWS_BY_OWNER);
	add("b", "", "", "", 4, false);
	add("c", "", "", "", 4, false);
	add("a", "", "", "", 4, false);
	rows_sort(&rows);
	cr_assert_str_eq(rows.row[0].label.owner, "a");
	cr_assert_str_eq(rows.row[1].label.owner, "b");
	cr_assert_str_eq(rows.row[2].label.owner, "c");
}

Test(tool_rows, takes_more_after_sorting)
{
	add_some(ROWS_BY_OWNER);
	rows_sort(&rows);
	add("libc", "", "", "", 1, false);
	cr_assert_eq(rows.count, 2);
	cr_assert_eq(rows.row[1].sum.rss_kib, 225);
}

Test(tool_rows, tells_ten_thousand_apart)
{
	char owner[32];

	rows_init(&rows, ROWS_BY_OWNER);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 10000; i++) {
			snprintf(owner, sizeof(owner), "owner%d", i);
			add(owner, "", "", "", (uint64_t)i, true);
		}
	cr_assert_eq(rows.count, 10000);
	rows_sort(&rows);
	for (size_t i = 0; i < 10000; i++)
		cr_assert_eq(rows.row[i].sum.rss_kib, 2 * (9999 - i));
}

Test(tool_rows, nothing_sorts_as_well)
{
	rows_init(&rows, ROWS_BY_SITE);
	rows_sort(&rows);
	cr_assert_eq(rows.count, 0);
}
