/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the old object into the new one; see lazy.h.
 */
#include "cow/lazy.h"

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define PIECE_BYTES UINT64_C(262144) /* put in passing */
#define PIECE_PAGES (PIECE_BYTES / PAGE_BYTES)

/* Where O's page that shows OFFSET is known to be in F1. */
static bool is_done(const struct cow_object *o, uint64_t offset)
{
	uint64_t block = offset / COW_BLOCK_BYTES;

	return o->done[block / 8] >> block % 8 & 1;
}

static void set_done(struct cow_object *o, uint64_t offset)
{
	uint64_t block = offset / COW_BLOCK_BYTES;

	o->done[block / 8] |= (uint8_t)(1 << block % 8);
}

/*
 * Put LEN bytes at OFFSET into F1 where that has none: zeros, or what F0 has.
 * False: there is no memory.
 */
static bool put(int uffd, const struct cow_object *o, uint64_t offset,
		uint64_t len, bool zeros)
{
	while (len) {
		uintptr_t to = (uintptr_t)o->f1 + offset;
		long done = zeros ? uffd_zero(uffd, to, len)
				  : uffd_copy(uffd, to,
					      (uintptr_t)o->f0 + offset, len);

		if (done == -EFAULT && !zeros) /* F0 was cut there */
			done = uffd_zero(uffd, to, PAGE_BYTES);
		if (done == -EEXIST)
			done = PAGE_BYTES;
		if (done == -EAGAIN)
			continue;
		if (sys_failed(done))
			return done == -ENOENT || done == -ESRCH;
		offset += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return true;
}

/* The same of the pages that F0 has, and of those that it has not if HOLES. */
static bool put_what_is(int uffd, const struct cow_object *o, uint64_t offset,
			uint64_t len, bool holes)
{
	unsigned char there[PIECE_PAGES];
	uint64_t n = page_up(len) / PAGE_BYTES;
	uint64_t to;

	cow_there(o->f0 + offset, o->old_seeks ? -1 : o->old, offset, n, there);
	for (uint64_t from = 0; from < n; from = to) {
		bool hole = !(there[from] & 1);

		for (to = from + 1; to < n && !(there[to] & 1) == hole; to++) {
		}
		if ((!hole || holes) &&
		    !put(uffd, o, offset + from * PAGE_BYTES,
			 (to - from) * PAGE_BYTES, hole))
			return false;
	}
	return true;
}

bool lazy_put_pages(int uffd, const struct cow_object *o, uint64_t from,
		    uint64_t to)
{
	uint64_t end = page_up(o->size);
	uint64_t len;

	to = to < end ? to : end;
	for (; from < to; from += len) {
		len = to - from < PIECE_BYTES ? to - from : PIECE_BYTES;
		if (!put_what_is(uffd, o, from, len, true))
			return false;
	}
	return true;
}

bool lazy_put_page(int uffd, const struct cow_object *o, uint64_t offset)
{
	return put(uffd, o, offset - offset % PAGE_BYTES, PAGE_BYTES, true);
}

bool lazy_put_block(int uffd, struct cow_object *o, uint64_t offset)
{
	uint64_t start = offset / COW_BLOCK_BYTES * COW_BLOCK_BYTES;
	uint64_t end = page_up(o->size);

	if (is_done(o, offset))
		return true;
	if (end > start + COW_BLOCK_BYTES)
		end = start + COW_BLOCK_BYTES;
	if (start >= end || !put_what_is(uffd, o, start, end - start, false))
		return start >= end;
	set_done(o, offset);
	return true;
}

/*
 * The next data of F0, of which nobody asked for any yet, from *AT on: some of
 * it is put.  False: there is none any more.
 */
static bool put_next(int uffd, const struct cow_plan *plan, uint32_t object,
		     uint64_t *at, bool *failed)
{
	const struct cow_object *o = COW_OBJECT(plan, object);
	uint64_t start = *at;
	uint64_t end;

	if (o->old >= 0 ? cow_extent(plan, object, &start, &end) <= 0
			: start >= o->size)
		return false;
	if (o->old < 0)
		end = o->size;
	start = page_down(start);
	if (end > start / PIECE_BYTES * PIECE_BYTES + PIECE_BYTES)
		end = start / PIECE_BYTES * PIECE_BYTES + PIECE_BYTES;
	end = page_up(end);
	/* a hole stays one, but for what the parent puts there */
	*failed |= !(o->old >= 0
			     ? put(uffd, o, start, end - start, false)
			     : put_what_is(uffd, o, start, end - start, false));
	*at = end;
	return true;
}

bool lazy_put_begin(const struct cow_plan *plan)
{
	__atomic_store_n(&plan->talk->putting, 1, __ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&plan->talk->closed, __ATOMIC_SEQ_CST))
		return true;
	lazy_put_end(plan);
	return false;
}

void lazy_put_end(const struct cow_plan *plan)
{
	__atomic_store_n(&plan->talk->putting, 0, __ATOMIC_RELEASE);
}

void lazy_put_all(int uffd, const struct cow_plan *plan, bool in_child,
		  void (*between)(void))
{
	for (uint32_t i = 0; i < plan->objects.n; i++) {
		uint64_t at = 0;
		bool failed = false;

		if (!COW_OBJECT(plan, i)->lazy)
			continue;
		for (;;) {
			uint64_t from = at;
			bool more;

			between();
			if (in_child ? lazy_is_given(plan)
				     : !lazy_put_begin(plan))
				return;
			more = put_next(uffd, plan, i, &at, &failed);
			if (!in_child)
				lazy_put_end(plan);
			if (!more)
				break;
			if (!failed)
				continue;
			at = from; /* no memory: again, until there is */
			failed = false;
			sys_yield();
		}
	}
}

void lazy_put_zeros(int uffd, const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		const struct cow_object *o = COW_OBJECT(plan, i);

		if (!o->lazy || !lazy_put_begin(plan))
			continue;
		put(uffd, o, 0, page_up(o->size), true);
		lazy_put_end(plan);
	}
}
