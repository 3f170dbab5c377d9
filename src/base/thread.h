/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads of the shim's own, which libc knows nothing of.
 *
 * Contract: such a thread has no thread-local storage that libc knows of, so it
 * may call sys_*() and what calls nothing else.  It has a table of descriptors
 * of its own, takes no signal, and ends with the process, or when its function
 * returns.
 */
#ifndef ANONSHIM_BASE_THREAD_H
#define ANONSHIM_BASE_THREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct thread {
	void *stack;	/* kept for the next */
	uint32_t alive; /* the kernel clears it, and wakes who waits */
	long tid;
};

/*
 * Run FUNCTION(ARG) in T, which is none now.  Call with all signals blocked.
 * Returns 0 or -errno.
 */
int thread_start(struct thread *t, void (*function)(void *), void *arg);

/*
 * The same with its maker's table of descriptors, which is to wait for its end;
 * for those that are threads of this kind themselves.
 */
int thread_start_helper(struct thread *t, void (*function)(void *), void *arg);

static inline bool thread_is_alive(const struct thread *t)
{
	return __atomic_load_n(&t->alive, __ATOMIC_ACQUIRE);
}

/* Wait until T has ended. */
void thread_wait(struct thread *t);

/* In a child of fork, which T did not come to. */
void thread_forget(struct thread *t);

/* In T: close all descriptors but the N of KEPT, which is put in order. */
void thread_keep(int *kept, size_t n);

#endif
