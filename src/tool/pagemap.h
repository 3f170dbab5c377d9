/* SPDX-License-Identifier: BSD-2-Clause */
/* Counting pages with /proc/PID/pagemap. */
#ifndef ANONSHIM_TOOL_PAGEMAP_H
#define ANONSHIM_TOOL_PAGEMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "tool/page_count.h"

struct pagemap {
	struct page_counter counter;
	int fd;	       /* -1: not to be had, `error` says why */
	int error;     /* -errno */
	bool can_scan; /* the kernel has PAGEMAP_SCAN (6.7) */
	uint64_t page_bytes;
};

/*
 * Takes an open /proc/PID/pagemap, or the -errno of opening it, for a machine
 * with pages of page_bytes.
 */
void pagemap_init(struct pagemap *map, int fd_or_error, uint64_t page_bytes);

/* Whether the page at addr is resident: reading it then moves nothing. */
bool pagemap_is_resident(struct pagemap *map, uint64_t addr);

void pagemap_destroy(struct pagemap *map);

#endif
