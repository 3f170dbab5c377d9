/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc and its family: every page of the heap belongs to one owner.
 *
 * A block's owner is the module that asked, looked for through wrappers; its
 * arena (arena.h) lies in windows of its own (window.h).  malloc is a look at
 * the return address in a small table of the thread's, and a pop; free a shift
 * of the address, a byte of the class map, and a push (cache.h).
 *
 * Contract: results and errno as libc's.  Before heap_start() blocks come from
 * early.h; with heap=off, and for blocks that are not ours, libc's functions
 * are called.  No more safe in signal handlers than libc's malloc.
 */
#ifndef ANONSHIM_HEAP_HEAP_H
#define ANONSHIM_HEAP_HEAP_H

#include "track/unwind.h"

#include <stdbool.h>
#include <stddef.h>

#define HEAP_ALIGN 16 /* bytes, of every block */

enum heap_state {
	HEAP_EARLY,
	HEAP_RUNS,
	HEAP_IS_OFF,
};

extern enum heap_state heap_state;

_Static_assert(HEAP_RUNS == 1, "see interpose/dlopen.S");

/* After life_start(), guard_ready.  Returns 0 or -errno: the heap is off. */
int heap_start(void);
/* Leave the family to libc from here on. */
void heap_leave(void);

/*
 * SIZE bytes aligned to ALIGNMENT, a power of two; ZERO: all zero.  NULL and
 * ENOMEM where there is none.
 */
void *heap_alloc(size_t size, size_t alignment, bool zero,
		 const struct unwind_start *caller);
void *heap_realloc(void *p, size_t size, const struct unwind_start *caller);
void heap_free(void *p);
/* Bytes that P has room for. */
size_t heap_usable(void *p);
/* Whether P is a block of ours. */
bool heap_owns(const void *p);
/* Give free memory back to the kernel. */
void heap_trim(void);

/* Bytes: what the program holds, and what is mapped for it. */
struct heap_totals {
	size_t held;
	size_t mapped;
};
struct heap_totals heap_totals(void);

/* Around fork. */
void heap_fork_prepare(void);
void heap_fork_parent(void);
/* Also where the other two did not run. */
void heap_fork_child(void);

#endif
