/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the map back from the kernel.
 */
#include "base/procmaps.h"
#include "env/guard.h"
#include "support.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"
#include "track/sync.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static void start(void)
{
	shim_start("naming=registry");
}

static void exact(const struct procmap_vma *vma, void *arg)
{
	uintptr_t a = vma->start;
	const struct registry_region *r = region_at_or_above(a);

	(void)arg;
	if (!procmap_anonymous(vma)) {
		cr_assert(!r || r->start >= vma->end, "%#lx %s", a, vma->name);
		return;
	}
	for (; a < vma->end; a = r->end) {
		r = region_at(a);
		cr_assert(r, "%#lx %s", a, vma->name);
	}
}

Test(sync, at_start_up_the_map_is_the_kernels, .init = start)
{
	for (const struct registry_region *r = region_at_or_above(0); r;
	     r = region_at_or_above(r->end))
		cr_assert_neq(r->site, 0);
	guard_enter();
	cr_assert_eq(sync_from_kernel(site_unknown), 0);
	cr_assert_eq(procmaps_read(exact, NULL), 0);
	guard_leave();
}

Test(sync, what_is_gone_goes_and_what_is_new_comes, .init = start)
{
	struct region_tag tag = {.site = site_own};
	uintptr_t p;
	const struct registry_region *r;

	region_set(0x210000000000, 0x210000010000, &tag);
	p = (uintptr_t)mmap((void *)0x210000100000, 4 * PAGE, PROT_READ,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	/* what is known stays what it is */
	region_set(p + PAGE, p + 2 * PAGE, &tag);
	registry_flag_set(REGISTRY_INEXACT);
	cr_assert_eq(sync_from_kernel(site_unknown), 0);
	cr_assert_null(region_at(0x210000000000));
	r = region_at(p);
	cr_assert(r && r->site == site_unknown && r->end == p + PAGE);
	cr_assert(r->flags & REGION_SHARED);
	cr_assert_eq(region_at(p + PAGE)->site, site_own);
	cr_assert_eq(region_at(p + 3 * PAGE)->site, site_unknown);
	cr_assert(!(anonshim_registry->flags & REGISTRY_INEXACT));
}

Test(sync, without_proc_nothing_changes, .init = start)
{
	struct region_tag tag = {.site = site_own};
	uint64_t resyncs = anonshim_registry->counters.resyncs;

	region_set(0x210000000000, 0x210000010000, &tag);
	registry_flag_set(REGISTRY_INEXACT);
	fault_set(SYS_openat, -ENOENT, 0, -1);
	cr_assert_eq(sync_from_kernel(site_unknown), -ENOENT);
	fault_none();
	cr_assert(region_at(0x210000000000));
	cr_assert(anonshim_registry->flags & REGISTRY_INEXACT);
	cr_assert_eq(anonshim_registry->counters.resyncs, resyncs);
}

/* A read that fails half way must not pass for the end of the list. */
Test(sync, half_a_list_changes_nothing_above_it, .init = start)
{
	uintptr_t p = (uintptr_t)mmap(NULL, 4 * PAGE, PROT_READ,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct region_tag tag = {.site = site_own};

	region_set(p, p + 4 * PAGE, &tag);
	fault_set(SYS_read, -EIO, 1, -1);
	cr_assert_eq(sync_from_kernel(site_unknown), -EIO);
	fault_none();
	cr_assert(region_at(p));
}

static const struct registry_region *heap(void)
{
	return region_at(anonshim_registry->brk_start);
}

Test(sync, brk_moved_unseen, .init = start)
{
	char *p = sbrk(10 * PAGE);

	cr_assert_neq(p, (void *)-1);
	sync_brk();
	cr_assert_not_null(heap());
	cr_assert(heap()->flags & REGION_BRK);
	cr_assert_eq(heap()->site, site_brk);
	cr_assert_geq(heap()->end, (uintptr_t)p + 10 * PAGE);
	brk(p);
	sync_brk();
	/* none at all where nothing else is in it */
	if (heap())
		cr_assert_lt(heap()->end, (uintptr_t)p + 2 * PAGE);
}
