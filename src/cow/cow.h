/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a child of fork gets of shared memory: copies of its own, at the same
 * addresses, of the objects that the policy (policy.c) names.
 *
 * The parent copies before it forks, so that what fails is fork() and not a
 * child.  A copy has two steps, for handlers that the program registered with
 * pthread_atfork() run between them: cow_reserve() finds the objects and makes
 * new ones, cow_freeze() holds other threads' writes and fills them.  Then
 * comes the fork; cow_child() maps the new objects over all aliases and puts
 * them behind all descriptors, cow_parent() lets go.
 *
 *	struct cow_plan *plan;
 *	int result = cow_reserve(&plan, late);
 *	...handlers...
 *	result = cow_freeze(plan, locked);
 *	...fork...
 *	cow_child(plan) or cow_parent(plan)
 *
 * Contract: all with signals blocked and the thread busy (guard.h);
 * cow_freeze() to cow_parent() with the region map's lock held, which the child
 * has too.  A failure leaves nothing behind but the plan, which is the
 * caller's to drop.
 */
#ifndef ANONSHIM_COW_COW_H
#define ANONSHIM_COW_COW_H

#include "track/share.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cow_plan;

/* Once, at start-up, after life_start(). */
void cow_start(void);

/* Whether a fork has anything to copy, as far as is known at once. */
extern bool cow_always;
static inline bool cow_wanted(void)
{
	return __builtin_expect(cow_always, 0) ||
	       __builtin_expect(
		       __atomic_load_n(&share_groups, __ATOMIC_RELAXED) != 0,
		       0);
}

/*
 * Returns 0 or -ENOMEM, -EAGAIN; *PLAN is NULL where there is nothing to copy,
 * or where that failed.  LATE: others may write between this and cow_freeze(),
 * which looks again; else that comes next.
 */
int cow_reserve(struct cow_plan **plan, bool late);
/* The same with the map's lock held. */
int cow_reserve_locked(struct cow_plan **plan, bool late);

/*
 * LOCKED: whether the map's lock could be had, which a late one needs.  Returns
 * 0 or -ENOMEM, -EAGAIN: the plan is good for cow_parent() only.
 */
int cow_freeze(struct cow_plan *plan, bool locked);

bool cow_is_frozen(const struct cow_plan *plan);

/*
 * In the parent: others may write again.  Returns true where PLAN is not the
 * caller's any more; else it is good for cow_free() only.
 */
bool cow_parent(struct cow_plan *plan);

/*
 * Whether a lazy copy is under way (lazy.h), and its end: before whatever it
 * does not cover.
 */
extern bool cow_window_open;
extern bool cow_window_child; /* and whether this is the child */
void cow_drain_slowly(void);
static inline void cow_drain(void)
{
	if (__builtin_expect(
		    __atomic_load_n(&cow_window_open, __ATOMIC_ACQUIRE), 0))
		cow_drain_slowly();
}

/* Before what a child watches with another userfaultfd is to be watched. */
static inline void cow_settle(void)
{
	if (cow_window_child)
		cow_drain();
}

/* FD is about to be read: a child waits until all is there. */
void cow_reads_slowly(int fd);
static inline void cow_reads(int fd)
{
	if (__builtin_expect(
		    __atomic_load_n(&cow_window_open, __ATOMIC_ACQUIRE), 0))
		cow_reads_slowly(fd);
}

/* Another program is about to be started, with descriptors that the caller may
 * have CHOSEN. */
extern bool cow_window_fds; /* what is being copied has any */
static inline void cow_spawns(bool chosen)
{
	if (__builtin_expect(
		    __atomic_load_n(&cow_window_open, __ATOMIC_ACQUIRE), 0) &&
	    cow_window_fds && (chosen || cow_window_child))
		cow_drain();
}

/* Threads of the shim's own that this process has; with the map's lock held. */
unsigned cow_threads(void);
/* Whether this thread is the only one but for those. */
bool cow_alone(void);

/* This thread is about to end, by exit(2) itself, with STATUS: where it is the
 * program's last the process ends, though the shim has a thread. */
void cow_exits(int status);

/* Undo all and free PLAN; cow_child() does. */
void cow_free(struct cow_plan *plan);

/*
 * In the child.  Ends the process where the kernel has no memory, or where
 * cow_freeze() had failed and it was forked nevertheless.
 */
void cow_child(struct cow_plan *plan);

/* Half of a copy is worse than no child. */
_Noreturn void cow_end_child(void);

/*
 * What writes through a descriptor is not held by the kernel.  Whether FD is
 * one of an object that a fork may copy: calls that write to it go through
 * cow_write(), which does them when no copy is being made.
 */
bool cow_guards_slowly(int fd);
static inline bool cow_guards(int fd)
{
	return __builtin_expect(
		       __atomic_load_n(&share_groups, __ATOMIC_RELAXED) != 0,
		       0) &&
	       cow_guards_slowly(fd);
}

/* System call NR as libc does it, but that no cancellation interrupts it. */
long cow_write(long nr, long a, long b, long c, long d);

/* LEN bytes are about to be written to FD, which is guarded, at *AT or where it
 * is (NULL), by what does not go through cow_write(); SIZE_MAX: anywhere. */
void cow_overwrites(int fd, const off_t *at, size_t len);
/* What *AT is then where the end is meant. */
#define COW_END INT64_MAX
/* Bytes of N pieces of VEC. */
struct iovec;
size_t cow_vec_bytes(const struct iovec *vec, long n);

/* In a child that was forked behind our back: nobody makes a copy in it. */
void cow_forked(void);

/*
 * Around a fork, with the map's lock held: nothing that snapshots see changes
 * from cow_hold() to cow_release().  cow_renew() is for the child, after
 * cow_child().
 */
void cow_hold(void);
bool cow_holds(void); /* whether it does anything */
void cow_release(void);
void cow_renew(void);
/* In a child for which nobody called cow_hold(). */
void cow_lose(void);

/* All memory is about to be touched, or shared with a child: views have all
 * that they show. */
void cow_fill(void);

/*
 * Around a call that changes what the process is: the shim has no thread of its
 * own meanwhile.
 */
void cow_pause(void);
void cow_resume(void);
/* Nor has it one from here on. */
void cow_end(void);

/* madvise(ADDR, LEN, MADV_REMOVE) as libc does it. */
int cow_remove(void *addr, size_t len);

/* What cow_freeze() returned last. */
int cow_error(const struct cow_plan *plan);

#endif
