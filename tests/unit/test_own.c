/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's own mappings enter the map.
 */
#include "base/mem.h"
#include "env/guard.h"
#include "support.h"
#include "track/own.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"

#include <criterion/criterion.h>
#include <pthread.h>

static void start(void)
{
	shim_start("naming=registry");
	cr_assert(region_lock_take());
	own_flush();
	region_lock_drop();
}

static void flush(void)
{
	cr_assert(region_lock_take());
	own_flush();
	region_lock_drop();
}

Test(own, what_is_mapped_is_recorded_at_the_next_flush, .init = start)
{
	uintptr_t p = (uintptr_t)mem_map(3 * PAGE);
	const struct registry_region *r;

	flush();
	r = region_at(p);
	cr_assert(r && r->start <= p && r->end >= p + 3 * PAGE);
	cr_assert_eq(r->site, site_own);
	cr_assert(r->flags & REGION_OWN);
}

Test(own, the_registry_itself_is_in_it, .init = start)
{
	cr_assert(region_at(anonshim_registry->self));
	cr_assert(region_at(anonshim_registry->self)->flags & REGION_OWN);
}

Test(own, more_than_can_be_noted_is_told, .init = start)
{
	uintptr_t last = 0;

	for (unsigned i = 0; i < 200; i++)
		last = (uintptr_t)mem_map(PAGE);
	cr_assert(anonshim_registry->flags & REGISTRY_INEXACT);
	flush();
	/* and what comes after is noted again */
	last = (uintptr_t)mem_map(PAGE);
	flush();
	cr_assert(region_at(last));
	cr_assert(region_at(last)->flags & REGION_OWN);
}

static uintptr_t mapped[4][400];

static void *map_some(void *arg)
{
	uintptr_t *mine = arg;

	for (unsigned i = 0; i < 400; i++) {
		mine[i] = (uintptr_t)mem_map(PAGE);
		guard_enter();
		if (region_lock_take()) {
			own_flush();
			region_lock_drop();
		}
		guard_leave();
	}
	return NULL;
}

/* A thread that sleeps between two steps may hold up the others' notes. */
static bool told(void)
{
	return anonshim_registry->flags & REGISTRY_INEXACT;
}

Test(own, from_several_threads, .init = start)
{
	pthread_t threads[4];

	for (unsigned i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, map_some, mapped[i]);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	flush();
	for (unsigned i = 0; i < 4; i++)
		for (unsigned n = 0; n < 400; n++)
			cr_assert(region_at(mapped[i][n]) || told());
}
