/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tables of a registry held against each other.  A wrong index becomes
 * that of the null element, an entry that makes no sense is left out.
 */
#include "tool/registry_check.h"

#include <stdlib.h>
#include <string.h>

#include "tool/mem.h"

#define MOST_MAGAZINE (UINT32_C(1) << 16)
#define MOST_BYTES (INT64_C(1) << 56) /* an address space */

/* A string's index that leads nowhere becomes that of the empty string. */
static void check_string(struct registry *reg, uint32_t *index)
{
	if (*index < reg->nstrings || *index == 0)
		return;
	*index = 0;
	reg->bad++;
}

static void check_sites(struct registry *reg)
{
	for (uint64_t i = 0; i < reg->nsites; i++) {
		struct registry_site *site = &reg->sites[i];

		check_string(reg, &site->owner);
		check_string(reg, &site->symbol);
		check_string(reg, &site->name);
		if (site->frames > reg->nframes ||
		    site->nframes > reg->nframes - site->frames) {
			site->nframes = 0;
			reg->bad++;
		}
		if (site->kind >= KIND_COUNT) {
			site->kind = KIND_NONE;
			reg->bad++;
		}
	}
	for (uint64_t i = 0; i < reg->nmodules; i++) {
		check_string(reg, &reg->modules[i].path);
		check_string(reg, &reg->modules[i].owner);
	}
}

static bool region_makes_sense(const struct registry *reg,
			       const struct registry_region *region)
{
	uint64_t unaligned =
		(region->start | region->end) & (reg->head.page_bytes - 1);

	return region->start < region->end && unaligned == 0 &&
	       (region->site < reg->nsites || region->site == 0);
}

static int by_start(const void *a, const void *b)
{
	const struct registry_region *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return 0;
}

/* Drops free slots and what makes no sense, then sorts. */
static void sort_regions(struct registry *reg)
{
	uint64_t kept = 0;

	for (uint64_t i = 1; i < reg->nregions; i++) {
		struct registry_region *region = &reg->regions[i];

		if (region->start == region->end)
			continue;
		if (!region_makes_sense(reg, region)) {
			reg->bad++;
			continue;
		}
		check_string(reg, &region->own_name);
		reg->regions[kept++] = *region;
	}
	reg->nregions = kept;
	if (kept > 0)
		qsort(reg->regions, kept, sizeof(*reg->regions), by_start);
}

static void drop_overlaps(struct registry *reg)
{
	uint64_t kept = 0;

	for (uint64_t i = 0; i < reg->nregions; i++) {
		if (kept > 0 &&
		    reg->regions[i].start < reg->regions[kept - 1].end) {
			reg->overlaps++;
			continue;
		}
		reg->regions[kept++] = reg->regions[i];
	}
	reg->nregions = kept;
}

static bool are_bytes(int64_t bytes)
{
	return bytes > -MOST_BYTES && bytes < MOST_BYTES;
}

/* Takes out arenas that make no sense, and finds those of the sites. */
static void check_arenas(struct registry *reg)
{
	if (reg->narenas < 2)
		return;
	reg->arena_of_site =
		mem_zalloc(reg->nsites + 1, sizeof(*reg->arena_of_site));
	memset(&reg->arenas[0], 0, sizeof(reg->arenas[0]));
	for (uint64_t i = 1; i < reg->narenas; i++) {
		struct registry_arena *arena = &reg->arenas[i];

		if (arena->site == 0)
			continue;
		if (arena->site >= reg->nsites || !are_bytes(arena->direct)) {
			arena->site = 0;
			reg->bad++;
		} else if (reg->arena_of_site[arena->site] == 0) {
			reg->arena_of_site[arena->site] = (uint32_t)i;
		}
	}
}

static bool cache_makes_sense(const struct registry *reg,
			      const struct registry_cache *cache)
{
	if (cache->arena >= reg->narenas || !are_bytes(cache->net))
		return false;
	for (unsigned c = 0; c < HEAP_CLASSES; c++) {
		const struct registry_magazine *magazine = &cache->magazine[c];

		if (magazine->n > magazine->cap ||
		    magazine->cap > MOST_MAGAZINE)
			return false;
	}
	return true;
}

/* Drops free slots, caches of arenas that were left out, and nonsense. */
static void check_caches(struct registry *reg)
{
	uint64_t kept = 0;

	for (uint64_t i = 1; i < reg->ncaches; i++) {
		const struct registry_cache *cache = &reg->caches[i];

		if (cache->arena == 0)
			continue;
		if (!cache_makes_sense(reg, cache))
			reg->bad++;
		else if (reg->arenas[cache->arena].site != 0)
			reg->caches[kept++] = *cache;
	}
	reg->ncaches = kept;
}

static void check_accounts(struct registry *reg)
{
	uint64_t kept = 0;

	for (uint64_t i = 1; i < reg->naccounts; i++) {
		const struct registry_account *account = &reg->accounts[i];

		if (account->site == 0)
			continue;
		if (account->site >= reg->nsites || !are_bytes(account->live))
			reg->bad++;
		else
			reg->accounts[kept++] = *account;
	}
	reg->naccounts = kept;
}

/* Drops free slots and what makes no sense. */
static void check_objects(struct registry *reg)
{
	uint64_t kept = 0;

	for (uint64_t i = 1; i < reg->nobjects; i++) {
		struct registry_object *object = &reg->objects[i];

		if ((object->flags & OBJECT_USED) == 0)
			continue;
		if ((object->at & (reg->head.page_bytes - 1)) != 0 ||
		    object->size > INT64_MAX) {
			reg->bad++;
			continue;
		}
		if (object->site != 0 && object->site >= reg->nsites) {
			object->site = 0;
			reg->bad++;
		}
		reg->objects[kept++] = *object;
	}
	reg->nobjects = kept;
}

void registry_check(struct registry *reg)
{
	check_sites(reg);
	sort_regions(reg);
	drop_overlaps(reg);
	check_arenas(reg);
	check_caches(reg);
	check_accounts(reg);
	check_objects(reg);
}
