/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows of address space; see window.h.
 */
#include "heap/window.h"

#include "base/mem.h"
#include "base/place.h"
#include "base/sys.h"
#include "env/guard.h"
#include "track/namer.h"
#include "track/own.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* Where window 0 may be: below are programs that are not PIE, the hints of
 * runtimes, AddressSanitizer's shadow, and from 16 TiB on the heaps of ZGC and
 * of CLISP, which takes as much again; above, PIE programs and what the kernel
 * places. */
#ifdef __SANITIZE_THREAD__
/* which has room for 1.5 TiB of the program's, and shadows elsewhere */
#define LOWEST UINT64_C(0x7e8000000000)
#define BASES 1
#else
#define LOWEST (UINT64_C(32) << 40)
#define HIGHEST UINT64_C(0x550000000000)
#define BASES ((HIGHEST - LOWEST) / WINDOW_BYTES - WINDOWS)
#endif
#define CLASSES_STEP ((uintptr_t)64 << 10)
#define TAGS_STEP ((uintptr_t)256 << 10)

/* Blocks begin behind where they could, by less than so many pages: 21 bits of
 * every address. */
#define OFFSETS (UINT32_C(1) << 21)
/* What fits in every window that nothing else is in. */
#define FITS (WINDOW_TAGS_AT - WINDOW_CLASSES_BYTES - OFFSETS * PAGE_BYTES)

/* Of so many bytes the kernel is asked whether it has them. */
#define MUCH_BYTES ((size_t)64 << 20)

/* The least that is unmapped, and how many holes there may be. */
#define LEAVES_BYTES ((size_t)1 << 20)
#define LEAVES_HOLES 256

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

uintptr_t window_base = WINDOW_NOWHERE;
struct lock window_lock = LOCK_INIT(LOCK_WINDOW);

uint8_t window_arenas[WINDOWS];
static size_t opened;
static bool strict;
static bool recorded; /* whether the region map is ours; under window_lock */

/* All at once: later calls may be such as a filter of the program's kills. */
static struct {
	uint64_t base;
	uint32_t offset[WINDOWS];
} drawn;

/* Whether the kernel commits itself to no more than there is. */
static bool is_strict(void)
{
	long fd = sys_open("/proc/sys/vm/overcommit_memory", O_RDONLY, 0);
	char mode = 0;

	if (sys_failed(fd))
		return false;
	sys_read((int)fd, &mode, 1);
	sys_close((int)fd);
	return mode == '2';
}

void window_init(void)
{
	place_draw(&drawn, sizeof(drawn));
	strict = is_strict();
	window_base = LOWEST + (drawn.base % BASES) * WINDOW_BYTES;
}

/*
 * At START and nowhere else, which old kernels take for a hint.  Returns 0, or
 * -errno: -EEXIST where something else is in the way.
 */
