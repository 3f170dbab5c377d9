/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that snapshots and views see.
 *
 * Contract: as watch.h.
 */
#ifndef ANONSHIM_COW_SNAPSHOT_PAGE_H
#define ANONSHIM_COW_SNAPSHOT_PAGE_H

#include "cow/watch.h"

#include <stdint.h>

/* Pages that views have. */
extern uint64_t page_views;

/* PAGE of W is about to change: its snapshots keep what it was. */
void page_save(struct watched *w, uint64_t page);
/* Who waits for the first write to W since its last snapshot is told, once. */
void page_notify(struct watched *w);
/* Another snapshot begins: to be told again. */
void page_unnotify(struct watched *w);
/* PAGE is W's own from here on, if that is a view; a hole is zeros. */
void page_own(struct watched *w, uint64_t page);
/* Those put while the engine was held are, in who forked; the child's copy may
 * lack them. */
void page_own_owed(void);
void page_fill_owed(void);
/* Put what view W shows on PAGE there, where nobody asked for it. */
void page_fill_plainly(struct watched *w, uint64_t page);

#endif
