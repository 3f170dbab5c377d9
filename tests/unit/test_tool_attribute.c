/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's VMAs held against claims, by registry and by hand. */
#include "tool/attribute.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "test_tool_fixture.h"

static struct strpool pool;
static struct vma_list vmas;
static struct claim_list claims;
static struct fake_registry fake;
static struct registry reg;
static struct part parts[32];
static size_t nparts;

static void done(void)
{
	registry_destroy(&reg);
	claim_list_destroy(&claims);
	vma_list_destroy(&vmas);
	strpool_destroy(&pool);
}

static void start(void)
{
	fake_registry_init(&fake);
}

TestSuite(tool_attribute, .init = start, .fini = done);

/* Pages [from, to) after FAKE_PAGE, half of them resident. */
static void add_vma(unsigned from, unsigned to, const char *name)
{
	struct vma vma = {
		.start = FAKE_PAGE + from * UINT64_C(4096),
		.end = FAKE_PAGE + to * UINT64_C(4096),
		.name = strpool_add(&pool, name),
		.perms = "rw-p",
		.rss_kib = (to - from) / 2 * 4,
		.pss_kib = (to - from) / 2 * 4,
	};

	vma_classify(&vma, name[0] == '/', &pool);
	vma_list_add(&vmas, &vma);
}

static void add_claim(unsigned from, unsigned to, const char *name)
{
	struct claim claim = {
		.start = FAKE_PAGE + from * UINT64_C(4096),
		.end = FAKE_PAGE + to * UINT64_C(4096),
		.label = label_parse(&pool, name),
	};

	claim_list_add(&claims, &claim);
}

/* Even pages are resident. */
static int count_even(struct page_counter *counter, uint64_t from, uint64_t to,
		      struct page_count *count)
{
	(void)counter;
	*count = (struct page_count){0, 0, 0};
	for (uint64_t page = from / 4096; page < to / 4096; page++)
		count->exclusive += page % 2 == 0;
	return 0;
}

static int count_nothing(struct page_counter *counter, uint64_t from,
			 uint64_t to, struct page_count *count)
{
	(void)counter;
	(void)from;
	(void)to;
	(void)count;
	return -EPERM;
}

static void record(const struct part *part, void *arg)
{
	(void)arg;
	cr_assert_lt(nparts, 32);
	parts[nparts++] = *part;
}

static uint64_t run_with(int (*count)(struct page_counter *, uint64_t, uint64_t,
				      struct page_count *))
{
	struct page_counter counter = {count};
	struct attribution a = {
		.vmas = &vmas,
		.claims = &claims,
		.pool = &pool,
		.exe = strpool_add(&pool, "prog"),
		.counter = &counter,
		.page_bytes = 4096,
	};
	uint64_t rss = 0, size = 0;
	struct vma_rollup sum;

	nparts = 0;
	attribute(&a, record, NULL);
	vma_list_sum(&vmas, &sum);
	for (size_t i = 0; i < nparts; i++) {
		rss += parts[i].amounts.rss_kib;
		size += parts[i].amounts.size_kib;
	}
	cr_assert_eq(rss, sum.rss_kib, "parts add up to the VMAs");
	for (size_t i = 0; i < vmas.count; i++)
		size -= vma_size_kib(&vmas.v[i]);
	cr_assert_eq(size, 0);
	return a.undivided;
}

static void run(void)
{
	cr_assert_eq(run_with(count_even), 0);
}

static void check(size_t i, unsigned from, unsigned to, const char *name)
{
	cr_assert_lt(i, nparts);
	cr_assert_eq(parts[i].start, FAKE_PAGE + from * UINT64_C(4096));
	cr_assert_eq(parts[i].end, FAKE_PAGE + to * UINT64_C(4096));
	cr_assert_str_eq(parts[i].label.name, name);
}

Test(tool_attribute, a_vma_without_claims_is_what_the_kernel_says)
{
	add_vma(0, 10, "");
	add_vma(10, 12, "/lib/x.so");
	run();
	cr_assert_eq(nparts, 2);
	cr_assert_str_eq(parts[0].label.owner, "(unattributed)");
	cr_assert_not(part_is_named(&parts[0]));
	cr_assert(part_is_anonymous(&parts[0]));
	cr_assert_not(part_is_anonymous(&parts[1]));
}

