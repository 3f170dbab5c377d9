/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The region map against the simplest model there is: an array of pages.
 */
#include "base/sys.h"
#include "support.h"
#include "track/region.h"
#include "track/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define BASE ((uintptr_t)0x10000000)
#define PAGES 1024
#define OPERATIONS 100000

struct page {
	bool there;
	struct region_tag tag;
};

static struct page model[PAGES];
static uint64_t state = 20240607;

static uintptr_t addr(size_t page)
{
	return BASE + page * PAGE;
}

static bool tags_equal(const struct region_tag *a, const struct region_tag *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static struct region_tag some_tag(void)
{
	return (struct region_tag){
		.site = 1 + (uint32_t)(draw(&state) % 3),
		.own_name = draw(&state) % 4 ? 0 : 7,
		.tid = draw(&state) % 8 ? 0 : 42,
		.flags = draw(&state) % 8 ? 0 : REGION_SHARED,
	};
}

/* A range of up to MOST pages; at times an empty one. */
static void some_range(size_t *first, size_t *end, size_t most)
{
	*first = draw(&state) % PAGES;
	*end = *first + draw(&state) % most;
	if (*end > PAGES)
		*end = PAGES;
}

static void do_set(void)
{
	struct region_tag tag = some_tag();
	size_t first;
	size_t end;

	some_range(&first, &end, draw(&state) % 10 ? 12 : 300);
	region_set(addr(first), addr(end), &tag);
	for (size_t i = first; i < end; i++)
		model[i] = (struct page){true, tag};
}

static void do_clear(void)
{
	size_t first;
	size_t end;

	some_range(&first, &end, draw(&state) % 10 ? 12 : 300);
	region_clear(addr(first), addr(end));
	for (size_t i = first; i < end; i++)
		model[i] = (struct page){false, {0}};
}

static void do_copy(void)
{
	static struct page copied[PAGES];
	size_t first;
	size_t end;
	size_t to;

	some_range(&first, &end, 20);
	if (first == end)
		return;
	to = draw(&state) % (PAGES - (end - first));
	if (to < end && first < to + (end - first))
		return; /* as the kernel: source and target do not overlap */
	region_copy(addr(first), (end - first) * PAGE, addr(to));
	memcpy(copied, &model[first], (end - first) * sizeof(copied[0]));
	memcpy(&model[to], copied, (end - first) * sizeof(copied[0]));
}

static void do_name(void)
{
	size_t first;
	size_t end;
	uint32_t name = (uint32_t)(draw(&state) % 3);

	some_range(&first, &end, 30);
	region_set_own_name(addr(first), addr(end), name);
	for (size_t i = first; i < end; i++)
		if (model[i].there)
			model[i].tag.own_name = name;
}

/* Every region, in order: no two overlap, touching ones differ. */
static size_t check_invariants(void)
{
	const struct registry_region *before = NULL;
	const struct registry_region *r;
	size_t n = 0;

	for (uintptr_t at = 0; (r = region_at_or_above(at)); at = r->end) {
		struct region_tag tag = region_tag_of(r);

		cr_assert_lt(r->start, r->end);
		cr_assert_geq(r->start, at);
		if (before && before->end == r->start) {
			struct region_tag last = region_tag_of(before);

			cr_assert(!tags_equal(&last, &tag), "not coalesced");
		}
		before = r;
		n++;
	}
	cr_assert_eq(anonshim_registry->counters.regions, n);
	cr_assert_eq(anonshim_registry->generation % 2, 0);
	return n;
}

static void check_model(unsigned operation)
{
	check_invariants();
	for (size_t i = 0; i < PAGES; i++) {
		const struct registry_region *r = region_at(addr(i) + 123);
		struct region_tag tag;

		cr_assert_eq(!!r, model[i].there, "operation %u page %zu",
			     operation, i);
		if (!r)
			continue;
		tag = region_tag_of(r);
		cr_assert(tags_equal(&tag, &model[i].tag),
			  "operation %u page %zu", operation, i);
	}
}

Test(region, random_calls_agree_with_an_array_of_pages)
{
	cr_assert_eq(registry_init("test", ""), 0);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		switch (draw(&state) % 8) {
		case 0:
		case 1:
			do_clear();
			break;
		case 2:
			do_copy();
			break;
		case 3:
			do_name();
			break;
		default:
			do_set();
			break;
		}
		if (i < 300 || i % 97 == 0)
			check_model(i);
	}
	check_model(OPERATIONS);
	region_clear(0, UINTPTR_MAX);
	cr_assert_eq(check_invariants(), 0);
}

