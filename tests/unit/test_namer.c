/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The namer, where the kernel says no in every way it can.  The kernel's side
 * is played by the fault: this machine may take no names at all.
 */
#include "base/sys.h"
#include "env/caps.h"
#include "support.h"
#include "track/namer.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define BASE ((uintptr_t)0x10000000)

static struct registry_counters *counters;

/* Start with a kernel that answers prctl with RESULT. */
static void start(const char *options, long result)
{
	fault_set(SYS_prctl, result, 0, -1);
	shim_start(options);
	counters = &anonshim_registry->counters;
}

static bool active(void)
{
	return anonshim_registry->flags & REGISTRY_NAMES_KERNEL;
}

static void apply(void)
{
	namer_apply(BASE, BASE + PAGE, site_unknown, 0);
}

Test(namer, the_probe_believes_the_kernel)
{
	fault_set(SYS_prctl, 0, 0, -1);
	cr_assert(namer_probe());
	fault_set(SYS_prctl, -EINVAL, 0, -1);
	cr_assert(!namer_probe());
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert(!namer_probe());
	fault_none();
}

Test(namer, active_where_the_kernel_takes_names)
{
	start("", 0);
	cr_assert(active());
}

Test(namer, silent_where_it_does_not)
{
	unsigned calls;

	start("", -EINVAL);
	cr_assert(!active());
	calls = fault_count();
	apply();
	namer_remove(BASE, BASE + PAGE);
	cr_assert_eq(fault_count(), calls, "not asked again and again");
	cr_assert_eq(counters->name_failures, 0);
}

Test(namer, naming_registry_asks_nothing_of_the_kernel)
{
	unsigned calls;

	start("naming=registry", 0);
	cr_assert(!active());
	calls = fault_count();
	apply();
	cr_assert_eq(fault_count(), calls);
}

static void refused_with(int err)
{
	uint64_t named;

	start("assume=names=1", 0);
	named = counters->named;
	fault_set(SYS_prctl, -err, 0, -1);
	apply();
	cr_assert_eq(counters->named, named);
	cr_assert_eq(counters->name_failures, 1);
	fault_set(SYS_prctl, 0, 0, -1);
	apply();
	cr_assert_eq(counters->named, named + 1, "and it goes on naming");
}

Test(namer, eagain_costs_the_name_and_nothing_else)
{
	refused_with(EAGAIN);
}

Test(namer, einval_costs_the_name_and_nothing_else)
{
	refused_with(EINVAL);
}

Test(namer, enomem_costs_the_name_and_nothing_else)
{
	refused_with(ENOMEM);
}

Test(namer, past_max_vmas_owners_names_then_none)
{
	uint64_t named;

	start("assume=names=1,max-vmas=50%", 0);
	caps.max_map_count = 10000;
	namer_init();
	named = counters->named;
	counters->regions = 4000;
	apply();
	cr_assert_eq(counters->owner_names, 0);
	counters->regions = 5100;
	apply();
	cr_assert_eq(counters->owner_names, 1);
	cr_assert_eq(counters->named, named + 2);
	counters->regions = 7600; /* half way from 5000 to 10000 */
	apply();
	cr_assert_eq(counters->unnamed, 1);
	cr_assert_eq(counters->named, named + 2);
}

Test(namer, retreat_only_where_names_may_be_the_reason)
{
	start("assume=names=1", 0);
	cr_assert(!namer_retreat(), "with few regions");
	cr_assert(active());
	counters->regions = 5000;
	cr_assert(namer_retreat());
	cr_assert(!active());
	cr_assert(!namer_retreat(), "once");
}

Test(namer, retreat_takes_back_ours_and_leaves_the_programs)
{
	struct region_tag tag = {.site = site_unknown};
	unsigned ours = 0;

	start("assume=names=1", 0);
	tag.site = site_unknown;
	for (uintptr_t i = 0; i < 8; i += 2)
		region_set(BASE + i * PAGE, BASE + (i + 1) * PAGE, &tag);
	tag.own_name = registry_string("mine", 4);
	region_set(BASE + 100 * PAGE, BASE + 101 * PAGE, &tag);
	for (const struct registry_region *r = region_at_or_above(0); r;
	     r = region_at_or_above(r->end))
		ours += !r->own_name && !(r->flags & REGION_BRK);
	counters->regions = 5000;
	fault_set(SYS_prctl, 0, 0, -1);
	cr_assert(namer_retreat());
	cr_assert_eq(fault_count(), ours);
}

Test(namer, a_site_of_none_is_not_named)
{
	start("assume=names=1", 0);
	fault_set(SYS_prctl, 0, 0, -1);
	namer_apply(BASE, BASE + PAGE, 0, 0);
	cr_assert_eq(fault_count(), 0);
}

Test(namer, children_name_again_only_what_names_the_process)
{
	start("assume=names=1", 0);
	fault_set(SYS_prctl, 0, 0, -1);
	namer_after_fork();
	cr_assert_eq(fault_count(), 0);
}

Test(namer, children_name_again_with_a_pid_in_the_template)
{
	start("assume=names=1,name=%o %p", 0);
	fault_set(SYS_prctl, 0, 0, -1);
	namer_after_fork();
	cr_assert_gt(fault_count(), 0);
}
