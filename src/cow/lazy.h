/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lazy copy: a fork that copies nothing, and two threads that see to it
 * that nobody can tell.
 *
 * F0 is the old object, F1 the new one.  In the parent F0 is watched (watch.h),
 * and stays so: what was not written until the next fork need not be protected
 * again.  In the child F1, which is empty, is at all of its addresses and
 * faults where it is.  While the window is open
 *
 *   a thread of the child's puts what a fault asks for, and in order all else,
 *   from F0 into F1;
 *   the parent's engine, where somebody wants to write a page of F0, first puts
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
 * Who wants the window closed before that, to do what protection does not
 * cover, has all that F0 has put into F1, and waits until the child's thread,
 * which is told so, has ended: it must not find in F0 what was a hole there at
 * the fork.
 *
 * Contract: as cow.h.  A parent may have several windows open, and every page
 * that somebody wants to write is put into each; a child ends its own before it
 * forks.
 */
#ifndef ANONSHIM_COW_LAZY_H
#define ANONSHIM_COW_LAZY_H

#include "base/mem.h"
#include "cow/plan.h"
#include "cow/watch.h"

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

/* Whether the program has a descriptor of what PLAN copies. */
static inline bool lazy_has_fds(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->fds.n; i++)
		if (COW_OBJECT(plan, COW_FD(plan, i)->object)->lazy)
			return true;
	return false;
}

/* All of F1. */
static inline struct uffd_range cow_f1_range(const struct cow_object *o)
{
	uintptr_t start = (uintptr_t)o->f1;

	return (struct uffd_range){start, start + page_up(o->size)};
}

/* Before another window: one of a child's own, or too many, have to end. */
void cow_drain_to_fork(void);

/* Unmap what is hidden. */
void cow_lazy_unmap(struct cow_plan *plan);
/* Its descriptors are those of another table. */
void cow_lazy_forget_fds(struct cow_plan *plan);

/*
 * Put of O's block that shows OFFSET what F0 has into F1, which is registered
 * with UFFD, where that has nothing.  False: there is no memory.
 */
bool lazy_put_block(int uffd, struct cow_object *o, uint64_t offset);
/* What F1 has no page for then is a hole: a page of zeros for one who asks for
 * it, or writes there. */
bool lazy_put_page(int uffd, const struct cow_object *o, uint64_t offset);
/* The same of pages [FROM, TO) in bytes, and zeros for the holes there. */
bool lazy_put_pages(int uffd, const struct cow_object *o, uint64_t from,
		    uint64_t to);
/* Put all there is, calling BETWEEN every now and then; in a child, until it
 * is given that. */
void lazy_put_all(int uffd, const struct cow_plan *plan, bool in_child,
		  void (*between)(void));
static inline bool lazy_is_given(const struct cow_plan *plan)
{
	return __atomic_load_n(&plan->talk->given, __ATOMIC_ACQUIRE);
}
/* The parent may put something into F1; false: the child wants nothing more. */
bool lazy_put_begin(const struct cow_plan *plan);
void lazy_put_end(const struct cow_plan *plan);
/* Put zeros wherever F1 has nothing. */
void lazy_put_zeros(int uffd, const struct cow_plan *plan);

/* The engine's: pages [FROM, TO), in bytes, of W, which has a sink, are about
 * to be written. */
void lazy_yield(struct watched *w, uint64_t from, uint64_t to);
/* The engine's: somebody waits for the window to be closed.  False: that is
 * under way. */
bool lazy_finish(void);
/* In a child: they are its parent's. */
void lazy_parent_forget(void);
/* Somebody - mlockall(), a debugger, another process - wants the page at PAGE,
 * and it is in an F1 of this process: he gets what the child gets, or waits for
 * the window to be opened. */
bool lazy_meets(uintptr_t page);
/* The engine's: PLAN's F1 may fault from here on. */
void lazy_expect(const struct cow_plan *plan);
/* There is no window to come, if one was. */
void lazy_unexpect(const struct cow_plan *plan);
/* With the map's lock held: what open windows have mapped for themselves is
 * added to TO, as by cow_hide(). */
int lazy_hidden(struct cow_list *to);
/* Whether no more windows can be opened. */
bool lazy_parent_is_full(void);

/* There was no fork. */
void cow_lazy_undo(struct cow_plan *plan);

#endif
