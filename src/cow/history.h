/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The versions that a piece of memory had: what snapshots are made of.
 *
 * Taking a snapshot ends an epoch.  The first write to a page in an epoch saves
 * the old page as a version of that epoch, once, however many snapshots see it.
 *
 *	epoch		1	2	3	now
 *	snapshots	 s1	 s2	 s3
 *	page 7		 A	 A	 C	D	versions: s2's A, s3's C
 *
 * Invariants.  Of page p, snapshot s sees the version with the lowest epoch
 * that is not below s's, or, if there is none, what p holds now.  A page has at
 * most one version an epoch.  Every version is seen by a live snapshot: an
 * epoch whose snapshot is dropped becomes part of the one before, and a version
 * that this has already goes.  So the versions of the epochs from s on, up to
 * but without t's, are those of the pages that changed between s and t.
 *
 * An epoch's versions are in a list; when two epochs become one the shorter
 * list moves, so that dropping snapshots in any order costs a step or two a
 * version and a logarithm.  A page's versions are a search tree (a treap) in
 * order of epochs.
 *
 * Contract: one thread at a time, but for history_reserve(), which any one
 * other may call at the same time, and which alone takes memory from the
 * kernel.  Safe after fork, in the child, if nobody was in it.
 */
#ifndef ANONSHIM_COW_HISTORY_H
#define ANONSHIM_COW_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

/* Of one piece of memory; all fields are history.c's. */
struct history {
	uint32_t *roots; /* a tree of versions for each page */
	uint64_t pages;
	uint32_t newest; /* snapshot; 0: none */
};

/* What all histories hold together. */
struct history_counts {
	uint64_t snapshots;
	uint64_t versions;
	uint64_t room;	/* versions that there is memory for */
	uint64_t pages; /* of all that has snapshots */
};

/* Memory of PAGES pages, at most 2^32, without snapshots.  Returns 0 or
 * -ENOMEM. */
int history_init(struct history *h, uint64_t pages);
/* There are PAGES pages now, more than before.  Returns 0 or -ENOMEM. */
int history_grow(struct history *h, uint64_t pages);
/* H has no snapshots. */
void history_end(struct history *h);

/*
 * Address space for VERSIONS versions and one snapshot more than there are.
 * Returns 0 or -ENOMEM.
 */
int history_reserve(uint64_t versions);
struct history_counts history_counts(void);

/* Call EACH for the memory of pages that was reserved since this was called
 * last; as history_reserve(). */
void history_reserved(void (*each)(uintptr_t start, uintptr_t end));

/* A snapshot of what there is now; room for it was reserved.  OWNER is for
 * whoever asks. */
uint32_t history_take(struct history *h, void *owner);
void *history_owner(uint32_t snapshot);
/* Whether this is a snapshot, and none that has come after it. */
bool history_is(uint32_t snapshot, uint32_t serial);
uint32_t history_serial(uint32_t snapshot);
/* Pages that there were when it was taken. */
uint64_t history_pages(uint32_t snapshot);
/* The next newer one, or 0. */
uint32_t history_next(uint32_t snapshot);

/* Nobody wants SNAPSHOT any more; its pages go back to the kernel. */
void history_drop(struct history *h, uint32_t snapshot);

/* Whether anything was saved in the newest epoch. */
bool history_is_written(const struct history *h);
/* Whether what PAGE is now needs no saving. */
bool history_is_saved(const struct history *h, uint64_t page);

/*
 * PAGE is about to be written: a version for the newest epoch, whose memory the
 * caller fills; room for it was reserved.
 */
void *history_save(struct history *h, uint64_t page);

/* What SNAPSHOT sees of PAGE; NULL: what it is now. */
const void *history_find(const struct history *h, uint32_t snapshot,
			 uint64_t page);

/*
 * Set a bit in CHANGED for each page that has a version in an epoch from
 * snapshot FROM on, up to but without UNTIL's; 0: to the newest.
 */
void history_changes(uint32_t from, uint32_t until, uint64_t *changed);

#endif
