/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory before the heap is there; see early.h.  A block is preceded by its
 * size.
 */
#include "heap/early.h"

#include "base/mem.h"

#include <stdint.h>

#define FIRST_BYTES 16384
#define CHUNK_BYTES ((size_t)1 << 20)
#define CHUNKS_ALIKE 4 /* then twice as large, so that they never run out */
#define CHUNKS 64
#define HEADER 16

struct chunk {
	char *start;
	char *end;
	char *top;
};

static _Alignas(HEADER) char first[FIRST_BYTES];
static struct chunk chunks[CHUNKS] = {
	{first, first + sizeof(first), first},
};
static unsigned last;
static uint32_t lock; /* of those few, late, who meet */

static char *cut(struct chunk *c, size_t size, size_t alignment)
{
	uintptr_t at = ((uintptr_t)c->top + HEADER + alignment - 1) &
		       ~(uintptr_t)(alignment - 1);

	if (at > (uintptr_t)c->end || size > (uintptr_t)c->end - at)
		return NULL;
	((size_t *)at)[-1] = size;
	c->top = (char *)((at + size + HEADER - 1) & ~(uintptr_t)(HEADER - 1));
	return (char *)at;
}

static void *alloc(size_t size, size_t alignment)
{
	size_t bytes = CHUNK_BYTES << last / CHUNKS_ALIKE;
	char *p;

	if (alignment < HEADER)
		alignment = HEADER;
	p = cut(&chunks[last], size, alignment);
	if (p || last + 1 >= CHUNKS || size > PTRDIFF_MAX - alignment)
		return p;
	if (size + alignment + 2 * HEADER > bytes)
		bytes = page_up(size + alignment + 2 * HEADER);
	p = mem_map(bytes);
	if (!p)
		return NULL;
	chunks[last + 1] = (struct chunk){p, p + bytes, p};
	__atomic_store_n(&last, last + 1, __ATOMIC_RELEASE);
	return cut(&chunks[last], size, alignment);
}

void *early_alloc(size_t size, size_t alignment)
{
	void *p;

	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	p = alloc(size, alignment);
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	return p;
}

bool early_owns(const void *p)
{
	for (unsigned i = 0; i <= __atomic_load_n(&last, __ATOMIC_ACQUIRE); i++)
		if ((const char *)p >= chunks[i].start &&
		    (const char *)p < chunks[i].end)
			return true;
	return false;
}

size_t early_size(const void *p)
{
	return ((const size_t *)p)[-1];
}
