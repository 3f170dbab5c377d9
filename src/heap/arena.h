/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arenas: one of jemalloc's, in windows of its own, for one owner or site; and
 * the shared arena, number 1, for those who are too small for one.
 *
 * Contract: an arena once made stays.  Blocks are taken and given back in
 * batches through an explicit thread cache of jemalloc's that belongs to the
 * arena, not to a thread, under a lock that is tried and never waited for;
 * where it is taken they go one by one.  Signals stay open.
 */
#ifndef ANONSHIM_HEAP_ARENA_H
#define ANONSHIM_HEAP_ARENA_H

#include "heap/jemalloc.h"
#include "heap/window.h"
#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENAS_MAX 64 /* each makes a fork some 20 us slower */
#define ARENA_SHARED_ID 1

struct arena {
	struct extent_hooks hooks; /* jemalloc hands it back */
	struct window window;
	struct registry_arena *record;
	unsigned je;	  /* jemalloc's number */
	unsigned tcache;  /* of its explicit cache */
	uint32_t site;	  /* in whose name */
	uint8_t id;	  /* 1 and up; index of the record too */
	uint32_t filling; /* the lock of the explicit cache */
	bool forked;	  /* which is the parent's, not to be used */
	int64_t held;	  /* bytes, by the program and the caches */
	int64_t held_most;
	uintptr_t wide; /* the block with wide room behind it; 1: nearly */
};

extern struct arena *arenas[ARENAS_MAX];
extern struct arena *arena_shared;

/* Arena ID; NULL: there is none yet. */
static inline struct arena *arena_get(unsigned id)
{
	return __atomic_load_n(&arenas[id], __ATOMIC_ACQUIRE);
}

/* Bytes that the program and the caches hold of all arenas. */
extern int64_t arena_total;

/* Once, before any other. Returns 0 or -errno. */
int arenas_init(void);

/*
 * An arena for SITE; SHARED: the one.  Call with heap_lock held.  NULL: there
 * are enough, or no memory.
 */
struct arena *arena_make(uint32_t site, bool shared);

/*
 * Take up to N blocks of CLASS, put their addresses in ITEMS and mark their
 * pages.  Returns how many.
 */
unsigned arena_take(struct arena *a, unsigned class, void **items, unsigned n);

/* Give N blocks of CLASS back. */
void arena_give(struct arena *a, unsigned class, void **items, unsigned n);

/*
 * A block of SIZE bytes, more than magazines hold or aligned to ALIGNMENT; one
 * that GROWS where there is room behind it.
 */
void *arena_take_large(struct arena *a, size_t size, size_t alignment,
		       bool zero, bool grows);

/* Bytes of the block of class 0 at P. */
size_t arena_bytes_large(const void *p);

/* Give a block of class 0 back; returns its size. */
size_t arena_give_large(struct arena *a, void *p);

/*
 * Make the block of class 0 at P, if it can be done in place, at least SIZE
 * bytes, else leave it.  Returns its size then.
 */
size_t arena_resize_large(struct arena *a, void *p, size_t size);

/* Blocks that wait in A's explicit cache are free for all to use. */
void arena_flush(struct arena *a);
/* Those that this thread gave back and that wait in its own. */
void arenas_flush_thread(void);

/* Give free pages of A back to the kernel as time tells, or ALL. */
void arena_decay(struct arena *a, bool all);

/* Around fork, with heap_lock held: hold all explicit caches still. */
void arenas_hold(void);
void arenas_release(void);
/* In a child; the threads that had them are gone. */
void arenas_fork_child(void);

#endif
