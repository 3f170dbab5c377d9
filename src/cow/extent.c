/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where an object has data; see plan.h.
 *
 * A descriptor tells with SEEK_DATA.  Shared anonymous memory has none, nor a
 * memfd that was closed: there mincore() tells which pages are in memory, and
 * if some of them are in swap instead, all that is mapped counts as data, lest
 * any be lost.
 */
#include "cow/plan.h"

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define PAGES 2048 /* asked for at a time */

static int seek(int fd, uint64_t *start, uint64_t *end)
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

static bool swap_is_used(void)
{
	struct sysinfo info;

	return sys_failed(sys_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0)) ||
	       info.freeswap != info.totalswap;
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
	unsigned char in[PAGES];
	bool found = false;

	while (at < stop) {
		uint64_t n = (stop - at) / PAGE_BYTES;
		uintptr_t addr = m->start + (at - m->offset);
		long result;

		n = n < PAGES ? n : PAGES;
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

static int look(const struct cow_plan *plan, uint32_t object, uint64_t *start,
		uint64_t *end)
{
	bool swapped = swap_is_used();

	for (;;) {
		const struct cow_map *m = map_from(plan, object, *start);
		uint64_t stop;
		int result;

		if (!m)
			return 0;
		stop = m->offset + (m->end - m->start);
		if (*start < m->offset)
			*start = m->offset;
		*end = stop;
		result = swapped ? 1 : resident(m, start, end);
		if (result)
			return result;
		*start = stop;
	}
}

int cow_extent(const struct cow_plan *plan, uint32_t object, uint64_t *start,
	       uint64_t *end)
{
	const struct cow_object *o = COW_OBJECT(plan, object);
	uint64_t from = *start;
	int result;

	if (from >= o->size)
		return 0;
	if (o->is_full) { /* a search would look at every page */
		*end = o->size;
		return 1;
	}
	result = o->old >= 0 ? seek(o->old, start, end)
			     : look(plan, object, start, end);
	if (result <= 0)
		return result;
	if (o->huge_bytes) {
		*start = *start / o->huge_bytes * o->huge_bytes;
		if (*start < from)
			*start = from;
		*end = (*end + o->huge_bytes - 1) / o->huge_bytes *
		       o->huge_bytes;
	}
	if (*end > o->size)
		*end = o->size;
	return *start < *end;
}
