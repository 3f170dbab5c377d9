/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks with ranks and with patience that ends.
 *
 * Contract:
 * - A lock is taken with every signal blocked (see sys_signals_block), so
 *   that no handler can meet it held by its own thread.
 * - A thread takes locks in rising rank only; a debug build (no NDEBUG)
 *   aborts where it does not.
 * - lock_take() gives up after LOCK_PATIENCE_NS.  The program comes first:
 *   whoever holds a lock that long was killed in a vfork child, or waits for
 *   the very thread that asks.  The caller then does the program's call
 *   without the bookkeeping and marks the registry inexact.
 * - Between locks_linger(true) and locks_linger(false) nobody gives up: who
 *   holds locks does what takes long, and waits for no other thread.
 * - Fork: only shim/fork.c takes all; lock_reset() in the child.
 */
#ifndef ANONSHIM_BASE_LOCK_H
#define ANONSHIM_BASE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#define LOCK_PATIENCE_NS UINT64_C(2000000000)

/* In the order in which they are taken. */
enum lock_rank {
	LOCK_HEAP = 1, /* the heap's arenas, owners and caches */
	LOCK_SITE,     /* interning of sites, modules, strings */
	LOCK_WINDOW,   /* the heap's address space */
	LOCK_MAP,      /* the region map, held across the kernel's call */
};

struct lock {
	uint32_t word; /* 0 free, 1 held, 2 held and waited for */
	uint32_t rank;
	bool suspect; /* patience ended: until it is dropped, nobody waits */
};

#define LOCK_INIT(r)                   \
	{                              \
		.word = 0, .rank = (r) \
	}

/* Returns false, lock not taken, when patience ends. */
bool lock_take(struct lock *lock);
void lock_drop(struct lock *lock);
void locks_linger(bool begins);
/* In a fork child: nobody does. */
void locks_linger_reset(void);
/* In a fork child: free, whoever held it.  Returns whether it was held. */
bool lock_reset(struct lock *lock);

#endif
