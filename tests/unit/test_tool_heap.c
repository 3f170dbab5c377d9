/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap in reports: live bytes, the shared arena divided among its accounts,
 * and what explain says of either.
 */
#include "tool/heap_live.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "test_tool_fixture.h"
#include "tool/explain.h"
#include "tool/report.h"

static struct fake_registry fake;
static struct subject subject;
static struct report made;
static bool is_made;

/* Nothing resident but what the test says, evenly. */
static int count_all(struct page_counter *counter, uint64_t from, uint64_t to,
		     struct page_count *count)
{
	(void)counter;
	*count = (struct page_count){.exclusive = (to - from) / 4096};
	return 0;
}

static struct page_counter counter = {count_all};

/* Sites of the process that most tests are about. */
static uint32_t own, shared, foo, bar, libs;

static void start(void)
{
	fake_registry_init(&fake);
	own = fake_site(&fake, "libbig.so", KIND_HEAP, "", "libbig.so: heap");
	shared = fake_site(&fake, "anonshim", KIND_HEAP, "shared",
			   "anonshim: heap shared");
	foo = fake_site(&fake, "liba.so", KIND_HEAP, "foo",
			"liba.so: heap foo");
	bar = fake_site(&fake, "liba.so", KIND_HEAP, "bar",
			"liba.so: heap bar");
	libs = fake_site(&fake, "libb.so", KIND_MMAP, "baz",
			 "libb.so: mmap baz");
	subject.pid = 7;
	subject.page_bytes = 4096;
	subject.counter = &counter;
	subject.space = &fake.memory.space;
	subject.exe = strpool_add(&subject.pool, "prog");
	snprintf(subject.comm, sizeof(subject.comm), "prog");
}

static void done(void)
{
	if (is_made)
		report_destroy(&made);
	registry_destroy(&subject.registry);
	claim_list_destroy(&subject.claims);
	vma_list_destroy(&subject.vmas);
	strpool_destroy(&subject.pool);
}

TestSuite(tool_heap, .init = start, .fini = done);

static void add_vma(unsigned from, unsigned to, const char *name,
		    uint64_t rss_kib, uint64_t pss_kib, uint64_t swap_kib)
{
	struct vma vma = {
		.start = FAKE_PAGE + from * UINT64_C(4096),
		.end = FAKE_PAGE + to * UINT64_C(4096),
		.name = strpool_add(&subject.pool, name),
		.perms = "rw-p",
		.rss_kib = rss_kib,
		.pss_kib = pss_kib,
		.swap_kib = swap_kib,
	};

	vma_classify(&vma, false, &subject.pool);
	vma_list_add(&subject.vmas, &vma);
}

static void open_subject(void)
{
	cr_assert_eq(
		registry_read(&subject.registry, &fake.memory.space, FAKE_HEAD),
		0);
	subject.has_registry = true;
	claim_list_from_registry(&subject.claims, &subject.registry,
				 &subject.vmas, &subject.pool);
}

/* Rows always add up to the total, and the total to the kernel's VMAs. */
static void check_sums(void)
{
	struct amounts rows = {0}, vmas = {0};
	uint64_t anon = 0;

	for (size_t i = 0; i < made.rows.count; i++) {
		const struct row *row = &made.rows.row[i];

		amounts_add(&rows, &row->sum);
		anon += row->anon_kib;
		cr_assert_leq(row->sum.pss_kib, row->sum.rss_kib);
		cr_assert_leq(row->sum.rss_kib + row->sum.swap_kib,
			      row->sum.size_kib);
		cr_assert_eq(row->sum.rss_kib % 4, 0);
	}
	for (size_t i = 0; i < subject.vmas.count; i++) {
		const struct vma *vma = &subject.vmas.v[i];
		struct amounts one = {vma->rss_kib, vma->pss_kib, vma->swap_kib,
				      vma_size_kib(vma), 1};

		amounts_add(&vmas, &one);
	}
	cr_assert_eq(rows.rss_kib, vmas.rss_kib);
	cr_assert_eq(rows.pss_kib, vmas.pss_kib);
	cr_assert_eq(rows.swap_kib, vmas.swap_kib);
	cr_assert_eq(rows.size_kib, vmas.size_kib);
	cr_assert_eq(made.total.rss_kib, vmas.rss_kib);
	cr_assert_eq(made.total.vmas, vmas.vmas);
	cr_assert_eq(anon, made.anonymous.rss_kib);
}

static void make(enum rows_by by)
{
	if (is_made)
		report_destroy(&made);
	is_made = true;
	report_make(&made, &subject, by);
	check_sums();
}

static const struct row *row(const char *owner, const char *site)
{
	for (size_t i = 0; i < made.rows.count; i++) {
		const struct row *row = &made.rows.row[i];

		if (strcmp(row->label.owner, owner) == 0 &&
		    (site == NULL || strcmp(row->label.site, site) == 0))
			return row;
	}
	cr_assert_fail("no row of %s", owner);
	return NULL;
}

