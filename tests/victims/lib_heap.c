/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library that takes and keeps memory; made twice, lib_heap_a, lib_heap_b.
 */
#include "lib_heap.h"

#include "victim.h"

void heap_fill(size_t blocks)
{
	for (size_t i = 0; i < blocks; i++)
		memset(keep(malloc(HEAP_BLOCK)), 1, HEAP_BLOCK);
}

void heap_fill_strdup(size_t blocks)
{
	char text[HEAP_BLOCK];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	for (size_t i = 0; i < blocks; i++)
		keep(strdup(text));
}

void heap_fill_by(size_t blocks, void *(*get)(size_t size))
{
	for (size_t i = 0; i < blocks; i++)
		memset(keep(get(HEAP_BLOCK)), 1, HEAP_BLOCK);
}
