/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's own mappings, recorded and named `anonshim: registry`.
 *
 * Contract: own_note() takes no lock and may be called with any held; it is
 * the observer of base/mem.h.  own_flush() enters what was noted into the
 * region map, whose lock is held.
 */
#ifndef ANONSHIM_TRACK_OWN_H
#define ANONSHIM_TRACK_OWN_H

#include <stdint.h>

void own_note(uintptr_t start, uintptr_t end);
void own_flush_noted(void);

/* Pages [START, END), entered already, are kept for snapshots. */
void own_snapshots(uintptr_t start, uintptr_t end);

/* In a fork child: a thread that is gone may have noted by halves. */
void own_reset(void);

extern uint32_t own_pending; /* mappings noted and not yet entered */

static inline void own_flush(void)
{
	if (__atomic_load_n(&own_pending, __ATOMIC_RELAXED))
		own_flush_noted();
}

#endif
