/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thread stacks: libc maps them itself, unseen, so each is found and named by
 * the thread that runs on it, while it runs.
 *
 * Contract: stack_thread_create() has the results of pthread_create.  A stack
 * that the program provides stays the site's that mapped it.  Once a thread
 * has ended its stack is libc's cache and nobody's region.
 */
#ifndef ANONSHIM_TRACK_STACK_H
#define ANONSHIM_TRACK_STACK_H

#include "track/unwind.h"

#include <pthread.h>

/* BEGINS is called in each new thread, before its routine. */
void stack_on_start(void (*begins)(void));

int stack_thread_create(pthread_t *thread, const pthread_attr_t *attr,
			void *(*routine)(void *), void *arg,
			const struct unwind_start *caller);

#endif
