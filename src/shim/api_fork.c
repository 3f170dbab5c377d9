/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * anonshim_set_fork().
 */
#define ANONSHIM_BUILD
#include "anonshim.h"

#include "base/mem.h"
#include "base/procmaps.h"
#include "env/guard.h"
#include "shim/api.h"
#include "track/region.h"
#include "track/share.h"

#include <errno.h>
#include <sys/sysmacros.h>

struct range {
	uintptr_t start;
	uintptr_t end;
	uint32_t set;
	uint32_t clear;
	bool found;
};

static void mark_known(struct range *r)
{
	const struct share *s;

	for (uintptr_t at = r->start;
	     at < r->end && (s = share_at_or_above(at)) && s->start < r->end;
	     at = s->end) {
		share_mark(s->object, r->set, r->clear);
		r->found = true;
	}
}

/* A mapping that nobody saw made is seen now. */
static void meet(const struct procmap_vma *vma, void *arg)
{
	const struct range *r = arg;
	const struct share *s;
	uint32_t object;

	if (!vma->shared || !vma->inode || vma->start >= r->end ||
	    vma->end <= r->start)
		return;
	s = share_at_or_above(vma->start);
	if (s && s->start < vma->end)
		return;
	object =
		share_object(makedev(vma->major, vma->minor), vma->inode, 0, 0);
	share_add(vma->start, vma->end, vma->offset, object);
}

static int set_fork(struct range *r)
{
	if (!api_enter())
		return ENOMEM;
	mark_known(r);
	if (!r->found) {
		procmaps_read(meet, r);
		mark_known(r);
	}
	api_leave();
	return r->found ? 0 : ENOENT;
}

int anonshim_set_fork(void *addr, size_t len, int mode)
{
	struct range r = {
		.start = (uintptr_t)addr,
		.end = page_up((uintptr_t)addr + len),
		.set = mode == ANONSHIM_FORK_SHARE     ? OBJECT_SHARE
		       : mode == ANONSHIM_FORK_PRIVATE ? OBJECT_PRIVATE
						       : 0,
		.clear = OBJECT_SHARE | OBJECT_PRIVATE,
	};
	int err = errno;
	int result;

	if (!guard_ready)
		return api_failed(ENOSYS);
	if (r.start & (PAGE_BYTES - 1) || r.end <= r.start ||
	    mode < ANONSHIM_FORK_DEFAULT || mode > ANONSHIM_FORK_PRIVATE)
		return api_failed(EINVAL);
	if (!api_mapped(addr, len))
		return api_failed(ENOMEM);
	result = set_fork(&r);
	errno = err;
	return result ? api_failed(result) : 0;
}
