/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's own mappings; see own.h.
 */
#include "track/own.h"

#include "track/namer.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"

#include <string.h>

#define NOTED_MAX 64

uint32_t own_pending;

/* Slots are claimed by `claimed` and valid once `end` is set. */
static struct {
	uint32_t claimed;
	uint32_t flushed;
	struct {
		uintptr_t start;
		uintptr_t end;
	} range[NOTED_MAX];
} noted;

void own_note(uintptr_t start, uintptr_t end)
{
	uint32_t i = __atomic_load_n(&noted.claimed, __ATOMIC_RELAXED);

	do {
		if (i - __atomic_load_n(&noted.flushed, __ATOMIC_RELAXED) >=
		    NOTED_MAX) {
			if (anonshim_registry)
				registry_flag_set(REGISTRY_INEXACT);
			return;
		}
	} while (!__atomic_compare_exchange_n(&noted.claimed, &i, i + 1, true,
					      __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	noted.range[i % NOTED_MAX].start = start;
	__atomic_store_n(&noted.range[i % NOTED_MAX].end, end,
			 __ATOMIC_RELEASE);
	__atomic_fetch_add(&own_pending, 1, __ATOMIC_RELAXED);
}

void own_flush_noted(void)
{
	struct region_tag tag = {.site = site_own, .flags = REGION_OWN};

	while (noted.flushed !=
	       __atomic_load_n(&noted.claimed, __ATOMIC_RELAXED)) {
		uintptr_t start;
		uint32_t i = noted.flushed % NOTED_MAX;
		uintptr_t end =
			__atomic_load_n(&noted.range[i].end, __ATOMIC_ACQUIRE);

		if (!end)
			return; /* its owner is about to fill it in */
		start = noted.range[i].start;
		noted.range[i].end = 0;
		__atomic_fetch_add(&noted.flushed, 1, __ATOMIC_RELAXED);
		__atomic_fetch_sub(&own_pending, 1, __ATOMIC_RELAXED);
		region_set(start, end, &tag);
		namer_apply(start, end, site_own, 0);
	}
}

void own_snapshots(uintptr_t start, uintptr_t end)
{
	const struct region_tag tag = {.site = site_snapshots,
				       .flags = REGION_OWN};

	region_set(start, end, &tag);
	namer_apply(start, end, site_snapshots, 0);
}

void own_reset(void)
{
	own_pending = 0;
	memset(&noted, 0, sizeof(noted));
}
