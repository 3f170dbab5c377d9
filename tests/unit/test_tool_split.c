/* SPDX-License-Identifier: BSD-2-Clause */
/* Dividing a VMA: parts add up to it, whatever was counted. */
#include "tool/split.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define PARTS 3

static struct vma vma;
static struct split_part part[PARTS];

/* Parts of 10, 20 and 70 pages. */
static void build(void)
{
	static const uint64_t pages[PARTS] = {10, 20, 70};
	uint64_t at = 0x100000;

	memset(part, 0, sizeof(part));
	memset(&vma, 0, sizeof(vma));
	vma.start = at;
	for (int i = 0; i < PARTS; i++) {
		part[i].start = at;
		at += pages[i] * 4096;
		part[i].end = at;
	}
	vma.end = at;
}

TestSuite(tool_split, .init = build);

static void figures(uint64_t rss_pages, uint64_t pss_kib, uint64_t swap_pages)
{
	vma.rss_kib = rss_pages * 4;
	vma.pss_kib = pss_kib;
	vma.swap_kib = swap_pages * 4;
}

static void count(int i, uint64_t exclusive, uint64_t shared, uint64_t swapped)
{
	part[i].pages = (struct page_count){exclusive, shared, swapped};
}

static void check_sums(void)
{
	uint64_t rss = 0, pss = 0, swap = 0;

	for (int i = 0; i < PARTS; i++) {
		rss += part[i].rss_kib;
		pss += part[i].pss_kib;
		swap += part[i].swap_kib;
		cr_assert_leq(part[i].rss_kib,
			      (part[i].end - part[i].start) / 1024);
		cr_assert_eq(part[i].rss_kib % 4, 0);
	}
	cr_assert_eq(rss, vma.rss_kib);
	cr_assert_eq(pss, vma.pss_kib);
	cr_assert_eq(swap, vma.swap_kib);
}

Test(tool_split, exclusive_pages_count_in_full)
{
	count(0, 10, 0, 0);
	count(1, 5, 0, 3);
	count(2, 0, 0, 1);
	figures(15, 60, 4);
	split_figures(&vma, part, PARTS, 4096);
	check_sums();
	cr_assert_eq(part[0].rss_kib, 40);
	cr_assert_eq(part[0].pss_kib, 40);
	cr_assert_eq(part[1].pss_kib, 20);
	cr_assert_eq(part[1].swap_kib, 12);
	cr_assert_eq(part[2].rss_kib, 0);
	cr_assert_eq(part[2].swap_kib, 4);
}

Test(tool_split, the_rest_of_pss_is_spread_over_shared_pages)
{
	count(0, 10, 0, 0);
	count(1, 0, 20, 0);
	count(2, 0, 40, 0);
	/* 60 pages shared by two: 120 KiB of PSS. */
	figures(70, 40 + 120, 0);
	split_figures(&vma, part, PARTS, 4096);
	check_sums();
	cr_assert_eq(part[0].pss_kib, 40);
	cr_assert_eq(part[1].pss_kib, 40);
	cr_assert_eq(part[2].pss_kib, 80);
}

Test(tool_split, the_zero_page_is_not_resident)
{
	count(0, 10, 0, 0);
	count(1, 0, 20, 0); /* read, never written */
	figures(10, 40, 0);
	split_figures(&vma, part, PARTS, 4096);
	check_sums();
	cr_assert_eq(part[0].rss_kib, 40);
	cr_assert_eq(part[1].rss_kib, 0);
}

Test(tool_split, pages_that_came_since_go_where_there_is_room)
{
	count(0, 10, 0, 0);
	count(1, 20, 0, 0);
	figures(50, 200, 0);
	split_figures(&vma, part, PARTS, 4096);
	check_sums();
	cr_assert_eq(part[2].rss_kib, 80);
}

Test(tool_split, pages_that_went_since_are_taken_in_proportion)
{
	count(0, 10, 0, 0);
	count(1, 20, 0, 0);
	count(2, 30, 0, 0);
	figures(6, 24, 0);
	split_figures(&vma, part, PARTS, 4096);
	check_sums();
	cr_assert_eq(part[0].rss_kib, 4);
	cr_assert_eq(part[1].rss_kib, 8);
	cr_assert_eq(part[2].rss_kib, 12);
}

