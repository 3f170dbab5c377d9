/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watched objects: shared memory of which every first write is noticed.
 *
 * All mappings of such an object are registered with the engine's userfaultfd.
 * Invariant: a page that is not `loose` is write-protected in every one of
 * them, or is not there yet and will be protected when it is; a page of a view
 * that is not `present` faults where it is touched first, and so does a hole of
 * a large object of which there is little: to protect holes takes page tables.
 *
 * Contract: the engine's thread alone calls these (engine_call()), or whoever
 * knows that it has none.  No memory but that of lists.
 */
#ifndef ANONSHIM_COW_WATCH_H
#define ANONSHIM_COW_WATCH_H

#include "base/bits.h"
#include "cow/history.h"
#include "cow/uffd.h"
#include "track/share.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cow_object;

struct watched {
	struct watched *next;
	struct watched *previous;
	uint32_t object; /* of share.h */
	uint32_t source; /* the snapshot that it is a view of, or 0 */
	uint64_t pages;
	char *at;	   /* a mapping of all of it that nobody else knows */
	uint64_t *loose;   /* a bit a page */
	uint64_t *present; /* the same; not NULL: it is a view */
	bool is_relaxed;   /* and holes do not fault for now */
	bool armed;	   /* the invariant holds; else it need not */
	bool is_whole;	   /* `at` shows also what is mapped nowhere else */
	int fd; /* the engine's; not 0: most are holes, where touching faults */
	struct watch_mapping *mappings;
	const struct watch_mapping *hint; /* one of them; watch.c's */
	/* of lifting where nobody wants to know, see snapshot_page.c */
	uint64_t row;
	uint64_t next_page;
	uint64_t faults; /* since it was armed */
	struct history history;
	struct cow_object *sink; /* see lazy.h; NULL: no window is open */
	int notify; /* the engine's, of a pipe: the first write; 0: nobody */
	bool notified;
};

/* Bytes [start, end) show W from page `first` on. */
struct watch_mapping {
	uintptr_t start;
	uintptr_t end;
	uint64_t first;
	uint32_t serial; /* of share.h */
	bool only_reads; /* for ever: the kernel does not register it */
	struct watched *watched;
	struct watch_mapping *next; /* of the same object */
};

/* All of M. */
static inline struct uffd_range watch_range(const struct watch_mapping *m)
{
	return (struct uffd_range){m->start, m->end};
}

/* All of them, the newest first. */
extern struct watched *watched_all;

/* A bit set of W's pages, in memory of its own, and its length. */
static inline size_t watch_bits_bytes(const struct watched *w)
{
	return bits_bytes(w->pages);
}

/* The mapping that holds ADDR, or NULL. */
const struct watch_mapping *watch_at(uintptr_t addr);
/* One of W that shows PAGE, or NULL. */
const struct watch_mapping *watch_of(struct watched *w, uint64_t page);

/* W's object is mapped where share.h says now, which is as it was but at P, or
 * everywhere else too.  Returns 0 or -errno. */
int watch_follow(struct watched *w, const struct share_place *p);
int watch_follow_all(struct watched *w);
/* Its mappings are nobody's, or all are. */
void watch_forget(struct watched *w);
void watch_forget_all(void);
/* With a new userfaultfd, or in a child: register all anew. */
int watch_register_all(void);

/*
 * Objects, with the map's lock held.  watched_new() makes one of SIZE bytes
 * that nobody knows of yet, or NULL; watched_get() finds that of OBJECT,
 * watched from now on if it was not: 0, -EINVAL (the kernel cannot), -ENOMEM,
 * -EPERM.
 */
struct watched *watched_new(uint32_t object, uint64_t size, bool is_view,
			    int fd);
int watched_get(uint32_t object, uint64_t size, int fd, struct watched **to);
/* Those that neither the program nor anybody else has anything of are watched
 * no longer: not while somebody is about to. */
void watched_sweep(void);
/* W's object has SIZE bytes now: what is new is watched from here on. */
int watched_fit(struct watched *w, uint64_t size, int fd);
struct watched *watched_of(uint32_t object);
/* Nobody knows them any more. */
void watched_forget_all(void);
/* Whether the program has no mapping of it, and nobody else anything. */
bool watched_is_unused(const struct watched *w);
/* A bit a page, in memory of its own; NULL: there is none. */
uint64_t *watched_bits(const struct watched *w);
void watched_free(struct watched *w);
/* In the engine: W is watched from here on. */
int watched_begin(struct watched *w);
/* In the engine: and no longer.  Returns the snapshot that it was a view of. */
uint32_t watched_end(struct watched *w);

/* How mappings of W are registered. */
unsigned watch_mode(const struct watched *w);
/* Protect what there is of W in M, which is new, or everywhere (NULL); and
 * pages [FROM, TO) everywhere. */
int watch_protect_new(const struct watched *w, const struct watch_mapping *m);
long watch_protect_pages(const struct watched *w, uint64_t from, uint64_t to);

/* Make the invariant hold: protect all of W, or what is loose. */
int watch_arm(struct watched *w);
/* Writes to PAGE, and if that can be done to pages [FROM, TO) around it, pass
 * in M. */
void watch_lift(const struct watch_mapping *m, uint64_t page, uint64_t from,
		uint64_t to);
/* View W has PAGE now; it was protected in the mapping that it was put in. */
void watch_protect(const struct watched *w, uint64_t page);
/* PAGE of W, a hole that somebody touched at ADDR, is his. */
void watch_make_page(struct watched *w, uintptr_t addr);
/* Nobody wants to know of W for now, and it faults often: let it. */
void watch_relax(struct watched *w);
/* Who waits for the page at ADDR in M looks again, wherever he saw it. */
void watch_wake_page(const struct watch_mapping *m, uintptr_t addr);
/* Who waits for pages of W looks again. */
void watch_wake(const struct watched *w, uint64_t page, uint64_t pages);

#endif