/* A reader of the table sees the same regions as the tree's searches. */
Test(region, table_and_tree_hold_the_same)
{
	struct registry_table *t;
	size_t in_use = 0;

	cr_assert_eq(registry_init("test", ""), 0);
	for (unsigned i = 0; i < 5000; i++)
		draw(&state) % 3 ? do_set() : do_clear();
	t = &anonshim_registry->table[REGISTRY_REGIONS];
	for (uint64_t i = 1; i < t->count; i++) {
		const struct registry_region *r = table_at(t, i);

		if (r->start == r->end)
			continue;
		in_use++;
		cr_assert_eq(region_at(r->start), r);
	}
	cr_assert_eq(in_use, check_invariants());
}

Test(region, neighbours_alike_become_one)
{
	struct region_tag a = {.site = 1};
	struct region_tag b = {.site = 2};

	cr_assert_eq(registry_init("test", ""), 0);
	region_set(addr(0), addr(1), &a);
	region_set(addr(2), addr(3), &a);
	cr_assert_eq(anonshim_registry->counters.regions, 2);
	region_set(addr(1), addr(2), &a);
	cr_assert_eq(anonshim_registry->counters.regions, 1);
	cr_assert_eq(region_at(addr(0))->end, addr(3));
	region_set(addr(1), addr(2), &b);
	cr_assert_eq(anonshim_registry->counters.regions, 3);
	region_set(addr(1), addr(2), &a);
	cr_assert_eq(anonshim_registry->counters.regions, 1);
}

Test(region, nothing_is_nothing, .timeout = 10)
{
	struct region_tag tag = {.site = 1};

	cr_assert_eq(registry_init("test", ""), 0);
	region_set(addr(0), addr(4), &tag);
	region_set(addr(2), addr(2), &tag);
	region_clear(addr(2), addr(2));
	region_copy(addr(20), 0, addr(2));
	region_set_own_name(addr(2), addr(2), 7);
	cr_assert_eq(check_invariants(), 1);
	cr_assert_eq(region_at(addr(0))->end, addr(4));
}

Test(region, brk_is_not_copied_with_its_flag)
{
	struct region_tag heap = {.site = 1, .flags = REGION_BRK};

	cr_assert_eq(registry_init("test", ""), 0);
	region_set(addr(0), addr(4), &heap);
	region_copy(addr(1), 2 * PAGE, addr(10));
	cr_assert_eq(region_at(addr(10))->flags, 0);
	cr_assert_eq(region_at(addr(0))->flags, REGION_BRK);
}

/* Slots that are freed are used again: the table does not grow for ever. */
Test(region, slots_are_used_again)
{
	struct region_tag tag = {.site = 1};
	uint64_t count;

	cr_assert_eq(registry_init("test", ""), 0);
	for (size_t i = 0; i < 100; i += 2)
		region_set(addr(i), addr(i + 1), &tag);
	count = anonshim_registry->table[REGISTRY_REGIONS].count;
	for (unsigned round = 0; round < 100; round++) {
		region_clear(addr(0), addr(100));
		for (size_t i = 0; i < 100; i += 2)
			region_set(addr(i), addr(i + 1), &tag);
	}
	cr_assert_eq(anonshim_registry->table[REGISTRY_REGIONS].count, count);
}

Test(region, out_of_memory_loses_a_record_and_says_so)
{
	struct region_tag tag = {.site = 1};

	cr_assert_eq(registry_init("test", ""), 0);
	region_set(addr(0), addr(1), &tag);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	for (size_t i = 2; i < PAGES; i += 2)
		region_set(addr(i), addr(i + 1), &tag);
	fault_none();
	cr_assert_gt(anonshim_registry->counters.lost, 0);
	cr_assert(anonshim_registry->flags & REGISTRY_INEXACT);
	cr_assert_eq(check_invariants() + anonshim_registry->counters.lost,
		     PAGES / 2);
	region_set(addr(0), addr(PAGES), &tag);
	cr_assert_eq(check_invariants(), 1);
}

/* Cutting a region in two with no slot for its tail: the head is right. */
Test(region, out_of_memory_while_cutting)
{
	struct region_tag tag = {.site = 1};
	struct region_tag other = {.site = 2};

	cr_assert_eq(registry_init("test", ""), 0);
	fault_set(SYS_mmap, -ENOMEM, 1, -1);
	region_set(addr(0), addr(PAGES), &tag);
	for (size_t i = 1; i + 1 < PAGES; i += 2)
		region_set(addr(i), addr(i + 1), &other);
	fault_none();
	check_invariants();
	cr_assert_gt(anonshim_registry->counters.lost, 0);
}

Test(region, reset_mends_a_map_half_changed)
{
	cr_assert_eq(registry_init("test", ""), 0);
	cr_assert(region_lock_take());
	anonshim_registry->generation |= 1;
	cr_assert(region_lock_reset(), "it may be torn");
	cr_assert_eq(anonshim_registry->generation % 2, 0);
	cr_assert(region_lock_take(), "and free");
	region_lock_drop();
	cr_assert(!region_lock_reset());
}
