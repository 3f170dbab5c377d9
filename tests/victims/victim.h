/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the victims share: tiny programs with one behaviour each, run by the
 * end-to-end tests with and without the shim.  Exit status 0: behaved as it
 * should, 1: did not (the line is on stderr), 77: cannot be tried here.
 *
 * VICTIM_SHIM=1 in the environment: the shim must be there, so that no test
 * passes because nothing was preloaded.
 */
#ifndef VICTIM_H
#define VICTIM_H

#include "anonshim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
#define PAGES 37 /* of a mapping that a test looks for */
#define LIFE_SECONDS 300

#define NOINLINE __attribute__((noipa))

/* The call before is not the last: the function stays on the stack. */
#define NO_TAIL_CALL() __asm__ volatile("" ::: "memory")

#define CHECK(true_one)                                                    \
	do {                                                               \
		if (!(true_one)) {                                         \
			dprintf(2, "%s:%d: %s does not hold (errno %d)\n", \
				__FILE__, __LINE__, #true_one, errno);     \
			_exit(1);                                          \
		}                                                          \
	} while (0)

#define SKIP(why)                        \
	do {                             \
		dprintf(2, "%s\n", why); \
		_exit(77);               \
	} while (0)

static inline void victim_begin(void)
{
	const char *wanted = getenv("VICTIM_SHIM");

	alarm(LIFE_SECONDS);
	if (wanted && *wanted == '1' && !anonshim_available()) {
		dprintf(2, "the shim is not there\n");
		_exit(99);
	}
}

/* Lets the test look at this process, until it kills it; allocates nothing. */
static inline void victim_wait(void)
{
	if (write(1, "ready\n", 6) != 6)
		_exit(1);
	for (;;)
		pause();
}

static inline void *touch(void *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		((volatile char *)p)[i * PAGE] = (char)(i + 1);
	return p;
}

/* Inlined, so that the site is the caller. */
static inline __attribute__((always_inline)) void *anon(size_t pages)
{
	void *p = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

#endif
