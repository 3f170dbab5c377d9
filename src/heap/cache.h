/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each thread keeps: magazines, short stacks of free blocks, for each
 * arena and size class, and where its callers' blocks come from.
 *
 * Contract: only the thread itself touches its heap, with signals open; in a
 * child of fork the heaps of the threads that are gone are found and used
 * again.  The inline functions are all of malloc and free that is fast.
 */
#ifndef ANONSHIM_HEAP_CACHE_H
#define ANONSHIM_HEAP_CACHE_H

#include "base/mem.h"
#include "env/guard.h"
#include "heap/arena.h"
#include "heap/class.h"
#include "heap/owner.h"
#include "track/unwind.h"
#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOTS_MAX 4096 /* they grow to */
#define ITEMS_LISTS 8

/* A child of fork finds the heaps of other threads as they were just then:
 * a magazine never counts what is not in it. */
#define IN_ORDER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/* Where the blocks for a return address come from. */
struct slot {
	uintptr_t pc;
	/* of its arena; an empty one where more must be looked at */
	struct registry_cache *cache;
	const struct caller *caller;
	struct cfi_rule step; /* of a wrapper, to its caller; unwind_fast() */
};

/* A power of two of them, less one. */
struct slots {
	struct slot *at;
	uintptr_t mask;
};

struct thread_heap {
	/* by the window that a block lies in; NULL: look closer */
	struct registry_cache *by_window[WINDOWS];
	struct registry_cache *by_arena[ARENAS_MAX];
	struct slots slots;
	uint64_t generation; /* of the modules: the slots are of it */
	unsigned conflicts;  /* slots taken from others */
	unsigned ticks;
	struct thread_heap *next;      /* of all */
	struct thread_heap *next_free; /* of those without a thread */
	bool warm;		       /* its magazines were left as they are */
	char *slab;		       /* of arrays of items */
	size_t slab_left;
	void *free_items[ITEMS_LISTS];
};

/* Never NULL: a heap that has nothing stands for none. */
extern __thread struct thread_heap *thread_heap
	__attribute__((tls_model("initial-exec")));
/* Its slots. */
extern __thread struct slots thread_slots
	__attribute__((tls_model("initial-exec")));

/* Calls of malloc until it is time to look at the clock. */
#define CALLS 1000
extern __thread unsigned thread_calls
	__attribute__((tls_model("initial-exec")));

/* Count one; true: caches_tick() is due, which the slow path sees to. */
static inline bool cache_due(void)
{
	return __builtin_expect(!--thread_calls, 0);
}

static inline struct slot *slot_of(uintptr_t pc)
{
	return &thread_slots.at[(pc ^ pc >> 9) & thread_slots.mask];
}

/* A free block of SIZE for who has S, or NULL. */
static inline void *cache_pop_at(size_t size, const struct slot *s)
{
	struct registry_magazine *m = &s->cache->magazine[class_of(size)];

	if (__builtin_expect(!m->n, 0))
		return NULL;
	return ((void **)m->items)[--m->n];
}

/* A free block of SIZE for who PC returns into, or NULL. */
static inline void *cache_pop(size_t size, uintptr_t pc)
{
	const struct slot *s = slot_of(pc);

	if (__builtin_expect(size > CLASS_MAX_BYTES || s->pc != pc, 0))
		return NULL;
	return cache_pop_at(size, s);
}

/* Frames that are looked through. */
#define CACHE_WRAPPERS_MAX 16

/* Where what lies from SP upwards may be read without asking: the thread's own
 * stack, of another the page. */
static inline uintptr_t readable_to(uintptr_t sp)
{
	return sp >= guard.stack_low && sp < guard.stack_high ? guard.stack_high
							      : page_up(sp);
}

/*
 * A free block of SIZE for who asks at START through wrappers all known to this
 * thread, or NULL.  The words of a frame stay apart: a vector of what has just
 * been stored has to be waited for.
 */
static inline void *cache_pop_through(size_t size,
				      const struct unwind_start *start)
{
	uintptr_t pc = start->pc;
	uintptr_t sp = start->sp;
	uintptr_t fp = start->fp;
	uintptr_t high = readable_to(sp);

	if (__builtin_expect(size > CLASS_MAX_BYTES, 0))
		return NULL;
	for (int i = 0; i < CACHE_WRAPPERS_MAX; i++) {
		const struct slot *s = slot_of(pc);

		if (s->pc != pc)
			return NULL;
		if (s->step.base == CFI_NONE)
			return cache_pop_at(size, s);
		if (!unwind_apply_fast(s->step, high, &pc, &sp, &fp))
			return NULL;
	}
	return NULL;
}

/* Whether P is the block that was put back last. */
static inline bool is_on_top(const struct registry_magazine *m, const void *p)
{
	return m->n && ((void **)m->items)[m->n - 1] == p;
}

/*
 * Whether P, of WINDOW, was put back where there was room, and is not what the
 * program has no right to free, as far as can be told at once.
 */
static inline bool cache_push_in(size_t window, void *p)
{
	struct registry_cache *c;
	struct registry_magazine *m;

	if (__builtin_expect(window >= WINDOWS, 0))
		return false;
	c = thread_heap->by_window[window];
	if (__builtin_expect(!c, 0))
		return false;
	m = &c->magazine[window_class_get(p)];
	if (__builtin_expect(m->n >= m->cap || is_on_top(m, p), 0))
		return false;
	((void **)m->items)[m->n] = p;
	IN_ORDER();
	m->n++;
	return true;
}

static inline bool cache_push(void *p)
{
	return cache_push_in(window_of_block(p, window_base), p);
}

/* The class of the block at P; 0: not a block of ours, or a large one. */
static inline unsigned cache_class(const void *p)
{
	size_t window = window_of_block(p, window_base);

	return window < WINDOWS && window_arena(window) ? window_class_get(p)
							: 0;
}

/*
 * Before jemalloc is called, other than through a thread's heap: see to it that
 * the thread's end will be, and that a child of a raw fork knows it is one.
 */
void thread_ready(void);

/*
 * This thread's heap, made if need be; NULL: it has ended, and may only give
 * back, or there is no memory.
 */
struct thread_heap *thread_heap_get(void);
bool thread_heap_ended(void);

/* A block of CLASS out of A, for PLACE. */
void *cache_take(struct thread_heap *t, struct arena *a, unsigned class,
		 struct place *place);

/*
 * A block of CLASS goes back to A.  T may be NULL.  False: it was put back
 * before.
 */
bool cache_give(struct thread_heap *t, struct arena *a, unsigned class,
		void *p);

/* Returns 0 or -errno. */
int caches_init(void);

/* Give the kernel back in time what nobody asks for. */
void caches_tick(void);

/* Give the arenas back what this thread and those that ended keep. */
void caches_flush(void);
/* And the kernel all that is free then. */
void caches_trim(void);

/* In a child of fork: the other threads' heaps are free. */
void caches_fork_child(void);

#endif
