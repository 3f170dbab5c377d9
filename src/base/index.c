/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Open addressing with linear probing over slots of one 64-bit word, tag in
 * the upper half, id in the lower, so that a reader sees a slot whole.  The
 * tag, the upper half of the hash, also gives the home slot, so that slots can
 * be laid anew from themselves.
 */
#include "base/index.h"

#include "base/mem.h"

#define FIRST_SLOTS 1024

struct index_slots {
	uint64_t capacity; /* a power of two */
	uint64_t used;
	uint64_t slot[];
};

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32);
}

uint32_t index_find(const struct index *index, uint64_t hash,
		    index_match *match, const void *key)
{
	const struct index_slots *s =
		__atomic_load_n(&index->slots, __ATOMIC_ACQUIRE);

	if (!s)
		return 0;
	for (uint64_t i = tag_of(hash) & (s->capacity - 1);;
	     i = (i + 1) & (s->capacity - 1)) {
		uint64_t v = __atomic_load_n(&s->slot[i], __ATOMIC_ACQUIRE);

		if (!v)
			return 0;
		if (v >> 32 == tag_of(hash) && match((uint32_t)v, key))
			return (uint32_t)v;
	}
}

static struct index_slots *slots_make(uint64_t capacity)
{
	struct index_slots *s =
		mem_map(sizeof(*s) + capacity * sizeof(s->slot[0]));

	if (s)
		s->capacity = capacity;
	return s;
}

static void slots_put(struct index_slots *s, uint64_t low, uint64_t value)
{
	uint64_t i = low & (s->capacity - 1);

	while (s->slot[i])
		i = (i + 1) & (s->capacity - 1);
	__atomic_store_n(&s->slot[i], value, __ATOMIC_RELEASE);
	s->used++;
}

static bool grow(struct index *index)
{
	struct index_slots *old = index->slots;
	struct index_slots *s =
		slots_make(old ? old->capacity * 2 : FIRST_SLOTS);

	if (!s)
		return false;
	for (uint64_t i = 0; old && i < old->capacity; i++)
		if (old->slot[i])
			slots_put(s, old->slot[i] >> 32, old->slot[i]);
	__atomic_store_n(&index->slots, s, __ATOMIC_RELEASE);
	return true;
}

bool index_add(struct index *index, uint64_t hash, uint32_t id)
{
	struct index_slots *s = index->slots;

	if (!s || s->used * 4 >= s->capacity * 3) {
		if (!grow(index))
			return false;
		s = index->slots;
	}
	slots_put(s, tag_of(hash), (uint64_t)tag_of(hash) << 32 | id);
	return true;
}

void index_clear(struct index *index)
{
	struct index_slots *s = index->slots;

	for (uint64_t i = 0; s && i < s->capacity; i++)
		__atomic_store_n(&s->slot[i], 0, __ATOMIC_RELAXED);
	if (s)
		s->used = 0;
}
