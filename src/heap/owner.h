/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who asks for memory, and which arena that makes it.
 *
 * An owner (a module) begins in the shared arena and gets one of its own when
 * it holds enough, or asks often enough; a site that takes a large part of all
 * gets one too.  What was given out before stays where it is.
 *
 * Contract: a caller once learnt stays; caller_find() costs a hash and a probe
 * without a lock, the first time for an address it blocks signals, takes
 * heap_lock and registry_lock and may read files.
 */
#ifndef ANONSHIM_HEAP_OWNER_H
#define ANONSHIM_HEAP_OWNER_H

#include "heap/arena.h"
#include "track/cfi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern struct lock heap_lock;

struct owner {
	uint32_t name; /* string */
	bool settled;  /* there is no arena to be had */
	struct arena *arena;
	int64_t live;  /* bytes in the shared arena */
	uint64_t asks; /* of the shared arena; about so many */
};

/* A function that asks. */
struct place {
	uint32_t site;
	uint16_t account; /* of what it has in the shared arena; 0: no room */
	bool settled;
	struct arena *arena; /* the site's own, or NULL */
	int64_t grown;	     /* bytes by which it made an arena larger */
	struct owner *owner;
};

/* A return address. */
struct caller {
	uintptr_t pc;
	uint64_t generation;  /* of the modules, when it was learnt */
	bool wrapper;	      /* its caller counts, where there is one */
	bool undecided;	      /* it has no name: it may be part of a wrapper */
	struct cfi_rule rule; /* of a wrapper: to its caller */
	struct place *place;
};

/* Returns 0 or -ENOMEM. */
int owners_init(void);

/* Who PC returns into; never NULL. */
const struct caller *caller_find(uintptr_t pc);

/* Whether C is a wrapper, as far as is known. */
static inline bool caller_wraps(const struct caller *c)
{
	return __atomic_load_n(&c->wrapper, __ATOMIC_RELAXED);
}

/* It is known now whether C, which has no name, is part of a wrapper. */
void caller_decide(const struct caller *c, bool wrapper);

/* The arena that PLACE's memory comes from now. */
static inline struct arena *place_arena(const struct place *place)
{
	struct arena *a = __atomic_load_n(&place->arena, __ATOMIC_ACQUIRE);

	if (!a)
		a = __atomic_load_n(&place->owner->arena, __ATOMIC_ACQUIRE);
	return a ? a : arena_shared;
}

/* PLACE took BYTES of A: it may have grown out of it. */
void place_took(struct place *place, struct arena *a, size_t bytes);

/* BYTES of the shared arena, more or less, are PLACE's. */
void place_holds(struct place *place, int64_t bytes);

/* The same for who has ACCOUNT. */
void account_holds(uint16_t account, int64_t bytes);

#endif
