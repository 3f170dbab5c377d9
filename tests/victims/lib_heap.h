/* SPDX-License-Identifier: BSD-2-Clause */
/* Who takes memory, and through whom, in heap_owners. */
#ifndef ANONSHIM_TESTS_LIB_HEAP_H
#define ANONSHIM_TESTS_LIB_HEAP_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAP_BLOCK 112 /* a size that no allocator rounds up */

/* lib_heap_a and lib_heap_b */
void heap_fill(size_t blocks);
void heap_fill_strdup(size_t blocks);
void heap_fill_by(size_t blocks, void *(*get)(size_t size));

/* lib_heap_wrap: wrappers of malloc, one harder to look through each */
void *my_xmalloc(size_t size);
void *my_xinner(size_t size);
void *my_xwide(size_t size);
void *my_xframe(size_t size);
void *my_xtail(size_t size);

/* Keeps the block from being left out. */
static inline void *keep(void *p)
{
	if (!p)
		_exit(1);
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

#endif
