/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another interposer of mmap, as many programs have: counts and hands on to
 * the next.  MMAP_NEXT_COUNT() tells how many came.
 */
#include "victim.h"

#include <dlfcn.h>

typedef void *mmap_function(void *, size_t, int, int, int, off_t);

static unsigned long count;

unsigned long mmap_next_count(void);

unsigned long mmap_next_count(void)
{
	return count;
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	static mmap_function *next;

	if (!next)
		next = (mmap_function *)dlsym(RTLD_NEXT, "mmap");
	count++;
	return next(addr, len, prot, flags, fd, offset);
}
