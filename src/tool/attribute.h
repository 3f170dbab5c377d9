/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose is what: the kernel's VMAs held against the claims.  Every VMA comes
 * out as one part or several that add up to it exactly, so that a report's
 * total is the kernel's whatever the claims say.
 */
#ifndef ANONSHIM_TOOL_ATTRIBUTE_H
#define ANONSHIM_TOOL_ATTRIBUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/claim.h"
#include "tool/label.h"
#include "tool/page_count.h"
#include "tool/rows.h"
#include "tool/vma.h"

/* One VMA, or a part of one. */
struct part {
	const struct vma *vma;
	uint64_t start;
	uint64_t end;
	struct label label;
	struct amounts amounts;
	bool claimed;	/* by a claim, not by what the kernel says */
	uint32_t arena; /* see struct claim */
};

typedef void part_fn(const struct part *part, void *arg);

struct attribution {
	const struct vma_list *vmas;
	const struct claim_list *claims;
	struct strpool *pool;
	const char *exe; /* owner of the main stack */
	struct page_counter *counter;
	uint64_t page_bytes;
	/* Out: VMAs of several owners whose pages could not be told apart. */
	uint64_t undivided;
	int undivided_error; /* -errno of the last one */
};

/* Calls fn for every part of every VMA, in address order. */
void attribute(struct attribution *a, part_fn *fn, void *arg);

/* Whether a part is anonymous memory that has an owner (not [heap]). */
bool part_is_named(const struct part *part);

/* Whether a part is anonymous memory: private or shared, [heap], [stack]. */
bool part_is_anonymous(const struct part *part);

#endif
