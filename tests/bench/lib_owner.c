/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An owner of memory: heap_pages loads copies of this, so that there are
 * several.
 */
#include <stdlib.h>

void *owner_malloc(size_t bytes);

void *owner_malloc(size_t bytes)
{
	void *p = malloc(bytes);

	/* no tail call: the caller of malloc is this module */
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}
