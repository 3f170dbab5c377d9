/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The address space of malloc's.
 *
 * malloc_space where: prints where a small block is, and a large one.
 * malloc_space as|data: under such a limit, space that was freed is there for
 * mmap.
 * malloc_space huge: blocks of up to 128 GiB, if just the kernel has as much.
 */
#include "victim.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define LIMIT GIB
#define MUCH (600 * MIB)

static void where(void)
{
	printf("%p\n%p\n", malloc(10), malloc(100000));
}

static bool can_map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && !munmap(p, size);
}

/* MUCH in blocks of SIZE, and free again. */
static void take_and_give(size_t size)
{
	static char *blocks[MUCH / 1000];
	size_t n = MUCH / size;

	for (size_t i = 0; i < n; i++) {
		blocks[i] = malloc(size);
		CHECK(blocks[i]);
		blocks[i][0] = blocks[i][size - 1] = 1;
	}
	for (size_t i = 0; i < n; i++)
		free(blocks[i]);
	malloc_trim(0);
}

static void back(int what)
{
	static const size_t sizes[] = {MUCH, 10 * MIB, 100000, 1000};
	struct rlimit to = {LIMIT, LIMIT};

	CHECK(!setrlimit(what, &to));
	for (unsigned i = 0; i < 8; i++) {
		take_and_give(sizes[i % 4]);
		CHECK(can_map(MUCH));
	}
}

/* Not written to but at its ends: no machine need have so much. */
static void try(char *p, size_t size, bool can)
{
	CHECK(!p == !can);
	if (!p)
		return;
	CHECK(malloc_usable_size(p) >= size);
	p[0] = p[size - 1] = 1;
	free(p);
}

static void huge(void)
{
	for (unsigned turn = 0; turn < 3; turn++)
		for (size_t size = GIB; size <= 128 * GIB; size *= 2) {
			bool can = can_map(size);
			void *p = NULL;

			try(malloc(size), size, can);
			try(realloc(malloc(MIB), size), size, can);
			try(calloc(size / 16, 16), size, can);
			if (!posix_memalign(&p, size, 5000))
				CHECK((uintptr_t)p % size == 0);
			free(p);
		}
	for (unsigned i = 0; i < 300; i++) {
		void *p = NULL;

		if (!posix_memalign(&p, (size_t)1 << 36, 4096))
			free(p);
	}
	for (size_t size = 1; size <= 16 * MIB; size *= 2)
		CHECK(malloc(size));
}

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc == 2);
	if (!strcmp(argv[1], "where"))
		where();
	else if (!strcmp(argv[1], "as"))
		back(RLIMIT_AS);
	else if (!strcmp(argv[1], "data"))
		back(RLIMIT_DATA);
	else
		huge();
	return 0;
}
