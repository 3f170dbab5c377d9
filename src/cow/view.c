/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Views over a fork; see plan.h.
 *
 * A view is memory that no descriptor leads to, and there may be more of them
 * than a process may have descriptors.  What snapshots hold is a child's as all
 * private memory is, and so are copies of the pages that the view has of its
 * own, which the parent makes; of them the child makes the view anew.
 */
#include "base/mem.h"
#include "base/sys.h"
#include "cow/plan.h"
#include "cow/watch.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

bool cow_is_view(uint32_t object)
{
	const struct watched *w = watched_of(object);

	return w && w->present;
}

uint64_t cow_view_bytes(const struct cow_object *o)
{
	const struct watched *w = watched_of(o->id);

	return bits_count(w->present, w->pages) * PAGE_BYTES;
}

static char *page_of(const struct watched *w, uint64_t page)
{
	return w->at + page * PAGE_BYTES;
}

/* The next pages [*FROM, returned) that W has; the end of W: none. */
static uint64_t next_pages(const struct watched *w, uint64_t *from)
{
	*from = bit_next(w->present, *from, w->pages, true);
	return bit_next(w->present, *from, w->pages, false);
}

/* Between W and what is STAGED of it; by a call that fails where there is no
 * memory, and ends nobody. */
static int copy(const struct watched *w, char *staged, bool out)
{
	uint64_t from = 0;
	uint64_t to;

	while ((to = next_pages(w, &from)) > from) {
		size_t len = (to - from) * PAGE_BYTES;
		long done = out ? sys_peek(page_of(w, from), staged, len)
				: sys_peek(staged, page_of(w, from), len);

		if (done <= 0)
			return -ENOMEM;
		staged += page_down((uintptr_t)done);
		from += (uint64_t)done / PAGE_BYTES;
	}
	return 0;
}

int cow_view_stage(struct cow_object *o)
{
	const struct watched *w = watched_of(o->id);
	long p;

	o->staged_bytes = cow_view_bytes(o);
	if (!o->staged_bytes)
		return 0;
	p = sys_mmap_private(o->staged_bytes);
	if (sys_failed(p))
		return -ENOMEM;
	o->staged = (char *)p;
	return copy(w, o->staged, true);
}

void cow_view_unstage(struct cow_object *o)
{
	if (o->staged)
		sys_munmap(o->staged, o->staged_bytes);
	o->staged = NULL;
}

int cow_view_make(struct cow_object *o)
{
	const struct watched *w = watched_of(o->id);
	long p = sys_mmap(
		w->at, w->pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	int result = sys_failed(p) ? -ENOMEM : 0;

	if (!result && o->staged)
		result = copy(w, o->staged, false);
	cow_view_unstage(o);
	return result;
}

/* LEN bytes of W from OFFSET on at TO, however large W is: mremap() may have
 * made a mapping of it larger, and what lies beyond is there to be SIGBUS. */
static long map_at(const struct watched *w, uint64_t offset, size_t len,
		   void *to)
{
	long all;
	long p;

	if (offset + len <= w->pages * PAGE_BYTES)
		return sys_mremap(w->at + offset, 0, len,
				  MREMAP_MAYMOVE | MREMAP_FIXED, to);
	all = sys_mremap(w->at, 0, offset + len, MREMAP_MAYMOVE, NULL);
	if (sys_failed(all))
		return all;
	p = sys_mremap((char *)all + offset, len, len,
		       MREMAP_MAYMOVE | MREMAP_FIXED, to);
	if (sys_failed(p))
		offset += len;
	if (offset)
		sys_munmap((void *)all, offset);
	return p;
}

long cow_view_map(const struct cow_object *o, const struct cow_map *m)
{
	size_t len = m->end - m->start;
	long p = map_at(watched_of(o->id), m->offset, len, (void *)m->start);

	return sys_failed(p)
		       ? p
		       : sys_call(SYS_mprotect, p, (long)len, m->prot, 0, 0, 0);
}
