/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling new objects with what is in the old ones; see plan.h.
 *
 * By pwrite(2) from a mapping: the kernel then neither clears the new pages
 * first nor faults them in one by one.  A mapping of the program's serves where
 * it may be read, for its page tables are there.
 */
#include "cow/plan.h"

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PIECE_BYTES ((uint64_t)2 << 20)
#define WINDOW_BYTES ((uint64_t)64 << 20)

/* Bytes of an object in memory. */
struct source {
	char *at;
	uint64_t bytes;
	bool ours; /* to be unmapped */
};

static const struct cow_map *map_of(const struct cow_plan *plan,
				    uint32_t object, uint64_t offset, int prot)
{
	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);

		if (m->object == object && (m->prot & prot) == prot &&
		    m->offset <= offset &&
		    offset < m->offset + (m->end - m->start))
			return m;
	}
	return NULL;
}

/* One more alias of M, which may not be read, that may. */
static long readable_alias(uintptr_t addr, uint64_t bytes)
{
	long p = sys_mremap((void *)addr, 0, bytes, MREMAP_MAYMOVE, NULL);
	long result;

	if (sys_failed(p))
		return p;
	result = sys_call(SYS_mprotect, p, (long)bytes, PROT_READ, 0, 0, 0);
	if (!sys_failed(result))
		return p;
	sys_munmap((void *)p, bytes);
	return result;
}

/*
 * Up to LEN bytes of OBJECT from OFFSET on.  1, or 0 where nobody can get at
 * them, then SOURCE->bytes is how far; or -errno.
 */
static int source_find(const struct cow_plan *plan, uint32_t object,
		       uint64_t offset, uint64_t len, struct source *s)
{
	const struct cow_object *o = COW_OBJECT(plan, object);
	const struct cow_map *m = map_of(plan, object, offset, PROT_READ);
	uint64_t page = offset & ~(uint64_t)(PAGE_BYTES - 1);
	uint64_t most =
		o->huge_bytes > WINDOW_BYTES ? o->huge_bytes : WINDOW_BYTES;
	uint64_t window = len < most ? len : most;
	long p;

	s->ours = !m;
	if (!m && o->old < 0)
		m = map_of(plan, object, offset, PROT_NONE);
	if (m) {
		s->at = (char *)m->start + (offset - m->offset);
		s->bytes = m->offset + (m->end - m->start) - offset;
		s->bytes = s->bytes < len ? s->bytes : len;
	}
	if (m && !s->ours)
		return 1;
	if (m) {
		p = readable_alias((uintptr_t)s->at, page_up(s->bytes));
	} else if (o->old >= 0) {
		s->bytes = window;
		p = sys_mmap(NULL, offset - page + window, PROT_READ,
			     MAP_SHARED, o->old, (off_t)page);
		if (!sys_failed(p))
			p += (long)(offset - page);
	} else {
		s->ours = false;
		s->bytes = PAGE_BYTES - (offset - page);
		return 0;
	}
	s->at = (char *)p;
	return sys_failed(p) ? (int)p : 1;
}

static void source_drop(const struct source *s)
{
	uintptr_t start = page_down((uintptr_t)s->at);

	if (s->ours)
		sys_munmap((void *)start,
			   page_up((uintptr_t)s->at + s->bytes) - start);
}

/* Reading a hole may take the last page there is, and kill where none is. */
static int peek_all(const char *from, char *to, uint64_t len)
{
	while (len) {
		long done = sys_peek(from, to, len);

		if (done == -EFAULT)
			return 0;
		if (sys_failed(done))
			return (int)done;
		from += done;
		to += done;
		len -= (uint64_t)done;
	}
	return 0;
}

/* hugetlbfs takes no write(2). */
static int copy_huge(const struct cow_object *o, const char *from,
		     uint64_t offset, uint64_t len)
{
	long p = sys_mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, o->new,
			  (off_t)offset);
	int result = 0;

	if (sys_failed(p))
		return (int)p;
	for (uint64_t at = 0; !result && at < len; at += o->huge_bytes)
		result = peek_all(from + at, (char *)p + at, o->huge_bytes);
	sys_munmap((void *)p, len);
	return result;
}

/* Nothing can be read at OFFSET: whether O ends there, as far as is known. */
static bool is_beyond(const struct cow_object *o, uint64_t offset)
{
	struct sys_object now;

	return o->old < 0 || sys_failed(sys_object(o->old, &now)) ||
	       now.size <= offset;
}

static int copy_piece(const struct cow_object *o, const char *from,
		      uint64_t offset, uint64_t len)
{
	while (len) {
		uint64_t n = PIECE_BYTES - offset % PIECE_BYTES;
		long done;

		n = n < len ? n : len;
		if (o->huge_bytes)
			return copy_huge(o, from, offset, len);
		done = sys_call(SYS_pwrite64, o->new, (long)from, (long)n,
				(long)offset, 0, 0);
		if (done == -EFAULT && is_beyond(o, offset))
			return 0;
		if (done == -EINTR || done == -EAGAIN)
			continue;
		if (sys_failed(done))
			return (int)done;
		if (!done)
			return -ENOSPC;
		from += done;
		offset += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return 0;
}

static int object_copy(const struct cow_plan *plan, uint32_t object)
{
	const struct cow_object *o = COW_OBJECT(plan, object);
	uint64_t start = 0;
	uint64_t end;
	int result;

	while ((result = cow_extent(plan, object, &start, &end)) > 0) {
		while (start < end) {
			struct source s;

			result = source_find(plan, object, start, end - start,
					     &s);
			if (result < 0)
				return result;
			if (result)
				result = copy_piece(o, s.at, start, s.bytes);
			source_drop(&s);
			if (result < 0)
				return result;
			start += s.bytes;
		}
	}
	return result;
}

int cow_copy(struct cow_plan *plan)
{
	for (uint32_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);
		int result;

		if (!o->wanted || o->lazy)
			continue;
		result = o->view ? cow_view_stage(o) : object_copy(plan, i);
		if (result < 0)
			return result;
	}
	return 0;
}
