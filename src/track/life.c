/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How tracking begins, and how it goes on in a child; see life.h.
 */
#include "track/life.h"

#include "base/mem.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "env/guard.h"
#include "track/bss.h"
#include "track/module.h"
#include "track/namer.h"
#include "track/own.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/share.h"
#include "track/site.h"
#include "track/sync.h"

#define EARLY_MAX 64
#define MAIN_STACK_BYTES ((uintptr_t)8 << 20)

static struct {
	uint32_t count;
	struct {
		uintptr_t start;
		uintptr_t end;
		uintptr_t caller;
		uint32_t site;
	} call[EARLY_MAX];
} early;

void life_early(uintptr_t start, size_t len, uintptr_t caller)
{
	uint32_t i = __atomic_fetch_add(&early.count, 1, __ATOMIC_RELAXED);

	if (i >= EARLY_MAX)
		return;
	early.call[i].start = start;
	early.call[i].end = page_up(start + len);
	early.call[i].caller = caller;
}

/* What interposers mapped before start-up is theirs, not the loader's. */
static void early_record(void)
{
	for (uint32_t i = 0; i < early.count; i++) {
		struct region_tag tag = {.site = early.call[i].site,
					 .flags = REGION_EARLY};
		const struct registry_region *r =
			region_at(early.call[i].start);

		if (r && r->end >= early.call[i].end)
			region_set(early.call[i].start, early.call[i].end,
				   &tag);
	}
}

static void name_region(const struct registry_region *r)
{
	if (!(r->flags & (REGION_BRK | REGION_OWN)))
		namer_apply(r->start, r->end, r->site, r->tid);
}

/* The main thread's own stack, whose end alone is fixed. */
static void main_stack_find(void)
{
	struct procmap_vma vma;

	if (procmaps_find((uintptr_t)&vma, &vma))
		return;
	guard.stack_low = vma.end > MAIN_STACK_BYTES
				  ? vma.end - MAIN_STACK_BYTES
				  : vma.start;
	guard.stack_high = vma.end;
}

/* Record and name what was mapped before the shim.  Locks are held. */
static void adopt(uint32_t site)
{
	struct registry_region *r;

	sync_from_kernel(site);
	share_inherit();
	sync_heap_start(page_up((uintptr_t)sys_brk(NULL)));
	anonshim_registry->counters.resyncs = 0;
	early_record();
	for (uintptr_t at = 0; (r = region_at_or_above(at)); at = r->end)
		if (r->flags & REGION_EARLY)
			name_region(r);
	own_flush();
}

/* Sites of what other interposers mapped before the shim. */
static void early_sites(void)
{
	if (early.count > EARLY_MAX)
		early.count = EARLY_MAX;
	for (uint32_t i = 0; i < early.count; i++)
		early.call[i].site =
			site_of_stack(KIND_MMAP, &early.call[i].caller, 1);
}

static void (*on_raw_fork)(void);

void life_on_raw_fork(void (*child)(void))
{
	on_raw_fork = child;
}

static void raw_forked(void)
{
	life_fork_child(false);
	if (on_raw_fork)
		on_raw_fork();
}

static void modules_adopt(void)
{
	uint32_t site;

	guard_enter();
	lock_take(&registry_lock);
	modules_start(bss_record, bss_forget);
	site = site_of_owner(KIND_MMAP, "ld.so", "start-up");
	lock_drop(&registry_lock);
	guard_leave();
	early_sites();
	if (region_enter()) {
		adopt(site);
		region_leave();
	}
}

int life_start(const char *version, const char *options)
{
	int result;

	mem_set_observer(own_note);
	result = guard_watch_forks(raw_forked);
	if (result)
		return result;
	result = registry_init(version, options);
	if (result)
		return result;
	namer_init();
	result = sites_init();
	if (result)
		return result;
	main_stack_find();
	modules_adopt();
	registry_flag_set(REGISTRY_READY);
	return 0;
}

void life_fork_prepare(void)
{
	guard.fork_registry = lock_take(&registry_lock);
	guard.fork_map = region_lock_take();
}

void life_fork_parent(void)
{
	if (guard.fork_map)
		region_lock_drop();
	if (guard.fork_registry)
		lock_drop(&registry_lock);
}

/* Only this thread came along; libc unmaps the others' stacks unseen. */
static void other_stacks_clear(void)
{
	uint32_t tid = (uint32_t)sys_gettid();
	struct registry_region *r;
	uintptr_t at = 0;

	while ((r = region_at_or_above(at))) {
		at = r->end;
		if (!r->tid)
			continue;
		if (r->start <= (uintptr_t)&at && (uintptr_t)&at < r->end) {
			r->tid = tid;
			continue;
		}
		namer_remove(r->start, r->end);
		region_clear(r->start, r->end);
	}
}

void life_fork_child(bool prepared)
{
	bool held = region_lock_reset();

	/* held by another thread: it may have been half way through a call */
	if (held && !(prepared && guard.fork_map))
		registry_flag_set(REGISTRY_INEXACT);
	lock_reset(&registry_lock);
	locks_linger_reset();
	own_reset();
	guard_fork_seen();
	anonshim_registry->pid = (uint32_t)sys_getpid();
	other_stacks_clear();
	namer_after_fork();
}
