/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sites: the code that asked for memory, one record a call stack, named once.
 *
 * Contract: site ids are indices into the registry's table; an id once given
 * stays valid.  site_of_stack() costs a hash and a probe for a call stack seen
 * before, and is safe anywhere in the program's context; the first time it
 * blocks signals, takes registry_lock and may read files.  Where the table is
 * full or memory runs out it falls back to the caller alone, then to
 * site_unknown.
 */
#ifndef ANONSHIM_TRACK_SITE_H
#define ANONSHIM_TRACK_SITE_H

#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stdint.h>

/* The shim's own memory, that of pages kept for snapshots, and what nobody can
 * be named for. */
extern uint32_t site_own;
extern uint32_t site_snapshots;
extern uint32_t site_unknown;
/* The brk heap. */
extern uint32_t site_brk;

/* Make the sites above.  Returns 0 or -ENOMEM. */
int sites_init(void);

/* The site of N FRAMES (see unwind.h) that map memory of KIND. */
uint32_t site_of_stack(enum registry_kind kind, const uintptr_t *frames,
		       unsigned n);

/*
 * A site with no call stack: OWNER's memory of KIND, SYMBOL.  Call with
 * registry_lock held.
 */
uint32_t site_of_owner(enum registry_kind kind, const char *owner,
		       const char *symbol);

/* A function that asks for memory. */
struct site_function {
	bool wrapper;	/* it speaks for its caller */
	bool nameless;	/* no symbol is known */
	uint32_t owner; /* string */
	uint32_t site;	/* of the function alone */
};

/*
 * The function that PC returns into, for memory of KIND.  Call busy, with
 * registry_lock held.  False: there is no memory for it.
 */
bool site_of_function(enum registry_kind kind, uintptr_t pc,
		      struct site_function *out);

#endif
