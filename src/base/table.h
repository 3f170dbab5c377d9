/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing tables whose elements never move, in the layout of
 * wire/registry_abi.h: chunk k holds first_elems << k elements.
 *
 * Contract: one writer at a time (its lock is the caller's); readers need no
 * lock for elements below a count they loaded with acquire.  An element once
 * added stays; index 0 is never handed out.
 */
#ifndef ANONSHIM_BASE_TABLE_H
#define ANONSHIM_BASE_TABLE_H

#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stddef.h>

/* ELEM_BYTES a element, FIRST_ELEMS (a power of two) in the first chunk. */
void table_init(struct registry_table *t, size_t elem_bytes,
		size_t first_elems);

/*
 * The element at INDEX, below t->count, given what table_init() was: constants
 * where speed matters.  With n = (index >> FIRST_SHIFT) + 1 its chunk is the
 * position k of n's highest bit, and that starts at element
 * (2^k - 1) << FIRST_SHIFT.
 */
static inline void *table_element(const struct registry_table *t,
				  uint64_t index, unsigned first_shift,
				  size_t elem_bytes)
{
	unsigned chunk =
		63 ^ (unsigned)__builtin_clzll((index >> first_shift) + 1);
	uint64_t start = ((UINT64_C(1) << chunk) - 1) << first_shift;

	return (char *)t->chunk[chunk] + (index - start) * elem_bytes;
}

static inline void *table_at(const struct registry_table *t, uint64_t index)
{
	return table_element(t, index, (unsigned)__builtin_ctz(t->first_elems),
			     t->elem_bytes);
}

/* Index of the element behind the chunk that INDEX's lies in, or would. */
uint64_t table_chunk_end(const struct registry_table *t, uint64_t index);

/*
 * Add COUNT neighbouring zeroed elements that lie in one chunk; elements
 * skipped to get there stay zero.  Returns the index of the first, or 0 when
 * memory or chunks run out.
 */
uint64_t table_add(struct registry_table *t, size_t count);

#endif
