/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How many pages of a range are there, and how: what it takes to divide a
 * VMA's figures among its parts.  Of a live process pagemap.h counts, of a
 * core file elf_core.h.
 */
#ifndef ANONSHIM_TOOL_PAGE_COUNT_H
#define ANONSHIM_TOOL_PAGE_COUNT_H

#include <stdint.h>

struct page_count {
	uint64_t exclusive; /* resident and mapped by nobody else */
	uint64_t shared;    /* resident, others map them too */
	uint64_t swapped;
};

struct page_counter {
	/* Counts the pages of [start, end): 0 or -errno. */
	int (*count)(struct page_counter *counter, uint64_t start, uint64_t end,
		     struct page_count *to);
};

#endif
