/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the region map back from the kernel; see sync.h.
 */
#include "track/sync.h"

#include "base/mem.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"

#include <string.h>

static uintptr_t brk_end; /* 0: no heap seen yet */

struct sync {
	uintptr_t done; /* everything from the start to here agrees */
	uintptr_t end;
	struct region_tag tag; /* of what is new; site 0: leave it alone */
};

/* Give pages of [START, END) that no region holds to TAG. */
static void fill_gaps(uintptr_t start, uintptr_t end,
		      const struct region_tag *tag)
{
	while (start < end) {
		const struct registry_region *r = region_at_or_above(start);
		uintptr_t stop = r && r->start < end ? r->start : end;
		uintptr_t next = r && r->start < end ? r->end : end;

		region_set(start, stop, tag);
		start = next;
	}
}

static void sync_heap(const struct procmap_vma *vma)
{
	sync_heap_start(vma->start); /* the first counts */
	sync_brk();
}

static void sync_vma(const struct procmap_vma *vma, void *arg)
{
	struct sync *s = arg;
	struct region_tag tag = s->tag;
	uintptr_t start = vma->start > s->done ? vma->start : s->done;
	uintptr_t end = vma->end < s->end ? vma->end : s->end;

	if (start >= end || !procmap_anonymous(vma))
		return;
	region_clear(s->done, start);
	s->done = end;
	if (vma->shared)
		tag.flags |= REGION_SHARED;
	if (!strcmp(vma->name, "[heap]"))
		sync_heap(vma);
	if (tag.site)
		fill_gaps(start, end, &tag);
}

int sync_range(uintptr_t start, uintptr_t end, const struct region_tag *fresh)
{
	struct sync s = {.done = start, .end = end, .tag = *fresh};
	int result = procmaps_read(sync_vma, &s);

	if (result >= 0)
		region_clear(s.done, end);
	return result < 0 ? result : 0;
}

int sync_from_kernel(uint32_t site)
{
	struct region_tag tag = {.site = site, .flags = REGION_EARLY};
	int result = sync_range(0, UINTPTR_MAX, &tag);

	if (result)
		return result;
	registry_flag_clear(REGISTRY_INEXACT);
	anonshim_registry->counters.resyncs++;
	return 0;
}

static void stop_at_file(const struct procmap_vma *vma, void *arg)
{
	struct sync *s = arg;

	if (vma->end > s->done && vma->start < s->end &&
	    !procmap_anonymous(vma))
		s->end = vma->start > s->done ? vma->start : s->done;
}

uintptr_t sync_anonymous_end(uintptr_t start, uintptr_t end)
{
	struct sync s = {.done = start, .end = end};

	procmaps_read(stop_at_file, &s);
	return s.end;
}

/*
 * Only what the end moved over changes: the program may have mapped or
 * unmapped within the heap.
 */
void sync_brk(void)
{
	uintptr_t end = page_up((uintptr_t)sys_brk(NULL));
	struct region_tag tag = {.site = site_brk, .flags = REGION_BRK};

	if (!brk_end)
		return;
	if (end > brk_end)
		region_set(brk_end, end, &tag);
	else if (end < brk_end)
		region_clear(end, brk_end);
	brk_end = end;
}

void sync_heap_start(uintptr_t start)
{
	if (brk_end)
		return; /* known already */
	anonshim_registry->brk_start = start;
	brk_end = start;
	sync_brk();
}
