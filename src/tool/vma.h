/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMAs of a process or of a core file, in address order, with what is
 * resident in each, and what sort of memory each one is.
 */
#ifndef ANONSHIM_TOOL_VMA_H
#define ANONSHIM_TOOL_VMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/strpool.h"

enum vma_class {
	VMA_ANON,   /* anonymous memory, private or shared */
	VMA_HEAP,   /* [heap]: where brk grows */
	VMA_STACK,  /* [stack]: of the main thread */
	VMA_KERNEL, /* [vdso], [vvar] and their like */
	VMA_FILE,
};

struct vma {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	char perms[5];
	enum vma_class class;
	const char *name;      /* as /proc/PID/maps has it */
	const char *anon_name; /* what [anon:...] holds, NULL: not named so */
	const char *owner;     /* of a file, where a soname is known; or NULL */
	uint64_t rss_kib;
	uint64_t pss_kib;
	uint64_t swap_kib;
};

struct vma_list {
	struct vma *v;
	size_t count;
	size_t cap;
};

/* What the kernel says of the process as a whole. */
struct vma_rollup {
	uint64_t rss_kib;
	uint64_t pss_kib;
	uint64_t swap_kib;
};

/*
 * Adds the VMAs of an open maps or smaps to an empty list; names go to the
 * pool; of two that overlap, for they changed meanwhile, the second is cut.
 * 0, -EBADMSG (not such text) or read's -errno.
 */
int vma_list_read(struct vma_list *list, int fd, struct strpool *pool);

/* An open smaps_rollup.  0, -EBADMSG or read's -errno. */
int vma_rollup_read(struct vma_rollup *rollup, int fd);

/*
 * Class and anon_name out of the name as maps has it.  `shared` is true of a
 * mapping with MAP_SHARED.
 */
void vma_classify(struct vma *vma, bool shared, struct strpool *pool);

/* Appends a VMA, which must lie above all others of the list. */
void vma_list_add(struct vma_list *list, const struct vma *vma);

/* Sums over the list. */
void vma_list_sum(const struct vma_list *list, struct vma_rollup *sum);

/* The VMA that holds addr, or NULL. */
const struct vma *vma_list_find(const struct vma_list *list, uint64_t addr);

/* The index of the first VMA that ends above addr, count if there is none. */
size_t vma_list_lower(const struct vma_list *list, uint64_t addr);

void vma_list_destroy(struct vma_list *list);

enum vma_mend {
	VMA_MEND_ROUNDED, /* only fractions of KiB were missing */
	VMA_MEND_DRIFTED, /* other processes came or went meanwhile */
	VMA_MEND_FAILED,  /* nothing of the kind: nothing was changed */
};

/*
 * Makes the PSS of the VMAs add up to the whole process's.
 *
 * smaps cuts each VMA's PSS to KiB and smaps_rollup only their sum, so that
 * every VMA with shared pages (PSS below RSS) lacks a fraction of one KiB.  The
 * KiB that are missing go to such VMAs, one each, spread evenly: every figure
 * stays within 1 KiB of the kernel's and the sum is the kernel's.
 *
 * A larger difference comes from processes that share pages and started or
 * ended between the two readings.  It goes to the same VMAs in proportion to
 * what each shares: the figures are as of the rollup.
 */
enum vma_mend vma_list_mend_pss(struct vma_list *list, uint64_t rollup_pss_kib);

/* The last part of a path, without " (deleted)"; interned. */
const char *vma_basename(const char *path, struct strpool *pool);

static inline uint64_t vma_size_kib(const struct vma *vma)
{
	return (vma->end - vma->start) / 1024;
}

#endif
