/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dividing a VMA's figures among its parts, which add up to the VMA's own
 * exactly whatever the counts say: a process moves between one reading and the
 * next, and pagemap counts some pages that smaps does not.
 */
#ifndef ANONSHIM_TOOL_SPLIT_H
#define ANONSHIM_TOOL_SPLIT_H

#include <stddef.h>
#include <stdint.h>

#include "tool/page_count.h"
#include "tool/vma.h"

struct split_part {
	uint64_t start;
	uint64_t end;
	struct page_count pages; /* in: as counted */
	uint64_t rss_kib;	 /* out */
	uint64_t pss_kib;
	uint64_t swap_kib;
};

/*
 * Fills in the figures of parts[0..n), which cover the VMA.  Pages that are
 * exclusive count in full; the rest of the VMA's PSS is spread evenly over
 * those that are not.
 */
void split_figures(const struct vma *vma, struct split_part *parts, size_t n,
		   uint64_t page_bytes);

/*
 * total, divided among n shares in proportion to weight[]; the shares add up
 * to total and none is more than 1 from its proportion.  All weights 0: evenly.
 */
void split_total(uint64_t total, const uint64_t *weight, uint64_t *share,
		 size_t n);

/*
 * The same by largest remainders: every share is its proportion cut to a whole
 * number, and those that lost most by that get 1 more.  A share of weight 0 is
 * 0.  All weights 0: all shares are, too, and nothing adds up.
 */
void split_largest(uint64_t total, const uint64_t *weight, uint64_t *share,
		   size_t n);

#endif
