/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The blocks that heap_check holds, and the proof of where they lie: none over
 * another, none on a page with another owner's, each in its owner's arena.
 */
#ifndef ANONSHIM_TESTS_HEAP_BLOCKS_H
#define ANONSHIM_TESTS_HEAP_BLOCKS_H

#include "owners_load.h"
#include "registry_look.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 16384
#define FAULTS_SHOWN 10
#define REGIONS_MAX 65536

/* owners has more than one bit after a realloc in another's name. */
struct block {
	unsigned char *p; /* NULL: none */
	size_t size;
	uint64_t id; /* its content */
	uint32_t owners;
};

struct slot {
	atomic_flag busy;
	struct block block;
};

static struct slot slots[SLOTS];
static struct block sorted[SLOTS];
static struct registry_region *regions[REGIONS_MAX];
static size_t nregions;
static atomic_uint faults;

#define FAULT(...)                                               \
	do {                                                     \
		if (atomic_fetch_add(&faults, 1) < FAULTS_SHOWN) \
			dprintf(1, __VA_ARGS__);                 \
	} while (0)

/* ---- content ---- */

/* All of a small block, of a large one both ends and something in between. */
static size_t position_after(size_t at, size_t size)
{
	size_t next;

	if (at < 256 || at + 64 >= size)
		return at + 1;
	next = (at | 511) + 1;
	return next < size - 64 ? next : size - 64;
}

static unsigned char content(const struct block *b, size_t at)
{
	return (unsigned char)(b->id * 0x9d + at * 29 + (at >> 12));
}

static void block_fill(const struct block *b)
{
	for (size_t i = 0; i < b->size; i = position_after(i, b->size))
		b->p[i] = content(b, i);
}

/* The first BYTES of the block, wherever it is now. */
static void block_verify(const struct block *b, size_t bytes, const char *when)
{
	for (size_t i = 0; i < b->size; i = position_after(i, b->size)) {
		if (i >= bytes || b->p[i] == content(b, i))
			continue;
		FAULT("%s: block %p of %zu: another's byte at %zu\n", when,
		      (void *)b->p, b->size, i);
		return;
	}
}

/* ---- pages ---- */

static int by_address(const void *a, const void *b)
{
	const struct block *x = a;
	const struct block *y = b;

	return x->p < y->p ? -1 : x->p > y->p;
}

static size_t blocks_sort(void)
{
	size_t n = 0;

	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].block.p)
			sorted[n++] = slots[i].block;
	qsort(sorted, n, sizeof(sorted[0]), by_address);
	return n;
}

static uintptr_t block_last(const struct block *b)
{
	return (uintptr_t)b->p + b->size - 1;
}

static void check_overlap(size_t n)
{
	for (size_t i = 0; i + 1 < n; i++) {
		const struct block *b = &sorted[i];

		if (b->p + malloc_usable_size(b->p) > b[1].p)
			FAULT("blocks %p of %zu and %p overlap\n", (void *)b->p,
			      b->size, (void *)b[1].p);
	}
}

static void check_pages(size_t n)
{
	uintptr_t page = 0;
	uint32_t allowed = 0; /* who may own all blocks on the page */

	for (size_t i = 0; i < n; i++) {
		const struct block *b = &sorted[i];

		bool same = (uintptr_t)b->p >> 12 == page;

		if (same && !(allowed & b->owners))
			FAULT("page %lx holds blocks of two owners\n",
			      (unsigned long)page << 12);
		allowed = same && allowed & b->owners ? allowed & b->owners
						      : b->owners;
		if (block_last(b) >> 12 != (uintptr_t)b->p >> 12)
			allowed = b->owners;
		page = block_last(b) >> 12;
	}
}

/* ---- arenas ---- */

static bool registry_find(void)
{
	struct registry_head **symbol = dlsym(RTLD_DEFAULT, REGISTRY_SYMBOL);

	if (!symbol || !*symbol)
		return false;
	head = *symbol;
	return !memcmp(head->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES) &&
	       head->version == REGISTRY_VERSION;
}

static int by_start(const void *a, const void *b)
{
	const struct registry_region *x = *(struct registry_region *const *)a;
	const struct registry_region *y = *(struct registry_region *const *)b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void regions_sort(void)
{
	nregions = 0;
	for (uint64_t i = 1; i < head->table[REGISTRY_REGIONS].count; i++) {
		struct registry_region *r = element(REGISTRY_REGIONS, i);

		if (r->start != r->end && nregions < REGIONS_MAX)
			regions[nregions++] = r;
	}
	qsort(regions, nregions, sizeof(regions[0]), by_start);
}

static const struct registry_region *region_of(uintptr_t address)
{
	size_t low = 0;
	size_t high = nregions;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (address < regions[mid]->start)
			high = mid;
		else if (address >= regions[mid]->end)
			low = mid + 1;
		else
			return regions[mid];
	}
	return NULL;
}

static const struct registry_arena *arena_of(const struct registry_region *r)
{
	for (uint64_t i = 1; i < head->table[REGISTRY_ARENAS].count; i++) {
		const struct registry_arena *a = element(REGISTRY_ARENAS, i);

		if (a->site == r->site)
			return a;
	}
	return NULL;
}

static bool owner_matches(const struct block *b, const char *name)
{
	for (unsigned i = 0; i < nowners; i++)
		if (b->owners >> i & 1 && !strcmp(owner_name[i], name))
			return true;
	return false;
}

static void check_place(const struct block *b, uintptr_t address)
{
	const struct registry_region *r = region_of(address);
	const struct registry_arena *arena = r ? arena_of(r) : NULL;
	const struct registry_site *site;
	const char *name;

	if (!arena) {
		FAULT("block %p of %zu lies in no arena\n", (void *)b->p,
		      b->size);
		return;
	}
	site = element(REGISTRY_SITES, r->site);
	name = element(REGISTRY_STRINGS, site->owner);
	if (arena->flags & ARENA_SHARED)
		FAULT("block %p of %zu lies with small owners'\n", (void *)b->p,
		      b->size);
	else if (site->kind != KIND_HEAP || !owner_matches(b, name))
		FAULT("block %p of %zu lies in memory of %s, not of %s\n",
		      (void *)b->p, b->size, name,
		      owner_name[__builtin_ctz(b->owners)]);
}

/* Whether there is a block of each owner, lest nothing was proven. */
static void check_owners(size_t n)
{
	uint32_t seen = 0;

	if (!registry_find()) {
		FAULT("there is no registry to ask\n");
		return;
	}
	regions_sort();
	for (size_t i = 0; i < n; i++) {
		check_place(&sorted[i], (uintptr_t)sorted[i].p);
		check_place(&sorted[i], block_last(&sorted[i]));
		seen |= sorted[i].owners;
	}
	if (seen != (uint32_t)((UINT64_C(1) << nowners) - 1))
		FAULT("not every owner has a block\n");
}

#endif
