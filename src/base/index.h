/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hash index: 32-bit tags to 32-bit ids, found without a lock.
 *
 * Contract: one writer at a time (its lock is the caller's), any number of
 * readers at any time, in signal handlers too.  A hash may be added several
 * times; a reader confirms each candidate itself.  Nothing is removed but by
 * index_clear(), during which readers may miss what is there.
 * An index that grew leaves its old slots mapped, for readers may be in them:
 * together they are no larger than the new ones.
 */
#ifndef ANONSHIM_BASE_INDEX_H
#define ANONSHIM_BASE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

struct index_slots;

struct index {
	struct index_slots *slots;
};

/* Confirms that ID, whose hash agrees, is the one looked for. */
typedef bool index_match(uint32_t id, const void *key);

/* The id with HASH that MATCH confirms for KEY, or 0. */
uint32_t index_find(const struct index *index, uint64_t hash,
		    index_match *match, const void *key);

/* Add ID (not 0) under HASH.  Returns false where memory runs out. */
bool index_add(struct index *index, uint64_t hash, uint32_t id);

/* Forget everything. */
void index_clear(struct index *index);

/* Fold VALUE into hash H; start H with any constant. */
static inline uint64_t hash_mix(uint64_t h, uint64_t value)
{
	h = (h ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return h ^ (h >> 32);
}

#endif
