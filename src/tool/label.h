/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a piece of memory is called: who owns it, what kind it is, which site
 * asked for it, and its name as /proc/PID/smaps shows it, or would.  All
 * strings are interned in one pool, so that equal labels have equal pointers;
 * none is NULL.
 */
#ifndef ANONSHIM_TOOL_LABEL_H
#define ANONSHIM_TOOL_LABEL_H

#include <stdbool.h>

#include "tool/strpool.h"
#include "tool/vma.h"

/* Owner and kind of anonymous memory of which nobody knows whose it is. */
#define LABEL_UNATTRIBUTED "(unattributed)"

struct label {
	const char *owner;
	const char *kind;
	const char *site;
	const char *name;
};

/* A label out of four strings, which it interns. */
struct label label_make(struct strpool *pool, const char *owner,
			const char *kind, const char *site, const char *name);

/*
 * A name in the form `owner: kind site`.  One that the program chose itself
 * (its kind is none of ours) is taken as `owner: site` of kind mmap.
 */
struct label label_parse(struct strpool *pool, const char *name);

/* What the kernel alone says of a VMA.  `exe` owns the main stack. */
struct label label_of_vma(struct strpool *pool, const struct vma *vma,
			  const char *exe);

static inline bool label_equal(const struct label *a, const struct label *b)
{
	return a->owner == b->owner && a->kind == b->kind &&
	       a->site == b->site && a->name == b->name;
}

#endif
