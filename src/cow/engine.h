/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine: a thread that serves the faults of watched memory (watch.h), and
 * alone changes what belongs to it.
 *
 * It has a userfaultfd in a table of descriptors of its own, where no
 * closefrom() reaches it.  Who wants something of it touches a page that is not
 * there, and waits in that fault until it is done: no other descriptor is
 * needed.  It takes no lock.
 *
 * Contract: call with the region map's lock held and signals blocked.
 */
#ifndef ANONSHIM_COW_ENGINE_H
#define ANONSHIM_COW_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The engine thread's descriptor; -1: there is no engine. */
extern int engine_uffd;

/* Whether a fork is under way. */
extern bool engine_held;

/* Start it, if it does not run.  Returns 0 or -EPERM, -ENOMEM. */
int engine_start(void);

/*
 * Run FUNCTION(ARG) in its thread, or here where it does not run; that may call
 * sys_*() and what calls nothing else.  Returns what FUNCTION does.
 */
int engine_call(int (*function)(void *), void *arg);

/*
 * In its thread: to call HANG_UP(ARG) when the other ends of FD are gone, at
 * most ENGINE_POLLS at a time, or no longer; to serve what waits.
 */
#define ENGINE_POLLS 8
void engine_poll(int fd, void (*hang_up)(void *arg), void *arg);
void engine_poll_end(int fd);
void engine_serve(void);

/* Without the lock: have it close the window that is open (lazy.h). */
void engine_finish(void);
/* In its thread: there is one from now on. */
void engine_expect_finish(void);

/*
 * End it: nothing is watched any more until it starts again.  For calls that
 * the kernel refuses to who has threads, and that change what a thread may do.
 */
void engine_stop(void);

/*
 * Until it is released nobody writes to watched memory, and nothing that it has
 * changes: around a fork.
 */
int engine_hold(void); /* -errno: that cannot be had */
void engine_release(void);

/* In a child of fork, which it did not come to: nothing runs. */
void engine_forget(void);

#endif
