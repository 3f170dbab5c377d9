/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of the family the program has of its own, and what the files of the
 * family share.
 *
 * A program may define some of the functions and operators itself, or another
 * library that is preloaded before the shim.  What then still arrives here
 * does as libc's and libstdc++'s own do: reallocarray calls the program's
 * realloc, new[] its operator new.  The calls go through the PLT, so that the
 * linker decides.
 */
#ifndef ANONSHIM_INTERPOSE_MALLOC_H
#define ANONSHIM_INTERPOSE_MALLOC_H

#include "track/unwind.h"

#include <stdbool.h>
#include <stddef.h>

#define SLOW __attribute__((noinline, noipa))
#define LIKELY(x) __builtin_expect(!!(x), 1)

/*
 * Whose the program calls.  Before malloc_meet() nothing is the shim's: what
 * is called through the PLT is right always, only slower.
 */
struct family {
	bool malloc; /* the shim's: malloc, */
	bool free;
	bool realloc;
	bool operator_new; /* every one */
	bool operator_delete;
	/* malloc is the program's, but it left these to libc */
	bool calloc_strays;
	bool memalign_strays;
	/* who calls most of them gets somebody else's all the same: Valgrind
	 * takes their place where they are, but knows not all of them */
	bool redirected;
};

extern struct family family;

/* `family` is known, */
void operators_meet(void);
/* and the heap runs. */
void operators_start(void);

/*
 * SIZE bytes at a multiple of ALIGNMENT, which need be no power of two: as
 * glibc has it the next one counts.
 */
void *malloc_aligned(size_t alignment, size_t size,
		     const struct unwind_start *caller);

#endif