Test(tool_split, an_untouched_vma_has_untouched_parts)
{
	split_figures(&vma, part, PARTS, 4096);
	check_sums();
}

Test(tool_split, works_with_other_page_sizes)
{
	for (int i = 0; i < PARTS; i++) {
		part[i].start = (part[i].start - vma.start) * 16 + vma.start;
		part[i].end = (part[i].end - vma.start) * 16 + vma.start;
	}
	vma.end = part[2].end;
	count(1, 3, 0, 0);
	figures(0, 192, 0);
	vma.rss_kib = 192;
	split_figures(&vma, part, PARTS, 65536);
	cr_assert_eq(part[1].rss_kib, 192);
	cr_assert_eq(part[1].pss_kib, 192);
}

Test(tool_split, whatever_was_counted_the_sums_hold)
{
	srandom(1);
	for (int round = 0; round < 20000; round++) {
		uint64_t resident = (uint64_t)random() % 101;

		build();
		for (int i = 0; i < PARTS; i++) {
			uint64_t pages = (part[i].end - part[i].start) / 4096;
			uint64_t left = pages;

			part[i].pages.exclusive =
				(uint64_t)random() % (left + 1);
			left -= part[i].pages.exclusive;
			part[i].pages.shared = (uint64_t)random() % (left + 1);
			left -= part[i].pages.shared;
			part[i].pages.swapped = (uint64_t)random() % (left + 1);
		}
		figures(resident, (uint64_t)random() % (resident * 4 + 1),
			(uint64_t)random() % (101 - resident));
		split_figures(&vma, part, PARTS, 4096);
		check_sums();
	}
}

Test(tool_split, shares_add_up_and_stay_near_their_proportion)
{
	uint64_t weight[] = {1, 1, 1, 0, 97}, share[5], sum = 0;

	split_total(1000, weight, share, 5);
	for (int i = 0; i < 5; i++) {
		sum += share[i];
		cr_assert_leq(
			llabs((long long)share[i] - (long long)weight[i] * 10),
			1);
	}
	cr_assert_eq(sum, 1000);
	cr_assert_eq(share[3], 0);
}

Test(tool_split, without_weights_shares_are_even)
{
	uint64_t weight[] = {0, 0, 0}, share[3];

	split_total(7, weight, share, 3);
	cr_assert_eq(share[0] + share[1] + share[2], 7);
	cr_assert_leq(share[2], 3);
}

Test(tool_split, large_numbers_do_not_overflow)
{
	uint64_t weight[] = {UINT64_C(1) << 62, UINT64_C(1) << 62}, share[2];

	split_total(UINT64_MAX / 2, weight, share, 2);
	cr_assert_eq(share[0] + share[1], UINT64_MAX / 2);
	cr_assert_leq(share[1] - share[0], 1);
}

Test(tool_split, largest_remainders_win)
{
	uint64_t weight[] = {1, 1, 4000, 0, 4000};
	uint64_t share[5];

	split_largest(3, weight, share, 5);
	cr_assert_arr_eq(share, ((uint64_t[]){0, 0, 2, 0, 1}), sizeof(share));
	split_largest(8002, weight, share, 5);
	cr_assert_arr_eq(share, weight, sizeof(share));
	split_largest(0, weight, share, 5);
	for (size_t i = 0; i < 5; i++)
		cr_assert_eq(share[i], 0);
}

Test(tool_split, largest_remainders_add_up_to_the_total)
{
	uint64_t weight[100], share[100], seed = 1, upto = 1;

	for (int round = 0; round < 500; round++) {
		uint64_t sum = 0, total = upto;

		for (size_t i = 0; i < 100; i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			weight[i] = i % 7 != 0 ? seed >> (seed >> 58) : 0;
		}
		split_largest(total, weight, share, 100);
		for (size_t i = 0; i < 100; i++) {
			cr_assert(weight[i] != 0 || share[i] == 0);
			sum += share[i];
		}
		cr_assert_eq(sum, total);
		upto = upto * 3 + 1;
		upto &= UINT64_MAX >> 8;
	}
}
