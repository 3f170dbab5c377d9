/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Another interposer of mmap, as many programs have: counts and hands on to
 * the next.  MMAP_NEXT_COUNT() tells how many came, CLOCK_NEXT_COUNT() how many
 * asked for the time, which it has another of, as libfaketime does.
 */
#include "victim.h"

#include <dlfcn.h>
#include <time.h>

typedef void *mmap_function(void *, size_t, int, int, int, off_t);

static unsigned long count;
static unsigned long clock_count;

unsigned long mmap_next_count(void);
unsigned long clock_next_count(void);

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

unsigned long clock_next_count(void)
{
	return clock_count;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	clock_count++;
	return (int)syscall(SYS_clock_gettime, clock, now);
}
