/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for who asks before the heap is there: the loader, dlsym, other
 * interposers.
 *
 * Contract: no symbol lookups, no lock but for the cut itself; blocks are
 * aligned to 16 bytes, zeroed, never used again.  What is there does not run
 * out before memory does.
 */
#ifndef ANONSHIM_HEAP_EARLY_H
#define ANONSHIM_HEAP_EARLY_H

#include <stdbool.h>
#include <stddef.h>

void *early_alloc(size_t size, size_t alignment);
bool early_owns(const void *p);
size_t early_size(const void *p);

#endif
