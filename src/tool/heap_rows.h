/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap in a report's rows: live bytes beside what is resident, and the
 * arena that small owners share divided among them.
 *
 * Which page of the shared arena is whose nobody knows; its memory is divided
 * in proportion to live bytes, and each row this adds to is marked as an
 * estimate.  What the accounts do not explain stays with the arena.  The rows
 * add up to the arena's own figures exactly.
 */
#ifndef ANONSHIM_TOOL_HEAP_ROWS_H
#define ANONSHIM_TOOL_HEAP_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "tool/attribute.h"
#include "tool/registry_read.h"
#include "tool/rows.h"
#include "tool/strpool.h"

/* Whose a part of the shared arena is. */
struct heap_share {
	struct label label;
	uint64_t live; /* bytes */
};

struct heap_rows {
	const struct registry *reg;
	struct strpool *pool;
	uint64_t page_kib;
	uint64_t *live;	     /* bytes, by arena */
	struct label *label; /* by arena, of the first part met */
	bool *met;	     /* by arena */
	/* The accounts, and last what they do not explain. */
	struct heap_share *share;
	size_t nshares;		 /* 0: nothing to divide */
	uint32_t shared_arena;	 /* the first that is shared, 0: none */
	struct amounts to_share; /* of all parts of shared arenas */
};

/* The registry may be one that was never read: all zero. */
void heap_rows_init(struct heap_rows *heap, const struct registry *reg,
		    struct strpool *pool, uint64_t page_bytes);
void heap_rows_destroy(struct heap_rows *heap);

/*
 * Takes note of a part.  True: it is to be divided and heap_rows_finish adds
 * it; false: it is for the caller to add.
 */
bool heap_rows_take(struct heap_rows *heap, const struct part *part);

/* After the last part: adds what was kept and all live bytes, their sum. */
uint64_t heap_rows_finish(struct heap_rows *heap, struct rows *rows);

#endif
