/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes 20 MiB in small blocks for each owner, and waits to be looked at:
 * heap_owners WAY LIBRARIES [WRAPPER], LIBRARIES the directory of
 * lib_heap_a.so, lib_heap_b.so, lib_heap_wrap.so.  Ways: plain, sites, holes,
 * small, closed, wrapped.
 */
#include "lib_heap.h"
#include "victim.h"

#include <dlfcn.h>

#define BLOCKS 187250 /* 20 MiB and a little */
#define SMALL_BLOCKS (BLOCKS / 100)

static const char *directory;
static void *kept[BLOCKS];

struct library {
	void *handle;
	void (*fill)(size_t blocks);
	void (*fill_strdup)(size_t blocks);
	void (*fill_by)(size_t blocks, void *(*get)(size_t size));
};

static void *load(const char *name)
{
	char path[4096];
	void *handle;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	handle = dlopen(path, RTLD_NOW);
	CHECK(handle);
	return handle;
}

static struct library load_filler(const char *name)
{
	struct library l = {.handle = load(name)};

	l.fill = (void (*)(size_t))dlsym(l.handle, "heap_fill");
	l.fill_strdup = (void (*)(size_t))dlsym(l.handle, "heap_fill_strdup");
	l.fill_by = (void (*)(size_t, void *(*)(size_t)))dlsym(l.handle,
							       "heap_fill_by");
	CHECK(l.fill && l.fill_strdup && l.fill_by);
	return l;
}

NOINLINE static void fill_one(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		kept[i] = memset(keep(malloc(HEAP_BLOCK)), 1, HEAP_BLOCK);
}

NOINLINE static void fill_two(void)
{
	for (size_t i = 0; i < BLOCKS; i++)
		keep(memset(keep(calloc(1, HEAP_BLOCK)), 1, HEAP_BLOCK));
}

static void plain(void)
{
	fill_one();
	load_filler("lib_heap_a.so").fill(BLOCKS);
	load_filler("lib_heap_b.so").fill_strdup(BLOCKS);
}

static void sites(void)
{
	fill_one();
	fill_two();
}

static void holes(void)
{
	fill_one();
	for (size_t i = 0; i < BLOCKS; i += 2)
		free(kept[i]);
}

static void small(void)
{
	load_filler("lib_heap_a.so").fill(SMALL_BLOCKS);
	load_filler("lib_heap_b.so").fill(SMALL_BLOCKS);
}

/* What a library took is still its when it is gone. */
static void closed(void)
{
	struct library l = load_filler("lib_heap_a.so");

	l.fill(BLOCKS);
	CHECK(!dlclose(l.handle));
}

static void wrapped(const char *wrapper)
{
	void *library = load("lib_heap_wrap.so");
	void *(*get)(size_t) = (void *(*)(size_t))dlsym(library, wrapper);

	CHECK(get);
	load_filler("lib_heap_a.so").fill_by(BLOCKS, get);
}

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc >= 3);
	directory = argv[2];
	if (!strcmp(argv[1], "plain"))
		plain();
	else if (!strcmp(argv[1], "sites"))
		sites();
	else if (!strcmp(argv[1], "holes"))
		holes();
	else if (!strcmp(argv[1], "small"))
		small();
	else if (!strcmp(argv[1], "closed"))
		closed();
	else
		wrapped(argv[3]);
	victim_wait();
	return 0;
}