Test(tool_attribute, merged_vmas_are_divided_and_their_pages_counted)
{
	add_vma(0, 20, "");
	add_claim(0, 4, "a: mmap f");
	add_claim(4, 10, "b: mmap g");
	add_claim(16, 20, "a: mmap f");
	run();
	cr_assert_eq(nparts, 4);
	check(0, 0, 4, "a: mmap f");
	check(1, 4, 10, "b: mmap g");
	check(2, 10, 16, "");
	check(3, 16, 20, "a: mmap f");
	cr_assert_eq(parts[1].amounts.rss_kib, 12);
	cr_assert_eq(parts[1].amounts.vmas, 1);
	cr_assert(part_is_named(&parts[1]));
	cr_assert_not(part_is_named(&parts[2]));
}

Test(tool_attribute, neighbours_of_one_label_are_one_part)
{
	add_vma(0, 8, "");
	add_claim(0, 4, "a: mmap f");
	add_claim(4, 8, "a: mmap f");
	cr_assert_eq(run_with(count_nothing), 0, "nothing to divide");
	cr_assert_eq(nparts, 1);
}

Test(tool_attribute, claims_beyond_the_kernels_vmas_are_void)
{
	add_vma(10, 20, "");
	add_claim(0, 12, "a: mmap f");
	add_claim(18, 30, "b: mmap g");
	add_claim(40, 50, "c: mmap h");
	run();
	cr_assert_eq(nparts, 3);
	check(0, 10, 12, "a: mmap f");
	check(1, 12, 18, "");
	check(2, 18, 20, "b: mmap g");
}

Test(tool_attribute, one_claim_may_span_vmas)
{
	add_vma(0, 4, "");
	add_vma(4, 8, "");
	add_claim(0, 8, "a: mmap f");
	run();
	cr_assert_eq(nparts, 2);
	check(0, 0, 4, "a: mmap f");
	check(1, 4, 8, "a: mmap f");
}

Test(tool_attribute, files_and_the_kernels_pages_cannot_be_claimed)
{
	add_vma(0, 4, "/lib/x.so");
	add_vma(4, 6, "[vdso]");
	add_vma(6, 8, "[stack]");
	add_claim(0, 8, "a: mmap f");
	run();
	cr_assert_eq(nparts, 3);
	check(0, 0, 4, "/lib/x.so");
	check(1, 4, 6, "[vdso]");
	check(2, 6, 8, "[stack]");
	cr_assert_str_eq(parts[2].label.owner, "prog");
}

Test(tool_attribute, bss_that_runs_into_the_heap_is_told_from_it)
{
	add_vma(0, 8, "[heap]");
	add_claim(0, 2, "prog: bss");
	run();
	cr_assert_eq(nparts, 2);
	check(0, 0, 2, "prog: bss");
	check(1, 2, 8, "[heap]");
	cr_assert(part_is_named(&parts[0]));
	cr_assert_not(part_is_named(&parts[1]));
}

Test(tool_attribute, shared_anonymous_memory_can_be_claimed)
{
	add_vma(0, 8, "/dev/zero (deleted)");
	add_claim(0, 8, "a: mmap f");
	run();
	check(0, 0, 8, "a: mmap f");
}

Test(tool_attribute, a_name_in_the_kernel_beats_a_claim_of_another_name)
{
	add_vma(0, 8, "[anon:v8 heap]");
	add_vma(8, 16, "[anon:a: mmap f]");
	add_vma(16, 24, "[anon:a]");
	add_claim(0, 24, "a: mmap f");
	run();
	cr_assert_eq(nparts, 3);
	check(0, 0, 8, "v8 heap");
	cr_assert_str_eq(parts[0].label.owner, "v8 heap");
	check(1, 8, 16, "a: mmap f");
	check(2, 16, 24, "a"); /* cut to the owner: the site is still known */
	cr_assert_str_eq(parts[2].label.site, "f");
}

