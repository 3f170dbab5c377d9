/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library that asks for memory in its own name; heap_check loads copies of
 * it under other sonames, as long as this one's.
 */
#include "lib_owner.h"

#include "victim.h"

#include <malloc.h>

static void *get(size_t size)
{
	void *p = malloc(size);

	NO_TAIL_CALL();
	return p;
}

static void *get_zeroed(size_t size)
{
	void *p = calloc(1, size);

	NO_TAIL_CALL();
	return p;
}

static void *get_aligned(size_t alignment, size_t size)
{
	void *p = memalign(alignment, size);

	NO_TAIL_CALL();
	return p;
}

static void *resize(void *p, size_t size)
{
	p = realloc(p, size);
	NO_TAIL_CALL();
	return p;
}

static void put(void *p)
{
	free(p);
	NO_TAIL_CALL();
}

const struct owner_calls owner_calls = {
	.get = get,
	.get_zeroed = get_zeroed,
	.get_aligned = get_aligned,
	.resize = resize,
	.put = put,
};
