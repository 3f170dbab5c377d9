/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program with a malloc of its own that leaves some of the family to libc,
 * and knows libc's blocks by their not being in its pool; with OWNS_FREE it
 * has free alone, and libc's by its other name.
 */
#include "victim.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>

void *__libc_malloc(size_t size);
void __libc_free(void *p);

#define HEADER 16
#define POOL_BYTES ((size_t)1 << 22)

static int gone;

#ifdef OWNS_FREE

void free(void *p)
{
	gone += p != NULL;
	__libc_free(p);
}

static bool from_pool(const void *p)
{
	return p;
}

#else

static _Alignas(HEADER) char pool[POOL_BYTES];
static size_t used;

static bool from_pool(const void *p)
{
	return (const char *)p >= pool && (const char *)p < pool + POOL_BYTES;
}

void *malloc(size_t size)
{
	size_t bytes = (size + 2 * HEADER - 1) & ~(size_t)(HEADER - 1);
	char *p;

	if (size > POOL_BYTES - used - 2 * HEADER)
		return NULL;
	p = pool + used;
	used += bytes;
	*(size_t *)(void *)p = size;
	return p + HEADER;
}

void free(void *p)
{
	gone += p != NULL;
	if (!from_pool(p))
		__libc_free(p);
}

void *realloc(void *p, size_t size)
{
	void *q = malloc(size);
	size_t had;

	CHECK(!p || from_pool(p));
	had = p ? ((size_t *)p)[-2] : 0;
	return q && p ? memcpy(q, p, had < size ? had : size) : q;
}

#endif

static void given_back(void *p)
{
	int before = gone;

	CHECK(p);
	memset(p, 0x5a, 100);
	free(p);
	CHECK(gone == before + 1);
}

static void arrays(void)
{
	volatile size_t half = SIZE_MAX / 2;
	char *p = reallocarray(NULL, 10, 10);

	CHECK(from_pool(p));
	strcpy(p, "what was there");
	p = reallocarray(p, 1000, 10);
	CHECK(from_pool(p) && !strcmp(p, "what was there"));
	errno = 0;
	CHECK(!reallocarray(p, half, 10) && errno == ENOMEM);
	given_back(p);
	p = calloc(10, 10);
	CHECK(p && !p[0] && !memcmp(p, p + 1, 99));
	given_back(p);
	errno = 0;
	CHECK(!calloc(half, 10) && errno == ENOMEM);
}

static void alignments(void)
{
	for (size_t to = 16; to <= 65536; to *= 2) {
		void *p = NULL;

		CHECK(!posix_memalign(&p, to, 100) && !((uintptr_t)p % to));
		CHECK(malloc_usable_size(p) >= 100);
		given_back(p);
		p = aligned_alloc(to, 65536);
		CHECK(!((uintptr_t)p % to));
		given_back(p);
		given_back(memalign(to, 100));
	}
	given_back(valloc(100));
	given_back(pvalloc(100));
}

/* Of C23, where there are some. */
static void sized(void)
{
	void (*f)(void *, size_t) =
		(void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	int before = gone;

	if (!f)
		return;
	f(malloc(100), 100);
	CHECK(gone == before + 1);
}

int main(void)
{
	victim_begin();
	for (int i = 0; i < 100; i++) {
		given_back(malloc(100));
		arrays();
		alignments();
		sized();
	}
	given_back(strdup("a libc's function's, which calls the program's"
			  "                                              "
			  "                                              "));
	puts("done");
	return 0;
}