Test(tool_attribute, pages_that_cannot_be_counted_are_not_made_up)
{
	add_vma(0, 8, "");
	add_claim(0, 4, "a: mmap f");
	cr_assert_eq(run_with(count_nothing), 1);
	cr_assert_eq(nparts, 1);
	cr_assert_str_eq(parts[0].label.owner, "(unattributed)");
}

Test(tool_attribute, full_and_empty_vmas_need_no_counting)
{
	add_vma(0, 8, "");
	vmas.v[0].rss_kib = vmas.v[0].pss_kib = 32;
	add_vma(8, 16, "");
	vmas.v[1].rss_kib = vmas.v[1].pss_kib = 0;
	add_claim(0, 2, "a: mmap f");
	add_claim(8, 9, "a: mmap f");
	cr_assert_eq(run_with(count_nothing), 0);
	cr_assert_eq(nparts, 4);
	cr_assert_eq(parts[0].amounts.rss_kib, 8);
	cr_assert_eq(parts[1].amounts.rss_kib, 24);
}

static void claims_of_registry(void)
{
	cr_assert_eq(registry_read(&reg, &fake.memory.space, FAKE_HEAD), 0);
	claim_list_from_registry(&claims, &reg, &vmas, &pool);
}

Test(tool_attribute, regions_become_claims)
{
	uint32_t site = fake_site(&fake, "libx.so", KIND_MMAP, "_ZN1a1bEv",
				  "libx.so: mmap ...1bEv");

	fake_region(&fake, 0, 4, site);
	fake_region(&fake, 4, 8, site)->own_name = fake_string(&fake, "JIT");
	fake_region(&fake, 8, 12, 0)->own_name = fake_string(&fake, "Go: heap");
	fake_region(&fake, 12, 16, 0);
	fake_region(&fake, 16, 20, site)->flags = REGION_BRK;
	add_vma(0, 20, "");
	claims_of_registry();
	run();
	cr_assert_eq(nparts, 4);
	check(0, 0, 4, "libx.so: mmap ...1bEv");
	check(1, 4, 8, "JIT");
	cr_assert_str_eq(parts[1].label.owner, "libx.so");
	check(2, 8, 12, "Go: heap");
	cr_assert_str_eq(parts[2].label.owner, "Go");
	check(3, 12, 20, "");
#ifdef HAVE_CXA_DEMANGLE
	cr_assert_str_eq(parts[0].label.site, "a::b()");
#endif
}

Test(tool_attribute, a_stack_that_grows_down_starts_where_the_kernel_says)
{
	uint32_t site =
		fake_site(&fake, "prog", KIND_STACK, "f", "prog: stack f");

	fake_region(&fake, 6, 8, site)->flags = REGION_GROWSDOWN;
	add_vma(2, 8, "");
	claims_of_registry();
	run();
	cr_assert_eq(nparts, 1);
	check(0, 2, 8, "prog: stack f");
}

Test(tool_attribute, another_template_makes_any_name_agree)
{
	uint32_t site = fake_site(&fake, "libx.so", KIND_MMAP, "f", "f/libx");

	fake.head.options = fake_string(&fake, "name=%s/%o/%t");
	fake_region(&fake, 0, 4, site);
	add_vma(0, 4, "[anon:f/libx/12]");
	claims_of_registry();
	run();
	check(0, 0, 4, "f/libx/12");
	cr_assert_str_eq(parts[0].label.owner, "libx.so");
	cr_assert_str_eq(parts[0].label.kind, "mmap");
}

Test(tool_attribute, claims_merge_where_there_is_room)
{
	struct claim_list more = {NULL, 0, 0};
	struct claim wide = {
		.start = FAKE_PAGE,
		.end = FAKE_PAGE + 20 * 4096,
		.label = label_parse(&pool, "m: heap n"),
	};

	add_claim(4, 8, "a: mmap f");
	add_claim(12, 16, "b: mmap g");
	claim_list_add(&more, &wide);
	claim_list_merge(&claims, &more);
	add_vma(0, 20, "");
	run();
	cr_assert_eq(nparts, 5);
	check(0, 0, 4, "m: heap n");
	check(1, 4, 8, "a: mmap f");
	check(2, 8, 12, "m: heap n");
	check(3, 12, 16, "b: mmap g");
	check(4, 16, 20, "m: heap n");
	claim_list_destroy(&more);
}
