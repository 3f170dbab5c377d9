/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where an object has data; see plan.h.
 *
 * A descriptor tells with SEEK_DATA.  Shared anonymous memory has none, nor a
 * memfd that was closed: there mincore() tells which pages are in memory, and
 * if some of them are in swap instead, or in a file, all that is mapped counts
 * as data, lest any be lost.  For hugetlbfs neither does: a descriptor knows no
 * holes, and mincore() looks at one mapping's page table only.
 */
#include "cow/plan.h"

#include "base/mem.h"
#include "base/sys.h"
#include "env/caps.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGES_FIRST 64 /* asked for at a time */
#define PAGES_MOST 2048

static int seek_by(int fd, uint64_t *start, uint64_t *end)
{
	long data = sys_call(SYS_lseek, fd, (long)*start, SEEK_DATA, 0, 0, 0);
	long hole;

	if (sys_failed(data))
		return data == -ENXIO ? 0 : (int)data;
	hole = sys_call(SYS_lseek, fd, data, SEEK_HOLE, 0, 0, 0);
	if (sys_failed(hole))
		return (int)hole;
	*start = (uint64_t)data;
	*end = (uint64_t)hole;
	return 1;
}

static int seek(const struct cow_object *o, uint64_t *start, uint64_t *end)
{
	long at = o->old_seeks
			  ? sys_call(SYS_lseek, o->old, 0, SEEK_CUR, 0, 0, 0)
			  : -1;
	int result = seek_by(o->old, start, end);

	if (at >= 0)
		sys_call(SYS_lseek, o->old, at, SEEK_SET, 0, 0, 0);
	return result;
}

/* Whether mincore() does not know all, whatever swap there is. */
static bool on_disk(const struct cow_object *o)
{
	static const char *const memory[] = {"/memfd:", "/dev/zero",
					     "/dev/shm/", "/SYSV"};

	if (o->flags & OBJECT_HUGE)
		return true;
	for (size_t i = 0; i < sizeof(memory) / sizeof(*memory); i++)
		if (!strncmp(o->name, memory[i], strlen(memory[i])))
			return false;
	return *o->name; /* only shmem is labelled, and has none then */
}

/* The mapping of OBJECT that shows OFFSET, else the next behind it. */
static const struct cow_map *map_from(const struct cow_plan *plan,
				      uint32_t object, uint64_t offset)
{
	const struct cow_map *next = NULL;

	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);

		if (m->object != object ||
		    m->offset + (m->end - m->start) <= offset)
			continue;
		if (m->offset <= offset)
			return m;
		if (!next || m->offset < next->offset)
			next = m;
	}
	return next;
}

/* Pages of M that are in memory, from *START on; what lies behind: 0. */
static int resident(const struct cow_map *m, uint64_t *start, uint64_t *end)
{
	uint64_t stop = m->offset + (m->end - m->start);
	uint64_t at = *start;
	unsigned char in[PAGES_MOST];
	uint64_t pages = PAGES_FIRST; /* few, lest each extent look far ahead */
	bool found = false;

	while (at < stop) {
		uint64_t n = (stop - at) / PAGE_BYTES;
		uintptr_t addr = m->start + (at - m->offset);
		long result;

		n = n < pages ? n : pages;
		pages = pages * 2 < PAGES_MOST ? pages * 2 : PAGES_MOST;
		result = sys_call(SYS_mincore, (long)addr,
				  (long)(n * PAGE_BYTES), (long)in, 0, 0, 0);
		if (sys_failed(result))
			return (int)result;
		for (uint64_t i = 0; i < n; i++, at += PAGE_BYTES) {
			if (in[i] & 1 && !found) {
				found = true;
				*start = at;
			} else if (!(in[i] & 1) && found) {
				*end = at;
				return 1;
			}
		}
	}
	*end = stop;
	return found;
}

/* Of shmem; asked after it, or a page might go to swap in between. */
static bool mincore_told_all(void)
{
	return caps.mincore && !sys_swap_is_used();
}

/* The same, where O may also have memory that mincore() cannot tell of. */
static int present(const struct cow_object *o, const struct cow_map *m,
		   uint64_t *start, uint64_t *end)
{
	uint64_t from = *start;
	int result = on_disk(o) ? 1 : resident(m, start, end);

	if (result < 0 || (!on_disk(o) && mincore_told_all()))
		return result;
	*start = from;
	*end = m->offset + (m->end - m->start);
	return 1;
}

static int look(const struct cow_plan *plan, uint32_t object, uint64_t *start,
		uint64_t *end)
{
	for (;;) {
		const struct cow_map *m = map_from(plan, object, *start);
		uint64_t stop;
		int result;

		if (!m)
			return 0;
		stop = m->offset + (m->end - m->start);
		if (*start < m->offset)
			*start = m->offset;
		result = present(COW_OBJECT(plan, object), m, start, end);
		if (result)
			return result;
		*start = stop;
	}
}

/* Whether one of the mappings has been used to get at OFFSET. */
static bool huge_is_seen(const struct cow_plan *plan, uint32_t object,
			 uint64_t offset)
{
	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);
		unsigned char in = 0;

		if (m->object != object || m->offset > offset ||
		    m->offset + (m->end - m->start) <= offset)
			continue;
		sys_call(SYS_mincore, (long)(m->start + (offset - m->offset)),
			 (long)PAGE_BYTES, (long)&in, 0, 0, 0);
		if (in & 1)
			return true;
	}
	return false;
}

/* One page at a time. */
static int huge(const struct cow_plan *plan, uint32_t object, uint64_t *start,
		uint64_t *end)
{
	const struct cow_object *o = COW_OBJECT(plan, object);

	for (; *start < o->size; *start += o->huge_bytes)
		if (huge_is_seen(plan, object, *start)) {
			*end = *start + o->huge_bytes;
			return 1;
		}
	return 0;
}

int cow_extent(const struct cow_plan *plan, uint32_t object, uint64_t *start,
	       uint64_t *end)
{
	const struct cow_object *o = COW_OBJECT(plan, object);
	int result;

	if (*start >= o->size)
		return 0;
	if (o->is_full) { /* a search would look at every page */
		*end = o->size;
		return 1;
	}
	result = o->huge_bytes ? huge(plan, object, start, end)
		 : o->old >= 0 ? seek(o, start, end)
			       : look(plan, object, start, end);
	if (result <= 0)
		return result;
	if (*end > o->size)
		*end = o->size;
	return *start < *end;
}

/* THERE is true of all N pages at OFFSET; not so for holes that FD knows. */
static void mark_holes(int fd, uint64_t offset, uint64_t n,
		       unsigned char there[])
{
	uint64_t at = offset;
	uint64_t last = offset + n * PAGE_BYTES;

	while (at < last) {
		uint64_t data = at;
		uint64_t hole = last;
		int result = seek_by(fd, &data, &hole);

		if (result < 0)
			return;
		if (!result || data > last)
			data = last;
		memset(there + (at - offset) / PAGE_BYTES, 0,
		       (page_down(data) - at) / PAGE_BYTES);
		at = data < last ? page_up(hole) : last;
	}
}

void cow_there(const char *at, int fd, uint64_t offset, uint64_t n,
	       unsigned char there[])
{
	long result = sys_call(SYS_mincore, (long)at, (long)(n * PAGE_BYTES),
			       (long)there, 0, 0, 0);

	if (!sys_failed(result) && mincore_told_all())
		return;
	memset(there, 1, n);
	if (fd >= 0)
		mark_holes(fd, offset, n, there);
}
