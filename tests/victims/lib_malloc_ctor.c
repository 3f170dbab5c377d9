/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library that asks for memory when it is loaded, and does for its user
 * what malloc does for itself: by whichever malloc it finds.
 */
#include "victim.h"

static char *early;

void *lib_get(size_t size);
void *lib_resize(void *p, size_t size);
void lib_put(void *p);
char *lib_early(void);

__attribute__((constructor)) static void ctor(void)
{
	early = malloc(1000);
	CHECK(early);
	memset(early, 'e', 1000);
	for (size_t size = 1; size < 100000; size *= 3)
		free(realloc(malloc(size), size * 2));
}

__attribute__((destructor)) static void dtor(void)
{
	free(early);
	free(malloc(10));
}

/* Whose it is when it goes to the user. */
char *lib_early(void)
{
	char *p = early;

	early = NULL;
	return p;
}

void *lib_get(size_t size)
{
	void *p = malloc(size);

	NO_TAIL_CALL();
	return p;
}

void *lib_resize(void *p, size_t size)
{
	p = realloc(p, size);
	NO_TAIL_CALL();
	return p;
}

void lib_put(void *p)
{
	free(p);
	NO_TAIL_CALL();
}
