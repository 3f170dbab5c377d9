/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that links another malloc, whichever, and gives blocks of malloc's
 * to functions that only that one has.  With `hold` it keeps 20 MiB.
 */
#include "victim.h"

#include <stddef.h>

#define BLOCKS 20480
#define BLOCK 1000

/* What the malloc that is linked does not have stays NULL. */
#define WEAK __attribute__((weak))

WEAK size_t sallocx(const void *p, int flags);
WEAK size_t tc_malloc_size(void *p);
WEAK size_t mi_usable_size(const void *p);
WEAK void dallocx(void *p, int flags);
WEAK void tc_free(void *p);
WEAK void mi_free(void *p);

static void give_back(void *p)
{
	if (dallocx)
		dallocx(p, 0);
	else if (tc_free)
		tc_free(p);
	else if (mi_free)
		mi_free(p);
}

int main(int argc, char **argv)
{
	static void *held[BLOCKS];

	victim_begin();
	for (size_t i = 0; i < BLOCKS; i++) {
		held[i] = malloc(BLOCK);
		CHECK(held[i]);
		memset(held[i], 1, BLOCK);
	}
	if (argc > 1 && !strcmp(argv[1], "hold"))
		victim_wait();
	printf("%zu %zu %zu\n", sallocx ? sallocx(held[0], 0) : 0,
	       tc_malloc_size ? tc_malloc_size(held[0]) : 0,
	       mi_usable_size ? mi_usable_size(held[0]) : 0);
	for (size_t i = 0; i < BLOCKS; i++)
		give_back(held[i]);
	puts("done");
	return 0;
}
