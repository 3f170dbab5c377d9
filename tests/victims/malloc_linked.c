/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that links another malloc, whichever, and gives blocks of malloc's
 * to functions that only that one has.  With `hold` it keeps 20 MiB.
 */
#include "victim.h"

#include <dlfcn.h>

#define BLOCKS 20480
#define BLOCK 1000

static size_t jemalloc_size(void *p)
{
	size_t (*size)(const void *, int) =
		(size_t(*)(const void *, int))dlsym(RTLD_DEFAULT, "sallocx");

	return size ? size(p, 0) : 0;
}

static size_t size_of(const char *function, void *p)
{
	size_t (*size)(const void *) =
		(size_t(*)(const void *))dlsym(RTLD_DEFAULT, function);

	return size ? size(p) : 0;
}

static void give_back(void *p)
{
	static const char *const functions[] = {"je_free", "tc_free", "mi_free",
						NULL};
	void (*dallocx)(void *, int) =
		(void (*)(void *, int))dlsym(RTLD_DEFAULT, "dallocx");

	if (dallocx) {
		dallocx(p, 0);
		return;
	}
	for (const char *const *f = functions; *f; f++) {
		void (*give)(void *) =
			(void (*)(void *))dlsym(RTLD_DEFAULT, *f);

		if (give) {
			give(p);
			return;
		}
	}
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
	printf("%zu %zu %zu\n", jemalloc_size(held[0]),
	       size_of("tc_malloc_size", held[0]),
	       size_of("mi_usable_size", held[0]));
	for (size_t i = 0; i < BLOCKS; i++)
		give_back(held[i]);
	puts("done");
	return 0;
}
