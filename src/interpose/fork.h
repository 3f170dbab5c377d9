/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place that orders what happens around fork, and the ways to fork.
 *
 * Contract: fork_init() once, at start-up, before any other handler is
 * registered: our prepare handler then runs last and the others first, so
 * that handlers of the program run with every lock of ours free, and with a
 * child's memory as it will be.  Children of _Fork() and of raw system calls
 * run no handlers: where a child is to get copies of shared memory these are
 * called nevertheless, else track/life.c notices such a child.
 */
#ifndef ANONSHIM_INTERPOSE_FORK_H
#define ANONSHIM_INTERPOSE_FORK_H

#include <stdbool.h>

void fork_init(void);

/*
 * Whether syscall(NR, A, B), one of the calls that make a process, makes one
 * that gets copies.  Called by syscall.S on the stack that the call may share
 * with its child, which is as before when this returns.
 */
bool fork_watched(long nr, unsigned long a, unsigned long b);

/* That call. */
long fork_by_syscall(long nr, const long a[6]);

#endif