static uint64_t *live_of_fake(void)
{
	open_subject();
	return heap_live_bytes(&subject.registry);
}

Test(tool_heap, live_is_direct_and_what_caches_took_but_do_not_hold)
{
	struct registry_cache *cache;
	uint64_t *live;

	fake.head.class_bytes[1] = 16;
	fake.head.class_bytes[2] = 100;
	fake_arena(&fake, own, 0, 1000);
	fake_arena(&fake, shared, ARENA_SHARED, 0);
	cache = fake_cache(&fake, 1, 500);
	cache->magazine[1] = (struct registry_magazine){0, 3, 8};
	cache->magazine[2] = (struct registry_magazine){0, 1, 8};
	fake_cache(&fake, 2, 77);
	fake_cache(&fake, 1, -300); /* frees what another thread took */
	live = live_of_fake();
	cr_assert(heap_live_any(&subject.registry));
	cr_assert_eq(live[1], 1000 + 500 - 48 - 100 - 300);
	cr_assert_eq(live[2], 77);
	free(live);
}

Test(tool_heap, live_is_never_below_0_nor_overflows)
{
	uint64_t *live;

	fake.head.class_bytes[5] = UINT32_MAX;
	fake_arena(&fake, own, 0, 10);
	fake_arena(&fake, foo, 0, 10);
	fake_arena(&fake, bar, 0, (INT64_C(1) << 56) - 1);
	fake_cache(&fake, 1, 10)->magazine[5] =
		(struct registry_magazine){0, 65536, 65536};
	fake_cache(&fake, 2, -11);
	live = live_of_fake();
	cr_assert_eq(subject.registry.bad, 0);
	cr_assert_eq(live[1], 0);
	cr_assert_eq(live[2], 0);
	cr_assert_eq(live[3], (UINT64_C(1) << 56) - 1);
	free(live);
}

Test(tool_heap, arenas_of_one_site_are_one)
{
	uint64_t *live;

	fake_arena(&fake, own, 0, 10);
	fake_arena(&fake, own, 0, 20);
	fake_cache(&fake, 2, 5);
	live = live_of_fake();
	cr_assert_eq(live[1], 35);
	cr_assert_eq(live[2], 0);
	free(live);
}

Test(tool_heap, without_arenas_there_is_nothing)
{
	add_vma(0, 8, "", 32, 32, 0);
	fake_region(&fake, 0, 8, libs);
	fake_account(&fake, foo, 100);
	open_subject();
	cr_assert_not(heap_live_any(&subject.registry));
	make(ROWS_BY_SITE);
	cr_assert_eq(made.rows.count, 1);
	cr_assert_not(row("libb.so", "baz")->has_live);
	cr_assert_not(made.has_heap);
}

Test(tool_heap, live_bytes_stand_in_the_row_of_the_site)
{
	static const enum rows_by all[] = {ROWS_BY_OWNER, ROWS_BY_SITE,
					   ROWS_BY_KIND, ROWS_BY_NAME};

	add_vma(0, 8, "", 32, 32, 0);
	add_vma(10, 14, "[anon:libbig.so: heap]", 16, 16, 0);
	add_vma(14, 20, "", 24, 24, 0);
	fake_region(&fake, 0, 4, own);
	fake_region(&fake, 4, 8, libs);
	fake_region(&fake, 10, 14, own);
	fake_arena(&fake, own, 0, 30 * 1024);
	open_subject();
	for (size_t i = 0; i < 4; i++) {
		const struct row *big;

		make(all[i]);
		big = all[i] == ROWS_BY_KIND ? &made.rows.row[0]
					     : row("libbig.so", "");
		cr_assert(big->has_live);
		cr_assert_eq(big->live_bytes, 30 * 1024);
		cr_assert_eq(big->sum.rss_kib, 32);
		cr_assert_not(big->estimate);
		cr_assert_eq(made.rows.count, 3);
		cr_assert_eq(made.live_bytes, 30 * 1024);
	}
	cr_assert_not(row("libb.so", "baz")->has_live);
}

/* Under max-vmas the kernel has but the owner for a name. */
Test(tool_heap, live_bytes_go_where_the_memory_is_by_name)
{
	add_vma(0, 4, "[anon:libbig.so]", 16, 16, 0);
	fake_region(&fake, 0, 4, own);
	fake_arena(&fake, own, 0, 4096);
	open_subject();
	make(ROWS_BY_NAME);
	cr_assert_eq(made.rows.count, 1);
	cr_assert_str_eq(made.rows.row[0].label.name, "libbig.so");
	cr_assert_eq(made.rows.row[0].live_bytes, 4096);
}

