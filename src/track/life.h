/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How tracking begins, and how it goes on in a child of fork.
 *
 * Contract: life_start() once, on the main thread, after config_init() and
 * caps_init(); what was mapped before it is found and named then.
 */
#ifndef ANONSHIM_TRACK_LIFE_H
#define ANONSHIM_TRACK_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start the storey.  Returns 0 or -errno. */
int life_start(const char *version, const char *options);

/*
 * LEN bytes at START were mapped by CALLER before life_start(), which names
 * them.  Lock-free.
 */
void life_early(uintptr_t start, size_t len, uintptr_t caller);

/*
 * Around fork; see shim/fork.c.  A child whose parent did not go through
 * life_fork_prepare(), one of a raw fork, is mended with PREPARED false.
 */
void life_fork_prepare(void);
void life_fork_parent(void);
void life_fork_child(bool prepared);

/* CHILD is called, once it is noticed, in one of _Fork() or of a raw fork. */
void life_on_raw_fork(void (*child)(void));

#endif
