/* SPDX-License-Identifier: BSD-2-Clause */
/* Dividing a VMA's figures among its parts. */
#include "tool/split.h"

#include <stdlib.h>
#include <string.h>

#include "tool/mem.h"

void split_total(uint64_t total, const uint64_t *weight, uint64_t *share,
		 size_t n)
{
	unsigned __int128 sum = 0, upto = 0;
	uint64_t given = 0;

	for (size_t i = 0; i < n; i++)
		sum += weight[i];
	for (size_t i = 0; i < n; i++) {
		uint64_t now;

		upto += sum != 0 ? weight[i] : 1;
		now = (uint64_t)(total * upto / (sum != 0 ? sum : n));
		share[i] = now - given;
		given = now;
	}
}

struct remainder {
	unsigned __int128 rest;
	size_t of;
};

/* Largest first; of equal ones the first. */
static int by_remainder(const void *a, const void *b)
{
	const struct remainder *x = a, *y = b;

	if (x->rest != y->rest)
		return x->rest > y->rest ? -1 : 1;
	return x->of < y->of ? -1 : x->of > y->of;
}

void split_largest(uint64_t total, const uint64_t *weight, uint64_t *share,
		   size_t n)
{
	struct remainder *remainder = mem_zalloc(n, sizeof(*remainder));
	unsigned __int128 sum = 0;
	uint64_t left = total;

	for (size_t i = 0; i < n; i++)
		sum += weight[i];
	for (size_t i = 0; i < n; i++) {
		unsigned __int128 part = (unsigned __int128)total * weight[i];

		share[i] = sum != 0 ? (uint64_t)(part / sum) : 0;
		remainder[i].rest = sum != 0 ? part % sum : 0;
		remainder[i].of = i;
		left -= share[i];
	}
	qsort(remainder, n, sizeof(*remainder), by_remainder);
	for (size_t i = 0; sum != 0 && i < n && left > 0; i++, left--)
		share[remainder[i].of]++;
	free(remainder);
}

static uint64_t sum_of(const uint64_t *value, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += value[i];
	return sum;
}

/*
 * Makes counted[] add up to total: too many are cut in proportion; too few are
 * made up out of room[], what a part could still hold.
 */
static void fit(uint64_t total, uint64_t *counted, const uint64_t *room,
		uint64_t *scratch, size_t n)
{
	uint64_t sum = sum_of(counted, n);

	if (sum > total) {
		memcpy(scratch, counted, n * sizeof(*counted));
		split_total(total, scratch, counted, n);
	} else if (sum < total) {
		split_total(total - sum, room, scratch, n);
		for (size_t i = 0; i < n; i++)
			counted[i] += scratch[i];
	}
}

/* Arrays of one VMA's split, a value a part; pages unless they say KiB. */
struct work {
	uint64_t *exclusive, *shared, *swapped, *room, *pss_kib, *scratch;
	size_t n;
	uint64_t page_kib;
};

static void fill(struct work *w, const struct split_part *parts)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct page_count *count = &parts[i].pages;

		w->exclusive[i] = count->exclusive;
		w->shared[i] = count->shared;
		w->swapped[i] = count->swapped;
	}
}

/* What a part can hold beyond its resident pages. */
static void find_room(struct work *w, const struct split_part *parts)
{
	for (size_t i = 0; i < w->n; i++) {
		uint64_t bytes = parts[i].end - parts[i].start;
		uint64_t pages = bytes / (w->page_kib * 1024);
		uint64_t used = w->exclusive[i] + w->shared[i];

		w->room[i] = pages > used ? pages - used : 0;
	}
}

/* A page that was swapped when it was counted may be resident now. */
static void fit_swapped(struct work *w, uint64_t swapped)
{
	for (size_t i = 0; i < w->n; i++) {
		if (w->swapped[i] > w->room[i])
			w->swapped[i] = w->room[i];
		w->room[i] -= w->swapped[i];
	}
	fit(swapped, w->swapped, w->room, w->scratch, w->n);
}

/*
 * Resident pages.  Where pagemap has more than smaps the surplus is the zero
 * page, which it calls present and not exclusive.
 */
static void fit_resident(struct work *w, uint64_t resident)
{
	uint64_t exclusive = sum_of(w->exclusive, w->n);

	if (exclusive > resident) {
		fit(resident, w->exclusive, w->room, w->scratch, w->n);
		exclusive = resident;
	}
	fit(resident - exclusive, w->shared, w->room, w->scratch, w->n);
}

static void spread_pss(struct work *w, uint64_t pss_kib)
{
	uint64_t exclusive_kib = sum_of(w->exclusive, w->n) * w->page_kib;
	uint64_t shared = sum_of(w->shared, w->n);

	for (size_t i = 0; i < w->n; i++)
		w->pss_kib[i] = w->exclusive[i] * w->page_kib;
	if (exclusive_kib <= pss_kib && shared > 0) {
		split_total(pss_kib - exclusive_kib, w->shared, w->scratch,
			    w->n);
		for (size_t i = 0; i < w->n; i++)
			w->pss_kib[i] += w->scratch[i];
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		w->room[i] = w->exclusive[i] + w->shared[i];
	fit(pss_kib, w->pss_kib, w->room, w->scratch, w->n);
}

void split_figures(const struct vma *vma, struct split_part *parts, size_t n,
		   uint64_t page_bytes)
{
	uint64_t *memory = mem_zalloc(n * 6, sizeof(*memory));
	struct work w = {
		memory,
		memory + n,
		memory + 2 * n,
		memory + 3 * n,
		memory + 4 * n,
		memory + 5 * n,
		n,
		page_bytes / 1024,
	};

	fill(&w, parts);
	find_room(&w, parts);
	fit_resident(&w, vma->rss_kib / w.page_kib);
	find_room(&w, parts);
	fit_swapped(&w, vma->swap_kib / w.page_kib);
	spread_pss(&w, vma->pss_kib);
	for (size_t i = 0; i < n; i++) {
		parts[i].rss_kib = (w.exclusive[i] + w.shared[i]) * w.page_kib;
		parts[i].swap_kib = w.swapped[i] * w.page_kib;
		parts[i].pss_kib = w.pss_kib[i];
	}
	free(memory);
}