Test(tool_heap, an_arena_that_is_empty_is_no_row)
{
	add_vma(0, 4, "", 16, 16, 0);
	fake_arena(&fake, own, 0, 0);
	fake_arena(&fake, shared, ARENA_SHARED, 0);
	open_subject();
	make(ROWS_BY_SITE);
	cr_assert_eq(made.rows.count, 1);
	cr_assert(made.has_heap);
}

/* 100 pages in two VMAs, one shared with other memory; 20 KiB live. */
static void share(int64_t of_foo, int64_t of_bar)
{
	add_vma(0, 64, "", 256, 256, 0);
	add_vma(100, 140, "", 100, 50, 28);
	fake_region(&fake, 0, 4, own);
	fake_region(&fake, 4, 64, shared);
	fake_region(&fake, 100, 140, shared);
	fake_arena(&fake, own, 0, 4096);
	fake_arena(&fake, shared, ARENA_SHARED, 20 * 1024);
	fake_account(&fake, foo, of_foo);
	fake_account(&fake, bar, of_bar);
	open_subject();
}

Test(tool_heap, the_shared_arena_is_divided_by_live_bytes)
{
	share(10 * 1024, 5 * 1024);
	make(ROWS_BY_SITE);
	/* 240 + 100 KiB resident are 85 pages. */
	cr_assert_eq(row("liba.so", "foo")->sum.rss_kib, 172); /* 42.5 */
	cr_assert_eq(row("liba.so", "bar")->sum.rss_kib, 84);  /* 21.25 */
	cr_assert_eq(row("anonshim", "shared")->sum.rss_kib, 84);
	cr_assert_eq(row("liba.so", "foo")->live_bytes, 10 * 1024);
	cr_assert_eq(row("liba.so", "bar")->live_bytes, 5 * 1024);
	cr_assert_eq(row("anonshim", "shared")->live_bytes, 5 * 1024);
	cr_assert_str_eq(row("liba.so", "foo")->label.kind, "heap");
	cr_assert(row("liba.so", "foo")->estimate);
	cr_assert(row("anonshim", "shared")->estimate);
	cr_assert_not(row("libbig.so", "")->estimate);
	cr_assert_eq(row("liba.so", "foo")->sum.vmas, 0);
	cr_assert_eq(row("anonshim", "shared")->sum.vmas, 2);
	cr_assert_eq(made.named_kib, 356);
	cr_assert_eq(made.live_bytes, 24 * 1024);
}

Test(tool_heap, accounts_are_rows_by_owner_and_by_name)
{
	share(10 * 1024, 5 * 1024);
	make(ROWS_BY_OWNER);
	cr_assert_eq(made.rows.count, 3);
	cr_assert_eq(row("liba.so", "")->live_bytes, 15 * 1024);
	cr_assert(row("liba.so", "")->estimate);
	make(ROWS_BY_NAME);
	cr_assert_str_eq(row("liba.so", "bar")->label.name,
			 "liba.so: heap bar");
}

Test(tool_heap, by_kind_nothing_is_estimated)
{
	share(10 * 1024, 5 * 1024);
	make(ROWS_BY_KIND);
	cr_assert_eq(made.rows.count, 1);
	cr_assert_eq(made.rows.row[0].live_bytes, 24 * 1024);
	cr_assert_eq(made.rows.row[0].sum.rss_kib, 356);
	cr_assert_not(made.rows.row[0].estimate);
}

Test(tool_heap, accounts_may_explain_more_than_there_is)
{
	share(30 * 1024, 10 * 1024);
	make(ROWS_BY_SITE);
	cr_assert_eq(row("liba.so", "foo")->sum.rss_kib, 256);
	cr_assert_eq(row("liba.so", "bar")->sum.rss_kib, 84);
	cr_assert_eq(row("anonshim", "shared")->sum.rss_kib, 0);
	cr_assert_eq(row("anonshim", "shared")->sum.vmas, 2);
	cr_assert_eq(row("anonshim", "shared")->live_bytes, 0);
}

Test(tool_heap, accounts_that_hold_nothing_divide_nothing)
{
	share(0, -100);
	make(ROWS_BY_SITE);
	cr_assert_eq(made.rows.count, 2);
	cr_assert_eq(row("anonshim", "shared")->sum.rss_kib, 340);
	cr_assert_eq(row("anonshim", "shared")->live_bytes, 20 * 1024);
	cr_assert_not(row("anonshim", "shared")->estimate);
}

Test(tool_heap, amounts_add_up_whatever_the_accounts_say)
{
	uint64_t seed = 1;

	share(1, 1);
	for (int round = 0; round < 1000; round++) {
		struct registry *reg = &subject.registry;
		struct vma *vma = &subject.vmas.v[1];

		for (uint64_t i = 0; i < reg->naccounts; i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			reg->accounts[i].live =
				(int64_t)seed >> (8 + (seed >> 59));
		}
		vma->rss_kib = (seed >> 20) % 20 * 4;
		vma->pss_kib = vma->rss_kib * ((seed >> 30) % 5) / 4;
		vma->swap_kib = (seed >> 40) % 20 * 4;
		make(ROWS_BY_SITE);
	}
}

