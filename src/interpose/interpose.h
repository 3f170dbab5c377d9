/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of this storey share.
 */
#ifndef ANONSHIM_INTERPOSE_INTERPOSE_H
#define ANONSHIM_INTERPOSE_INTERPOSE_H

#include "track/unwind.h"

#define EXPORT __attribute__((visibility("default")))

/* In what is exported as NAME, which libc may lack. */
#define REAL_NEEDED(name)               \
	do {                            \
		if (!real.name)         \
			real_init();    \
		if (!real.name) {       \
			errno = ENOSYS; \
			return -1;      \
		}                       \
	} while (0)

/* The watched part of syscall(2); called by syscall.S. */
long interpose_syscall(long nr, const long a[6],
		       const struct unwind_start *caller);

/*
 * After life_start(): make malloc the shim's, unless the options or the
 * program have it otherwise.  Returns 0 or -errno: it is libc's.
 */
int malloc_start(void);
/* Before: learn what the program has of its own; after real_init(). */
void malloc_meet(void);

#endif
