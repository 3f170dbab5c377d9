/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's own memory: private anonymous mappings, never libc's malloc.
 *
 * Contract: lengths are rounded up to pages; memory is zeroed; thread-safe;
 * safe in signal handlers and after fork.  A mapping is reported to the
 * observer, which records and names it; the observer may be called with any
 * lock held and must take none.
 */
#ifndef ANONSHIM_BASE_MEM_H
#define ANONSHIM_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES ((size_t)4096)

static inline uintptr_t page_down(uintptr_t addr)
{
	return addr & ~(PAGE_BYTES - 1);
}

static inline uintptr_t page_up(uintptr_t addr)
{
	return (addr + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* Who is told of every mapping made by mem_map(); NULL: nobody. */
void mem_set_observer(void (*observer)(uintptr_t start, uintptr_t end));

/* Returns BYTES of zeroed memory, or NULL where the kernel has none. */
void *mem_map(size_t bytes);

#endif
