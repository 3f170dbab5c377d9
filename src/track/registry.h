/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry: the record that the tool reads, laid out as in
 * wire/registry_abi.h, and the strings in it.
 *
 * Contract: registry_init() once, at start-up.  Strings and tables other than
 * the regions change under registry_lock (rank LOCK_SITE), taken busy (see
 * env/guard.h).  Reading a published element needs no lock.
 */
#ifndef ANONSHIM_TRACK_REGISTRY_H
#define ANONSHIM_TRACK_REGISTRY_H

#include "base/lock.h"
#include "base/table.h"
#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stddef.h>

/* Elements in the first chunk of the table of regions: 1 << this. */
#define REGIONS_FIRST_SHIFT 8

/* NULL until registry_init() has succeeded; exported for the tool. */
extern struct registry_head *anonshim_registry;

extern struct lock registry_lock;

/* Returns 0 or -ENOMEM. */
int registry_init(const char *version, const char *options);

/*
 * Index of TEXT, LEN bytes, in the table of strings; equal texts share one.
 * 0, the empty string, where memory runs out.  Call with registry_lock held.
 */
uint32_t registry_string(const char *text, size_t len);

/* The string at INDEX. */
const char *registry_text(uint32_t index);

static inline struct registry_site *registry_site_at(uint32_t index)
{
	return table_at(&anonshim_registry->table[REGISTRY_SITES], index);
}

static inline struct registry_module *registry_module_at(uint32_t index)
{
	return table_at(&anonshim_registry->table[REGISTRY_MODULES], index);
}

/* Add N to a counter of struct registry_counters, without a lock. */
#define REGISTRY_COUNT(field, n)                                              \
	__atomic_fetch_add(&anonshim_registry->counters.field, (uint64_t)(n), \
			   __ATOMIC_RELAXED)

/*
 * Whether the process has few enough VMAs for /proc/self/maps to be read on a
 * path that the program waits for (0.3 us a VMA).
 */
static inline bool registry_maps_short(void)
{
	return anonshim_registry->counters.regions < 4096;
}

static inline void registry_flag_set(uint32_t flag)
{
	__atomic_fetch_or(&anonshim_registry->flags, flag, __ATOMIC_RELAXED);
}

static inline void registry_flag_clear(uint32_t flag)
{
	__atomic_fetch_and(&anonshim_registry->flags, ~flag, __ATOMIC_RELAXED);
}

#endif
