/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The region map: which pages belong to which site.
 *
 * Contract: ranges are page-aligned, [start, end).  Every function but those
 * that take it is called with the map's lock held, which the caller keeps
 * across the kernel's call as well: the map then changes in the order in which
 * the address space does.  Neighbours alike in site, name, thread and flags are
 * one region.  Running out of memory for a record loses that record, counts it
 * and marks the registry inexact; nothing else fails.
 */
#ifndef ANONSHIM_TRACK_REGION_H
#define ANONSHIM_TRACK_REGION_H

#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a region says of its pages. */
struct region_tag {
	uint32_t site;
	uint32_t own_name;
	uint32_t tid;
	uint32_t flags;
};

/* False when patience ended; see base/lock.h. */
bool region_lock_take(void);
void region_lock_drop(void);
/* The same, and this thread is busy meanwhile (guard.h).  False: it is not. */
bool region_enter(void);
void region_leave(void);
/*
 * In a fork child: free.  Returns whether the lock was held; a map that was
 * being changed is put together again from its records.
 */
bool region_lock_reset(void);

/* Pages [START, END) now are TAG's, whatever they were. */
void region_set(uintptr_t start, uintptr_t end, const struct region_tag *tag);

/* Pages [START, END) are no region any more. */
void region_clear(uintptr_t start, uintptr_t end);

/*
 * Pages of [FROM, FROM + LEN) are, alike, at TO as well; whatever was at TO
 * before is not.  The caller clears the old place where it is gone.  Returns
 * the bytes of the LEN that are regions.
 */
size_t region_copy(uintptr_t from, size_t len, uintptr_t to);

/* The region that holds ADDR or else is the next above it; NULL: none. */
struct registry_region *region_at_or_above(uintptr_t addr);

/* The region that holds ADDR, or NULL. */
struct registry_region *region_at(uintptr_t addr);

struct region_tag region_tag_of(const struct registry_region *region);

/* Pages [START, END) get NAME (a string index); holes stay holes. */
void region_set_own_name(uintptr_t start, uintptr_t end, uint32_t name);

#endif
