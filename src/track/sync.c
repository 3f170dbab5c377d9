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

struct sync {
	uintptr_t done; /* everything below agrees */
	uint32_t site;
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

static void sync_vma(const struct procmap_vma *vma, void *arg)
{
	struct sync *s = arg;
	struct region_tag tag = {.site = s->site, .flags = REGION_EARLY};

	if (!procmap_anonymous(vma))
		return;
	region_clear(s->done, vma->start);
	s->done = vma->end;
	if (vma->shared)
		tag.flags |= REGION_SHARED;
	if (!strcmp(vma->name, "[heap]")) {
		anonshim_registry->brk_start = vma->start;
		sync_brk();
	}
	fill_gaps(vma->start, vma->end, &tag);
}

int sync_from_kernel(uint32_t site)
{
	struct sync s = {.site = site};
	int result = procmaps_read(sync_vma, &s);

	if (result < 0)
		return result;
	region_clear(s.done, UINTPTR_MAX);
	registry_flag_clear(REGISTRY_INEXACT);
	anonshim_registry->counters.resyncs++;
	return 0;
}

void sync_brk(void)
{
	struct registry_head *head = anonshim_registry;
	uintptr_t start = head->brk_start;
	uintptr_t end = page_up((uintptr_t)sys_brk(NULL));
	const struct registry_region *r = start ? region_at(start) : NULL;
	struct region_tag tag = {.flags = REGION_BRK};

	if (!start || (r && r->flags & REGION_BRK && r->end == end))
		return;
	tag.site = site_brk;
	if (r && r->flags & REGION_BRK && r->end > end)
		region_clear(end, r->end);
	if (end > start)
		region_set(start, end, &tag);
}
