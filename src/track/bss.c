/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The anonymous parts of modules; see bss.h.
 */
#include "track/bss.h"

#include "base/lock.h"
#include "env/config.h"
#include "env/guard.h"
#include "track/namer.h"
#include "track/own.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"

void bss_record(const struct module *m)
{
	struct region_tag tag = {0};

	if (m->bss_start >= m->bss_end || !CONFIG_NUMBER(bss))
		return;
	tag.site = site_of_owner(KIND_BSS, module_owner(m), "");
	if (!region_lock_take()) {
		registry_flag_set(REGISTRY_INEXACT);
		return;
	}
	region_set(m->bss_start, m->bss_end, &tag);
	namer_apply(m->bss_start, m->bss_end, tag.site, 0);
	own_flush();
	region_lock_drop();
}

/* Only its bss goes: others may have mapped memory in its place. */
void bss_forget(const struct module *m)
{
	uintptr_t at = m->bss_start;
	const struct registry_region *r;

	if (!region_lock_take()) {
		registry_flag_set(REGISTRY_INEXACT);
		return;
	}
	while (at < m->bss_end && (r = region_at_or_above(at)) &&
	       r->start < m->bss_end) {
		uintptr_t start = r->start > at ? r->start : at;
		uintptr_t end = r->end < m->bss_end ? r->end : m->bss_end;

		if (r->site && registry_site_at(r->site)->kind == KIND_BSS)
			region_clear(start, end);
		at = end;
	}
	region_lock_drop();
}

void bss_notice(uintptr_t caller)
{
	uint32_t before = modules_generation;

	guard_enter();
	if (lock_take(&registry_lock)) {
		module_at(caller);
		if (modules_generation != before)
			modules_sweep();
		lock_drop(&registry_lock);
	}
	guard_leave();
}
