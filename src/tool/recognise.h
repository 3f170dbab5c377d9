/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tool can tell of a live process without the shim, from memory and
 * files, and only where the evidence is certain: the anonymous part of a
 * module (bss), and the arenas and large blocks of glibc's malloc.
 *
 * Looking must not change what is looked at: only pages that are resident are
 * read.
 */
#ifndef ANONSHIM_TOOL_RECOGNISE_H
#define ANONSHIM_TOOL_RECOGNISE_H

#include "tool/claim.h"
#include "tool/pagemap.h"
#include "tool/procfs.h"
#include "tool/space.h"
#include "tool/strpool.h"
#include "tool/vma.h"

struct recognise {
	const struct vma_list *vmas;
	struct space *space;
	struct pagemap *pagemap;
	const struct procfs *proc;
	uint64_t page_bytes;
	struct strpool *pool;
};

/* Claims every module's bss, in address order. */
void recognise_bss(const struct recognise *r, struct claim_list *claims);

/*
 * Claims arenas and mmapped chunks of glibc's malloc, in address order, outside
 * what is claimed already.
 */
void recognise_malloc(const struct recognise *r, const struct claim_list *taken,
		      struct claim_list *claims);

/* Reads memory, but -EFAULT where a page would have to be brought in. */
int recognise_read(const struct recognise *r, uint64_t addr, void *to,
		   size_t len);

#endif