static char *print(void (*printer)(const struct report *, FILE *))
{
	static char *text;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	printer(&made, out);
	fclose(out);
	return text;
}

static void check_has(const char *text, const char *what)
{
	cr_assert_not_null(strstr(text, what), "%s is not in\n%s", what, text);
}

Test(tool_heap, reports_print_live_bytes_and_estimates)
{
	char *text;

	share(10 * 1024, 5 * 1024);
	make(ROWS_BY_SITE);
	text = print(report_print_json);
	check_has(text, "\"site\": \"foo\", \"name\": \"\", \"rss_kib\": 172,");
	check_has(text, "\"vmas\": 0, \"live_kib\": 10, \"estimate\": true}");
	check_has(text, "\"vmas\": 1, \"live_kib\": 4, \"estimate\": false}");
	check_has(text, "\"live_kib\": 24,\n  \"rows\"");
	free(text);
	text = print(report_print_tsv);
	check_has(text, "\tvmas\tlive_kib\testimate\n");
	check_has(text, "liba.so\theap\tfoo\t\t172\t");
	check_has(text, "\t0\t10\ttrue\n");
	check_has(text, "\t1\t4\tfalse\n");
	free(text);
	text = print(report_print);
	check_has(text, "  RSS  LIVE   PSS");
	check_has(text, "~172K   10K");
	check_has(text, "  16K    4K");
	check_has(text, " 356K   24K");
	check_has(text, "\n~ an estimate: ");
	free(text);
}

Test(tool_heap, reports_without_a_heap_have_no_column_for_it)
{
	char *text;

	add_vma(0, 8, "", 32, 32, 0);
	fake_region(&fake, 0, 8, libs);
	open_subject();
	make(ROWS_BY_SITE);
	text = print(report_print);
	cr_assert_null(strstr(text, "LIVE"));
	cr_assert_null(strchr(text, '~'));
	free(text);
	text = print(report_print_tsv);
	check_has(text, "\t1\t\tfalse\n");
	free(text);
}

static char *explain(const char *what)
{
	static char *text;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);
	bool found = explain_what(&subject, what, out);

	fclose(out);
	cr_assert(found, "%s", what);
	return text;
}

Test(tool_heap, explains_arenas)
{
	char *text;

	share(10 * 1024, 500);
	text = explain("libbig.so");
	check_has(text, "  arena     1, live 4K\n");
	cr_assert_null(strstr(text, "shared"));
	free(text);
	text = explain("0x7e0000004000");
	check_has(text, "  arena     2, live 20K, shared by small owners\n"
			"  accounts  of 2 sites, live bytes of each\n"
			"        10K  liba.so: foo\n"
			"      500 B  liba.so: bar\n");
	free(text);
}

Test(tool_heap, explains_no_arena_of_other_memory)
{
	char *text;

	add_vma(0, 8, "", 32, 32, 0);
	fake_region(&fake, 0, 8, libs);
	fake_arena(&fake, own, 0, 4096);
	open_subject();
	text = explain("libb.so");
	cr_assert_null(strstr(text, "arena"));
	free(text);
}

Test(tool_heap, explains_sites_that_have_but_an_account)
{
	static const char *const ways[] = {"liba.so: heap foo", "foo", "fo",
					   "[anon:liba.so: heap foo]"};

	share(10 * 1024, 500);
	for (size_t i = 0; i < 4; i++) {
		char *text = explain(ways[i]);

		cr_assert_str_eq(text,
				 "liba.so: heap foo\n"
				 "  owner     liba.so\n"
				 "  kind      heap\n"
				 "  site      foo\n"
				 "  live      10K, in the arena that small "
				 "owners share\n",
				 "%s", ways[i]);
		free(text);
	}
}

/* A core file knows no PSS and no swap; its heap is the same. */
Test(tool_heap, core_files_have_the_same_heap)
{
	char *text;

	subject.core = "core.7";
	share(10 * 1024, 5 * 1024);
	subject.vmas.v[0].pss_kib = subject.vmas.v[1].pss_kib = 0;
	subject.vmas.v[1].swap_kib = 0;
	make(ROWS_BY_SITE);
	text = print(report_print_tsv);
	check_has(text, "liba.so\theap\tfoo\t\t172\t\t\t");
	free(text);
	text = print(report_print);
	check_has(text, "DUMPED  LIVE");
	check_has(text, " ~172K   10K");
	free(text);
	text = explain("anonshim");
	check_has(text, "  arena     2, live 20K, shared");
	free(text);
}