static long map_here(uintptr_t start, size_t size)
{
	long got = sys_mmap((void *)start, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				    MAP_FIXED_NOREPLACE,
			    -1, 0);

	if (sys_failed(got))
		return got;
	if ((uintptr_t)got == start)
		return 0;
	sys_munmap((void *)got, size);
	return -EEXIST;
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
static long extend(uintptr_t *end, uintptr_t wanted, uintptr_t step)
{
	uintptr_t to = (wanted + step - 1) & ~(step - 1);
	long result;

	if (wanted <= *end)
		return 0;
	result = map_here(*end, to - *end);
	if (result)
		return result;
	record(*end, to, site_own, REGION_OWN);
	*end = to;
	return 0;
}

static long extend_maps(struct window *w, uintptr_t end)
{
	const void *last = (const void *)(end - 1);
	long result = extend(&w->classes_end, (uintptr_t)window_class(last) + 1,
			     CLASSES_STEP);

	if (!result && w->tagged)
		result = extend(&w->tags_end, (uintptr_t)window_tag(last) + 2,
				TAGS_STEP);
	return result;
}

/* Its maps begin with the pages that the first block needs. */
static bool open_next(struct window *w)
{
	uintptr_t top;

	if (opened >= WINDOWS)
		return false;
	w->start = window_base + opened * WINDOW_BYTES;
	top = w->start + WINDOW_CLASSES_BYTES +
	      drawn.offset[opened] % OFFSETS * PAGE_BYTES;
	w->top = top;
	w->classes_end = page_down((uintptr_t)window_class((void *)top));
	w->tags_end = page_down((uintptr_t)window_tag((void *)top));
	__atomic_store_n(&window_arenas[opened], w->arena, __ATOMIC_RELEASE);
	opened++;
	return true;
}

/*
 * Returns 0, or -errno: -ENOSPC where W has no room, -EEXIST where something
 * else is in its way.
 */
static long place(struct window *w, uintptr_t at, size_t size, size_t alignment,
		  uint32_t site, uintptr_t *placed)
{
	uintptr_t start = (w->top + alignment - 1) & ~(alignment - 1);
	uintptr_t limit = w->start + WINDOW_TAGS_AT;
	long result;

	if (!w->start || start > limit || size > limit - start)
		return -ENOSPC;
	if (at && at != start)
		return -EINVAL;
	result = extend_maps(w, start + size);
	if (!result)
		result = map_here(start, size);
	if (result)
		return result;
	record(start, start + size, site, 0);
	w->top = start + size;
	__atomic_store_n(&w->mapped, w->mapped + size, __ATOMIC_RELAXED);
	*placed = start;
	return 0;
}

/*
 * Whether the kernel has SIZE bytes for one who means to use them: what it
 * overcommits on trust, as it does for windows, may be more than there is.
 */
static bool memory_is_there(size_t size)
{
	long got = sys_mmap_private(size);

	if (sys_failed(got))
		return false;
	sys_munmap((void *)got, size);
	return true;
}

/* A window is opened only where one that is free of others would do. */
static uintptr_t grow(struct window *w, uintptr_t at, size_t size,
		      size_t alignment, uint32_t site)
{
	uintptr_t start = 0;
	long result;

	if (size > FITS || alignment > FITS - size ||
	    (size >= MUCH_BYTES && !memory_is_there(size)))
		return 0;
	do {
		result = place(w, at, size, alignment, site, &start);
	} while ((result == -ENOSPC || result == -EEXIST) && !at &&
		 open_next(w));
	return start;
}

/* Whether the caller has window_lock and, if it can be had, the region map. */
static bool begin(bool *entered)
{
	*entered = guard_enter_once();
	if (!lock_take(&window_lock)) {
		guard_leave_once(*entered);
		return false;
	}
	recorded = guard_ready && region_lock_take();
	if (!recorded)
		registry_flag_set(REGISTRY_INEXACT);
	return true;
}

static void end(bool entered)
{
	if (recorded) {
		own_flush();
		region_lock_drop();
	}
	lock_drop(&window_lock);
	guard_leave_once(entered);
}

void *window_grow(struct window *w, void *at, size_t size, size_t alignment,
		  uint32_t site)
{
	uintptr_t start;
	bool entered;

	if (!begin(&entered))
		return NULL;
	start = grow(w, (uintptr_t)at, size, alignment, site);
	end(entered);
	return (void *)start;
}

/*
 * Whether what is mapped counts against a limit.  Not asked, and not so, where
 * the program has confined itself and a call could be its last.
 */
static bool counted(void)
{
	static const int which[] = {RLIMIT_AS, RLIMIT_DATA};
	struct rlimit64 limit;

	if (!recorded || strict)
		return recorded;
	for (size_t i = 0; i < sizeof(which) / sizeof(*which); i++)
		if (!sys_call(SYS_prlimit64, 0, which[i], 0, (long)&limit, 0,
			      0) &&
		    limit.rlim_cur != RLIM64_INFINITY)
			return true;
	return false;
}

bool window_counts(void)
{
	bool entered;
	bool counts = false;

	if (begin(&entered)) {
		counts = counted();
		end(entered);
	}
	return counts;
}

bool window_leave(struct window *w, void *p, size_t size)
{
	uintptr_t start = (uintptr_t)p;
	bool left, entered;

	if (size < LEAVES_BYTES || !begin(&entered))
		return false;
	left = size >= w->mapped / LEAVES_HOLES && counted() &&
	       !sys_munmap(p, size);
	if (left) {
		region_clear(start, start + size);
		__atomic_store_n(&w->mapped, w->mapped - size,
				 __ATOMIC_RELAXED);
	}
	end(entered);
	return left;
}

bool window_return(struct window *w, void *p, size_t size, uint32_t site)
{
	uintptr_t start = (uintptr_t)p;
	bool entered, returned;

	if (!begin(&entered))
		return false;
	returned = !map_here(start, size);
	if (returned) {
		record(start, start + size, site, 0);
		__atomic_store_n(&w->mapped, w->mapped + size,
				 __ATOMIC_RELAXED);
	}
	end(entered);
	return returned;
}
