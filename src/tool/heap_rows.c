/* SPDX-License-Identifier: BSD-2-Clause */
/* Live bytes and the shared arena in a report's rows. */
#include "tool/heap_rows.h"

#include <stdlib.h>
#include <string.h>

#include "tool/heap_live.h"
#include "tool/mem.h"
#include "tool/split.h"

static bool is_shared(const struct heap_rows *heap, uint32_t arena)
{
	return (heap->reg->arenas[arena].flags & ARENA_SHARED) != 0;
}

/* Live bytes of all shared arenas, as one. */
static uint64_t shared_bytes(const struct heap_rows *heap)
{
	uint64_t bytes = 0;

	for (uint32_t i = 1; i < heap->reg->narenas; i++)
		if (is_shared(heap, i))
			bytes += heap->live[i];
	return bytes;
}

static void find_shares(struct heap_rows *heap)
{
	const struct registry *reg = heap->reg;
	uint64_t explained = 0, all = shared_bytes(heap);
	struct heap_share *share =
		mem_zalloc(reg->naccounts + 1, sizeof(*share));

	heap->share = share;
	for (uint64_t i = 0; i < reg->naccounts; i++) {
		uint64_t live = heap_live_account(&reg->accounts[i]);

		if (live == 0)
			continue;
		share->label = claim_label_of_account(reg, &reg->accounts[i],
						      heap->pool);
		share->live = live;
		explained += live;
		share++;
	}
	if (share == heap->share)
		return;
	share->live = all > explained ? all - explained : 0;
	heap->nshares = (size_t)(share - heap->share) + 1;
}

void heap_rows_init(struct heap_rows *heap, const struct registry *reg,
		    struct strpool *pool, uint64_t page_bytes)
{
	memset(heap, 0, sizeof(*heap));
	heap->reg = reg;
	heap->pool = pool;
	heap->page_kib = page_bytes / 1024;
	heap->live = heap_live_bytes(reg);
	heap->label = mem_zalloc(reg->narenas + 1, sizeof(*heap->label));
	heap->met = mem_zalloc(reg->narenas + 1, sizeof(*heap->met));
	for (uint32_t i = 1; i < reg->narenas; i++) {
		if (reg->arenas[i].site == 0)
			continue;
		heap->label[i] =
			claim_label_of_site(reg, reg->arenas[i].site, pool);
		if (heap->shared_arena == 0 && is_shared(heap, i))
			heap->shared_arena = i;
	}
	if (heap->shared_arena != 0)
		find_shares(heap);
}

void heap_rows_destroy(struct heap_rows *heap)
{
	free(heap->live);
	free(heap->label);
	free(heap->met);
	free(heap->share);
	memset(heap, 0, sizeof(*heap));
}

bool heap_rows_take(struct heap_rows *heap, const struct part *part)
{
	uint32_t arena = part->arena;

	if (arena == 0)
		return false;
	if (heap->nshares > 0 && is_shared(heap, arena))
		arena = heap->shared_arena;
	if (!heap->met[arena])
		heap->label[arena] = part->label;
	heap->met[arena] = true;
	if (heap->nshares == 0 || arena != heap->shared_arena)
		return false;
	amounts_add(&heap->to_share, &part->amounts);
	return true;
}

/* In whole pages; what is none stays with the last share, the arena's. */
static void split_pages(uint64_t kib, uint64_t page_kib, const uint64_t *weight,
			uint64_t *share, size_t n)
{
	split_largest(kib / page_kib, weight, share, n);
	for (size_t i = 0; i < n; i++)
		share[i] *= page_kib;
	share[n - 1] += kib % page_kib;
}

/*
 * Sizes that hold what is resident and swapped; of a process that changed
 * while it was read, these may be more than there is room for.
 */
static void split_size(const struct amounts *sum, uint64_t page_kib,
		       const uint64_t *weight, struct amounts *share, size_t n)
{
	uint64_t held = sum->rss_kib + sum->swap_kib;
	bool fits = held <= sum->size_kib;
	uint64_t *size = mem_zalloc(n, sizeof(*size));

	split_pages(fits ? sum->size_kib - held : sum->size_kib, page_kib,
		    weight, size, n);
	for (size_t i = 0; i < n; i++) {
		share[i].size_kib = size[i];
		if (fits)
			share[i].size_kib +=
				share[i].rss_kib + share[i].swap_kib;
	}
	free(size);
}

/*
 * Divides a sum by weights, so that in each share, too, PSS is not above RSS
 * nor RSS and swap above the size.  VMAs are not divided: the last share has
 * them all.
 */
static void split_amounts(const struct amounts *sum, uint64_t page_kib,
			  const uint64_t *weight, struct amounts *share,
			  size_t n)
{
	uint64_t *rss = mem_zalloc(n * 3, sizeof(*rss));
	uint64_t *pss = rss + n, *swap = pss + n;

	split_pages(sum->rss_kib, page_kib, weight, rss, n);
	split_largest(sum->pss_kib, sum->rss_kib != 0 ? rss : weight, pss, n);
	split_pages(sum->swap_kib, page_kib, weight, swap, n);
	for (size_t i = 0; i < n; i++)
		share[i] = (struct amounts){
			.rss_kib = rss[i],
			.pss_kib = pss[i],
			.swap_kib = swap[i],
		};
	split_size(sum, page_kib, weight, share, n);
	share[n - 1].vmas = sum->vmas;
	free(rss);
}

/* Whether dividing makes a difference: rows by kind have it all in one. */
static bool is_divided(const struct heap_rows *heap, const struct rows *rows)
{
	size_t last = heap->nshares - 1;

	for (size_t i = 0; i < last; i++)
		if (!rows_same(rows, &heap->share[i].label,
			       &heap->share[last].label))
			return true;
	return false;
}

static void add_shares(struct heap_rows *heap, struct rows *rows)
{
	size_t n = heap->nshares;
	struct amounts *part = mem_zalloc(n, sizeof(*part));
	uint64_t *weight = mem_zalloc(n, sizeof(*weight));

	for (size_t i = 0; i < n; i++)
		weight[i] = heap->share[i].live;
	split_amounts(&heap->to_share, heap->page_kib, weight, part, n);
	for (size_t i = 0; i < n; i++)
		rows_add(rows, &heap->share[i].label, &part[i], true)
			->estimate = true;
	free(weight);
	free(part);
}

static void add_to_share(struct heap_rows *heap, struct rows *rows)
{
	struct heap_share *last;

	if (heap->nshares == 0)
		return;
	last = &heap->share[heap->nshares - 1];
	last->label = heap->label[heap->shared_arena];
	if (heap->met[heap->shared_arena]) {
		if (is_divided(heap, rows))
			add_shares(heap, rows);
		else
			rows_add(rows, &last->label, &heap->to_share, true);
	}
	for (size_t i = 0; i < heap->nshares; i++)
		if (heap->share[i].live > 0 || heap->met[heap->shared_arena])
			rows_add_live(rows, &heap->share[i].label,
				      heap->share[i].live);
}

uint64_t heap_rows_finish(struct heap_rows *heap, struct rows *rows)
{
	uint64_t sum = 0;

	add_to_share(heap, rows);
	for (size_t i = 0; i < heap->nshares; i++)
		sum += heap->share[i].live;
	for (uint32_t i = 1; i < heap->reg->narenas; i++) {
		if (heap->nshares > 0 && is_shared(heap, i))
			continue;
		if (heap->met[i] || heap->live[i] > 0)
			rows_add_live(rows, &heap->label[i], heap->live[i]);
		sum += heap->live[i];
	}
	return sum;
}
