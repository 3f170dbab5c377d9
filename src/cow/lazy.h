/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lazy copy: a fork that copies nothing, and two threads that see to it
 * that nobody can tell.
 *
 * F0 is the old object, F1 the new one.  At the fork every alias of F0 in the
 * parent is write-protected; in the child F1, which is empty, is at all of them
 * and faults where it is.  While the window is open
 *
 *   the child's thread puts what a fault asks for, and in order all else, from
 *   F0 into F1;
 *   the parent's thread, where somebody wants to write a page of F0, first puts
 *   that into F1 and then lifts the protection.
 *
 * Invariants: F1 holds, of a page, what F0 held at the fork, or nothing; F0
 * holds what it held at the fork of every page that F1 has nothing of.  Both
 * threads insert with UFFDIO_COPY and UFFDIO_ZEROPAGE, which put nothing where
 * something is: no locks, and either process may be killed at any time.  A page
 * that the child reads from F0 while the parent writes it is dropped, for by
 * then F1 has one.
 *
 * The window closes when the child has all, has ended or has called execve():
 * its thread's end of a pipe closes.
 *
 * Contract: as cow.h.  There is one window at a time; who wants to fork again,
 * or to do what protection does not cover, drains it first.
 */
#ifndef ANONSHIM_COW_LAZY_H
#define ANONSHIM_COW_LAZY_H

#include "base/mem.h"
#include "cow/plan.h"

/*
 * Decide which of PLAN's objects are copied lazily, and make ready for that.
 * What cannot be is copied eagerly.
 */
void cow_lazy_prepare(struct cow_plan *plan);

/* After the fork; each takes over PLAN, where that has lazy objects, and
 * returns true. */
bool cow_lazy_parent(struct cow_plan *plan);
/* With F1 mapped everywhere. */
bool cow_lazy_child(struct cow_plan *plan);

#define COW_BLOCK_BYTES UINT64_C(65536) /* put at a fault, a bit of `done` */

static inline size_t cow_done_bytes(const struct cow_object *o)
{
	return page_up(page_up(o->size) / COW_BLOCK_BYTES / 8 + 1);
}

/* All of F1. */
static inline struct uffd_range cow_f1_range(const struct cow_object *o)
{
	uintptr_t start = (uintptr_t)o->f1;

	return (struct uffd_range){start, start + page_up(o->size)};
}

/* FD watches the mappings of lazy objects no longer. */
void cow_lazy_unregister(const struct cow_plan *plan, int fd);

/* Unmap what is hidden. */
void cow_lazy_unmap(struct cow_plan *plan);

/* There was no fork. */
void cow_lazy_undo(struct cow_plan *plan);

#endif
