/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving names to the kernel; see namer.h.
 */
#include "track/namer.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "env/caps.h"
#include "env/config.h"
#include "track/name.h"
#include "track/region.h"
#include "track/registry.h"

#include <errno.h>
#include <linux/prctl.h>
#include <sys/mman.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* VMAs a process has that are no region of ours: files, guards, stacks. */
#define VMAS_PER_MODULE 5
/* Fewer names than this never were why a call failed. */
#define RETREAT_MIN 1000

static struct {
	bool active;
	bool per_thread;     /* the template has %t or %p */
	uint64_t owner_past; /* VMAs */
	uint64_t none_past;
} namer;

static long vma_name(uintptr_t start, uintptr_t end, const char *name)
{
	return sys_prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, start, end - start,
			 (unsigned long)name);
}

bool namer_probe(void)
{
	long page = sys_mmap(NULL, PAGE_BYTES, PROT_NONE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long result;

	if (sys_failed(page))
		return false;
	result = vma_name((uintptr_t)page, (uintptr_t)page + PAGE_BYTES,
			  "anonshim: probe");
	sys_munmap((void *)page, PAGE_BYTES);
	return result == 0;
}

void namer_init(void)
{
	uint64_t limit = caps.max_map_count;
	uint64_t naming = CONFIG_NUMBER(naming);

	namer.active = caps.names &&
		       (naming == NAMING_AUTO || naming == NAMING_KERNEL);
	namer.per_thread = name_is_per_thread(CONFIG_TEXT(name));
	namer.owner_past = limit * CONFIG_NUMBER(max_vmas) / 100;
	namer.none_past = (namer.owner_past + limit) / 2;
	if (namer.active)
		registry_flag_set(REGISTRY_NAMES_KERNEL);
	else if (naming == NAMING_KERNEL)
		log_text("naming=kernel: this kernel takes no names; the "
			 "registry keeps them, or boot one with "
			 "CONFIG_ANON_VMA_NAME=y");
}

static uint64_t vmas(void)
{
	const struct registry_head *head = anonshim_registry;

	return head->counters.regions +
	       head->table[REGISTRY_MODULES].count * VMAS_PER_MODULE;
}

/* The name for SITE now, in BUF where it is not the site's own. */
static const char *name_choose(const struct registry_site *site, uint32_t tid,
			       char buf[NAME_BYTES])
{
	struct name_parts parts = {
		.owner = registry_text(site->owner),
		.kind = name_kind(site->kind),
		.site = registry_text(site->symbol),
		.tid = tid,
		.pid = anonshim_registry->pid,
	};
	static bool said;

	if (vmas() > namer.owner_past && site->kind != KIND_NONE) {
		REGISTRY_COUNT(owner_names, 1);
		log_once(&said, "names: the process nears vm.max_map_count; "
				"names give the owner only from here; raise "
				"the sysctl or max-vmas=");
		parts.site = "";
		parts.tid = 0;
	} else if (!namer.per_thread || site->kind == KIND_NONE) {
		return registry_text(site->name);
	}
	name_compose(CONFIG_TEXT(name), &parts, buf);
	return buf;
}

void namer_apply(uintptr_t start, uintptr_t end, uint32_t site, uint32_t tid)
{
	char buf[NAME_BYTES];
	long result;

	if (!namer.active || !caps.names || !site)
		return;
	if (vmas() > namer.none_past) {
		REGISTRY_COUNT(unnamed, 1);
		return;
	}
	result = vma_name(start, end,
			  name_choose(registry_site_at(site), tid, buf));
	if (result)
		REGISTRY_COUNT(name_failures, 1);
	else
		REGISTRY_COUNT(named, 1);
}

void namer_remove(uintptr_t start, uintptr_t end)
{
	if (namer.active && caps.names)
		vma_name(start, end, NULL);
}

bool namer_label(uintptr_t start, uintptr_t end, const char *text)
{
	return !vma_name(start, end, text);
}

/* Call EACH for every region that has a name of ours. */
static void for_each_named(void (*each)(const struct registry_region *r))
{
	struct registry_region *r;

	for (uintptr_t at = 0; (r = region_at_or_above(at)); at = r->end)
		if (!r->own_name && !(r->flags & REGION_BRK))
			each(r);
}

static void unname(const struct registry_region *r)
{
	vma_name(r->start, r->end, NULL);
}

bool namer_retreat(void)
{
	static bool said;

	if (!namer.active || vmas() < RETREAT_MIN)
		return false;
	for_each_named(unname);
	namer.active = false;
	registry_flag_clear(REGISTRY_NAMES_KERNEL);
	log_once(&said, "names: the program ran out of VMAs; all names were "
			"taken back from the kernel, the registry keeps them; "
			"raise vm.max_map_count or lower max-vmas=");
	return true;
}

static void name_again(const struct registry_region *r)
{
	namer_apply(r->start, r->end, r->site, r->tid);
}

void namer_after_fork(void)
{
	if (namer.active && namer.per_thread)
		for_each_named(name_again);
}
