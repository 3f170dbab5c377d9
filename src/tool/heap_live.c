/* SPDX-License-Identifier: BSD-2-Clause */
/* Live bytes of the heap, from arenas, caches and accounts. */
#include "tool/heap_live.h"

#include <stdlib.h>

#include "tool/mem.h"

bool heap_live_any(const struct registry *reg)
{
	for (uint64_t i = 1; i < reg->narenas; i++)
		if (reg->arenas[i].site != 0)
			return true;
	return false;
}

/* Blocks that wait in a cache belong to nobody. */
static int64_t idle_bytes(const struct registry *reg,
			  const struct registry_cache *cache)
{
	int64_t bytes = 0;

	for (unsigned c = 0; c < HEAP_CLASSES; c++)
		bytes += (int64_t)cache->magazine[c].n *
			 reg->head.class_bytes[c];
	return bytes;
}

/* The arena that stands for all of its site. */
static uint32_t first_of(const struct registry *reg, uint64_t arena)
{
	return registry_arena(reg, reg->arenas[arena].site);
}

uint64_t *heap_live_bytes(const struct registry *reg)
{
	/* No sum of what the tables can hold overflows these. */
	__int128 *sum = mem_zalloc(reg->narenas + 1, sizeof(*sum));
	uint64_t *live = mem_zalloc(reg->narenas + 1, sizeof(*live));

	for (uint64_t i = 1; i < reg->narenas; i++)
		if (reg->arenas[i].site != 0)
			sum[first_of(reg, i)] += reg->arenas[i].direct;
	for (uint64_t i = 0; i < reg->ncaches; i++) {
		const struct registry_cache *cache = &reg->caches[i];

		sum[first_of(reg, cache->arena)] +=
			cache->net - idle_bytes(reg, cache);
	}
	for (uint64_t i = 1; i < reg->narenas; i++)
		if (sum[i] > 0)
			live[i] = sum[i] < INT64_MAX ? (uint64_t)sum[i]
						     : INT64_MAX;
	free(sum);
	return live;
}

uint64_t heap_live_account(const struct registry_account *account)
{
	return account->live > 0 ? (uint64_t)account->live : 0;
}
