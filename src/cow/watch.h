/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watched objects: shared memory of which every first write is noticed.
 *
 * All mappings of such an object are registered with the engine's userfaultfd.
 * Invariant: a page that is not `loose` is write-protected in every one of
 * them, or is not there yet and will be protected when it is; a page of a view
 * that is not `present` faults where it is touched first.
 *
 * Contract: the engine's thread alone calls these (engine_call()), or whoever
 * knows that it has none.  No memory but that of lists.
 */
#ifndef ANONSHIM_COW_WATCH_H
#define ANONSHIM_COW_WATCH_H

#include "cow/history.h"
#include "cow/uffd.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watched {
	struct watched *next;
	uint32_t object; /* of share.h */
	uint32_t source; /* the snapshot that it is a view of, or 0 */
	uint64_t pages;
	char *at;	   /* a mapping of all of it that nobody else knows */
	uint64_t *loose;   /* a bit a page */
	uint64_t *present; /* the same; not NULL: it is a view */
	bool armed;	   /* the invariant holds; else it need not */
	size_t mappings;
	uint64_t stride; /* pages lifted at a time when nobody wants them */
	struct history history;
	int notify; /* the engine's, of a pipe: the first write; -1: nobody */
	bool notified;
};

/* Bytes [start, end) show W from page `first` on. */
struct watch_mapping {
	uintptr_t start;
	uintptr_t end;
	uint64_t first;
	uint32_t serial; /* of share.h */
	struct watched *watched;
};

/* All of them, the newest first. */
extern struct watched *watched_all;

/* A bit set of W's pages, in memory of its own, and its length. */
static inline size_t watch_bits_bytes(const struct watched *w)
{
	return (w->pages + 63) / 64 * sizeof(uint64_t);
}

static inline bool bit_get(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static inline void bit_set(uint64_t *bits, uint64_t i)
{
	bits[i / 64] |= UINT64_C(1) << i % 64;
}

static inline void bit_clear(uint64_t *bits, uint64_t i)
{
	bits[i / 64] &= ~(UINT64_C(1) << i % 64);
}

/* The first bit from I on that is VALUE, below N; N: none is. */
uint64_t bit_next(const uint64_t *bits, uint64_t i, uint64_t n, bool value);

/* The mapping that holds ADDR, or NULL. */
const struct watch_mapping *watch_at(uintptr_t addr);
/* One of W that shows PAGE, or NULL. */
const struct watch_mapping *watch_of(const struct watched *w, uint64_t page);

/* W's object is mapped where share.h says now.  Returns 0 or -errno. */
int watch_follow(struct watched *w);
/* Its mappings are nobody's. */
void watch_forget(struct watched *w);
/* With a new userfaultfd, or in a child: register all anew. */
int watch_register_all(void);

/* Make the invariant hold: protect all of W, or what is loose. */
int watch_arm(struct watched *w);
/* Writes to PAGES pages from PAGE on pass at ADDR. */
void watch_lift(struct watched *w, uintptr_t addr, uint64_t pages);
/* Who waits for pages of W looks again. */
void watch_wake(const struct watched *w, uint64_t page, uint64_t pages);

#endif
