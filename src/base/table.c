/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing tables; see table.h.
 */
#include "base/table.h"

#include "base/mem.h"

static unsigned chunk_of(const struct registry_table *t, uint64_t index)
{
	return 63 - (unsigned)__builtin_clzll(index / t->first_elems + 1);
}

static uint64_t chunk_start(const struct registry_table *t, unsigned chunk)
{
	return t->first_elems * ((UINT64_C(1) << chunk) - 1);
}

void table_init(struct registry_table *t, size_t elem_bytes, size_t first_elems)
{
	*t = (struct registry_table){
		.elem_bytes = (uint32_t)elem_bytes,
		.first_elems = (uint32_t)first_elems,
		.count = 1,
	};
}

uint64_t table_chunk_end(const struct registry_table *t, uint64_t index)
{
	return chunk_start(t, chunk_of(t, index) + 1);
}

static bool chunk_ensure(struct registry_table *t, unsigned chunk)
{
	void *memory;

	if (chunk >= REGISTRY_CHUNKS)
		return false;
	if (t->chunk[chunk])
		return true;
	memory = mem_map(((size_t)t->first_elems << chunk) * t->elem_bytes);
	if (!memory)
		return false;
	__atomic_store_n(&t->chunk[chunk], (uint64_t)(uintptr_t)memory,
			 __ATOMIC_RELEASE);
	return true;
}

uint64_t table_add(struct registry_table *t, size_t count)
{
	uint64_t index = t->count;
	unsigned chunk = chunk_of(t, index);

	while (index + count > chunk_start(t, chunk + 1)) {
		index = chunk_start(t, ++chunk);
		if (chunk >= REGISTRY_CHUNKS)
			return 0;
	}
	/* element 0 lives in chunk 0, which must exist for readers */
	if (!chunk_ensure(t, 0) || !chunk_ensure(t, chunk))
		return 0;
	__atomic_store_n(&t->count, index + count, __ATOMIC_RELEASE);
	return index;
}
