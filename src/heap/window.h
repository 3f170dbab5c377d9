/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows of address space: whose a block is lies in its address.
 *
 * A window is 64 GiB, aligned, of one arena; an arena that fills one gets
 * another.  It is not reserved: what the arena wants is mapped with
 * MAP_FIXED_NOREPLACE, upwards, so that limits on address space hold for what
 * is used.  The first window is at an address drawn anew in each process.
 *
 * A window begins with its class map, a byte a page: the size class of the
 * blocks that start in the page, 0 for a large one.  The shared arena's ends
 * with tags: for every 16 bytes the account of the block that starts there.
 *
 * Contract: the inline functions are safe anywhere.  window_grow() is called
 * by extent hooks; it blocks signals and takes window_lock, then the region
 * map's.
 */
#ifndef ANONSHIM_HEAP_WINDOW_H
#define ANONSHIM_HEAP_WINDOW_H

#include "base/lock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_SHIFT 36
#define WINDOW_BYTES (UINT64_C(1) << WINDOW_SHIFT)
#define WINDOWS 256
#define WINDOW_PAGE_SHIFT 12
#define WINDOW_CLASSES_BYTES (WINDOW_BYTES >> WINDOW_PAGE_SHIFT)
/* Two bytes for every sixteen; the blocks end where the tags begin. */
#define WINDOW_TAGS_AT (WINDOW_BYTES - WINDOW_BYTES / 8)

/*
 * The largest block, or alignment, or sum of both, that an arena serves: with
 * what jemalloc rounds it up to it fits in any window.
 */
#define WINDOW_BLOCK_MAX (WINDOW_BYTES / 2)

/* Before there is one: no address of the program's is in a window then. */
#define WINDOW_NOWHERE (UINT64_C(1) << 63)

/* Where window 0 begins. */
extern uintptr_t window_base;
extern struct lock window_lock;

/* What an arena has of windows. */
struct window {
	uint8_t arena; /* whose: 1 and up */
	bool tagged;
	uintptr_t start;       /* of the window in use; 0: none yet */
	uintptr_t top;	       /* end of the blocks' part in use */
	uintptr_t classes_end; /* of the class map as mapped */
	uintptr_t tags_end;
	size_t mapped; /* bytes for blocks, in all windows */
};

/* Number of the window that holds P; WINDOWS or more: none. */
static inline size_t window_of(const void *p)
{
	return ((uintptr_t)p - window_base) >> WINDOW_SHIFT;
}

/* The same from BASE, and WINDOWS or more for what is not aligned as blocks
 * are. */
static inline size_t window_of_block(const void *p, uintptr_t base)
{
	uintptr_t at = (uintptr_t)p - base;

	return (at >> 4 | at << 60) >> (WINDOW_SHIFT - 4);
}

/* The class map's byte for P, which is in a window. */
static inline uint8_t *window_class(const void *p)
{
	uintptr_t start = (uintptr_t)p & ~(WINDOW_BYTES - 1);

	return (uint8_t *)(start +
			   (((uintptr_t)p - start) >> WINDOW_PAGE_SHIFT));
}

/*
 * Threads that have blocks of one page read and write its byte, always the
 * same one, at the same time.
 */
static inline unsigned window_class_get(const void *p)
{
	return __atomic_load_n(window_class(p), __ATOMIC_RELAXED);
}

static inline void window_class_set(const void *p, unsigned class)
{
	__atomic_store_n(window_class(p), (uint8_t) class, __ATOMIC_RELAXED);
}

/* The tag for the block at P, in a tagged window. */
static inline uint16_t *window_tag(const void *p)
{
	uintptr_t start = (uintptr_t)p & ~(WINDOW_BYTES - 1);

	return (uint16_t *)(start + WINDOW_TAGS_AT +
			    (((uintptr_t)p - start) >> 4) * 2);
}

/* The arena of window NUMBER; 0: nobody's. */
static inline uint8_t window_arena(size_t number)
{
	extern uint8_t window_arenas[WINDOWS];

	return __atomic_load_n(&window_arenas[number], __ATOMIC_ACQUIRE);
}

/* Draw the base; once. */
void window_init(void);

/*
 * Map SIZE bytes, aligned to ALIGNMENT, for W, whose memory is SITE's; AT:
 * there or nowhere, NULL: anywhere.  Returns NULL where that cannot be.
 */
void *window_grow(struct window *w, void *at, size_t size, size_t alignment,
		  uint32_t site);

/* Whether there is a limit that counts what is mapped. */
bool window_counts(void);

/*
 * Unmap SIZE bytes of W's at P, which nothing is in, where they are many and
 * there is such a limit.  Returns whether that was done.
 */
bool window_leave(struct window *w, void *p, size_t size);

/* Map what window_leave() unmapped, or a part.  Returns whether it could. */
bool window_return(struct window *w, void *p, size_t size, uint32_t site);

#endif
