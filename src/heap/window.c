/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows of address space; see window.h.
 */
#include "heap/window.h"

#include "base/mem.h"
#include "base/sys.h"
#include "env/guard.h"
#include "track/namer.h"
#include "track/own.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"

#include <sys/mman.h>
#include <sys/syscall.h>

/* Where window 0 may be: below are programs that are not PIE, and the hints
 * of runtimes; above, PIE programs and what the kernel places. */
#ifdef __SANITIZE_THREAD__
/* which has room for 1.5 TiB of the program's, and shadows elsewhere */
#define LOWEST UINT64_C(0x7e8000000000)
#define BASES 1
#else
#define LOWEST (UINT64_C(1) << 44)
#define BASES 512
#endif
#define CLASSES_STEP ((uintptr_t)64 << 10)
#define TAGS_STEP ((uintptr_t)256 << 10)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

uintptr_t window_base = WINDOW_NOWHERE;
struct lock window_lock = LOCK_INIT(LOCK_WINDOW);

uint8_t window_arenas[WINDOWS];
static size_t opened;
static bool recorded; /* whether the region map is ours; under window_lock */

void window_init(void)
{
	uint64_t drawn = 0;

	if (sys_call(SYS_getrandom, (long)&drawn, sizeof(drawn), 0, 0, 0, 0) <=
	    0)
		drawn = sys_now_ns() >> 4;
	window_base = LOWEST + (drawn % BASES) * WINDOW_BYTES;
}

/* At START and nowhere else, which old kernels take for a hint. */
static bool map_here(uintptr_t start, size_t size)
{
	long got = sys_mmap((void *)start, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				    MAP_FIXED_NOREPLACE,
			    -1, 0);

	if (sys_failed(got))
		return false;
	if ((uintptr_t)got == start)
		return true;
	sys_munmap((void *)got, size);
	return false;
}

static void record(uintptr_t start, uintptr_t end, uint32_t site, uint32_t flag)
{
	struct region_tag tag = {.site = site, .flags = flag};

	if (!recorded)
		return;
	region_set(start, end, &tag);
	namer_apply(start, end, site, 0);
}

/* Make *END, the end of a map that is mapped in STEPs, at least WANTED. */
static bool extend(uintptr_t *end, uintptr_t wanted, uintptr_t step)
{
	uintptr_t to = (wanted + step - 1) & ~(step - 1);

	if (wanted <= *end)
		return true;
	if (!map_here(*end, to - *end))
		return false;
	record(*end, to, site_own, REGION_OWN);
	*end = to;
	return true;
}

static bool extend_maps(struct window *w, uintptr_t end)
{
	const void *last = (const void *)(end - 1);

	return extend(&w->classes_end, (uintptr_t)window_class(last) + 1,
		      CLASSES_STEP) &&
	       (!w->tagged ||
		extend(&w->tags_end, (uintptr_t)window_tag(last) + 2,
		       TAGS_STEP));
}

static bool open_next(struct window *w)
{
	if (opened >= WINDOWS)
		return false;
	w->start = window_base + opened * WINDOW_BYTES;
	w->top = w->start + WINDOW_CLASSES_BYTES;
	w->classes_end = w->start;
	w->tags_end = w->start + WINDOW_TAGS_AT;
	w->dead = false;
	__atomic_store_n(&window_arenas[opened], w->arena, __ATOMIC_RELEASE);
	opened++;
	return true;
}

static uintptr_t place(struct window *w, uintptr_t at, size_t size,
		       size_t alignment, uint32_t site)
{
	uintptr_t start = (w->top + alignment - 1) & ~(alignment - 1);
	uintptr_t limit = w->start + WINDOW_TAGS_AT;

	if (!w->start || w->dead || start > limit || size > limit - start ||
	    (at && at != start))
		return 0;
	if (!extend_maps(w, start + size) || !map_here(start, size))
		return 0;
	record(start, start + size, site, 0);
	w->top = start + size;
	__atomic_store_n(&w->mapped, w->mapped + size, __ATOMIC_RELAXED);
	return start;
}

/* Whether memory can be had at all: then something is in the window's way. */
static bool memory_is_there(size_t size)
{
	long got = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sys_failed(got))
		return false;
	sys_munmap((void *)got, size);
	return true;
}

static uintptr_t grow(struct window *w, uintptr_t at, size_t size,
		      size_t alignment, uint32_t site)
{
	uintptr_t start = place(w, at, size, alignment, site);

	while (!start && !at && size < WINDOW_TAGS_AT / 2) {
		if (w->start && !memory_is_there(size))
			return 0;
		if (!open_next(w))
			return 0;
		start = place(w, 0, size, alignment, site);
	}
	return start;
}

static uintptr_t grow_recorded(struct window *w, uintptr_t at, size_t size,
			       size_t alignment, uint32_t site)
{
	uintptr_t start;

	recorded = guard_ready && region_lock_take();
	if (!recorded)
		registry_flag_set(REGISTRY_INEXACT);
	start = grow(w, at, size, alignment, site);
	if (recorded) {
		own_flush();
		region_lock_drop();
	}
	return start;
}

void *window_grow(struct window *w, void *at, size_t size, size_t alignment,
		  uint32_t site)
{
	uintptr_t start = 0;
	bool entered = guard_enter_once();

	if (lock_take(&window_lock)) {
		start = grow_recorded(w, (uintptr_t)at, size, alignment, site);
		lock_drop(&window_lock);
	}
	guard_leave_once(entered);
	return (void *)start;
}
