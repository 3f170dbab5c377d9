/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thread stacks; see stack.h.
 *
 * glibc puts the thread's descriptor, to which pthread_self() points, within
 * the last page of the stack mapping.  Where the mapping starts is asked of
 * the kernel, for glibc may hand out a cached stack larger than asked for.
 */
#include "track/stack.h"

#include "base/mem.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/registry.h"
#include "track/site.h"
#include "track/track.h"

#include <errno.h>

struct start {
	struct start *next;
	void *(*routine)(void *);
	void *arg;
	size_t stack_bytes;
	size_t guard_bytes;
	uint32_t site;
};

struct extent {
	uintptr_t start;
	uintptr_t end;
	uint32_t tid;
};

static struct start *free_starts;
static void (*on_start)(void);

void stack_on_start(void (*begins)(void))
{
	on_start = begins;
}

static struct start *start_take(void)
{
	struct start *s = NULL;
	struct start *more;

	guard_enter();
	if (lock_take(&registry_lock)) {
		if (!free_starts && (more = mem_map(PAGE_BYTES)))
			for (size_t i = 0; i < PAGE_BYTES / sizeof(*more);
			     i++) {
				more[i].next = free_starts;
				free_starts = &more[i];
			}
		s = free_starts;
		if (s)
			free_starts = s->next;
		lock_drop(&registry_lock);
	}
	guard_leave();
	return s;
}

static void start_give(struct start *s)
{
	guard_enter();
	if (lock_take(&registry_lock)) {
		s->next = free_starts;
		free_starts = s;
		lock_drop(&registry_lock);
	}
	guard_leave();
}

struct neighbours {
	uintptr_t addr;
	struct procmap_vma vma;
	struct procmap_vma below;
	bool found;
};

static void look(const struct procmap_vma *vma, void *arg)
{
	struct neighbours *n = arg;

	if (vma->end <= n->addr)
		n->below = *vma;
	if (n->addr < vma->start || n->addr >= vma->end)
		return;
	n->vma = *vma;
	n->found = true;
}

/* The VMA that holds n->addr, and the one below where there is one. */
static bool neighbours_find(struct neighbours *n)
{
	if (caps.procmap && !procmaps_query(n->addr, &n->vma)) {
		n->found = true;
		if (procmaps_query(n->vma.start - 1, &n->below))
			n->below.end = 0;
	} else if (registry_maps_short()) {
		procmaps_read(look, n);
	}
	return n->found;
}

/* The stack this thread runs on, its guard pages included. */
static struct extent extent_find(const struct start *s)
{
	uintptr_t self = (uintptr_t)pthread_self();
	struct neighbours n = {.addr = (uintptr_t)__builtin_frame_address(0)};
	struct extent e = {.end = page_up(self + 1)};
	bool found = false;

	guard_enter();
	e.tid = (uint32_t)sys_gettid();
	/* no child of a fork may inherit the descriptor: see shim/fork.c */
	if (caps.files && lock_take(&registry_lock)) {
		found = neighbours_find(&n);
		lock_drop(&registry_lock);
	}
	guard_leave();
	e.start = e.end - page_up(s->stack_bytes);
	if (!found || n.vma.start >= e.end || !s->guard_bytes)
		return e;
	e.start = n.vma.start;
	if (n.below.end == n.vma.start && !n.below.writable &&
	    n.below.end - n.below.start >= s->guard_bytes && !n.below.inode)
		e.start -= s->guard_bytes;
	return e;
}

static void release(void *arg)
{
	const struct extent *e = arg;

	if (guard_open())
		track_stack_release(e->start, e->end, e->tid);
}

static void *run(void *arg)
{
	struct start s = *(struct start *)arg;
	struct extent e;
	void *result;

	start_give(arg);
	e = extent_find(&s);
	guard.stack_low = e.start;
	guard.stack_high = e.end;
	track_stack(e.start, e.end, s.site, e.tid);
	if (on_start)
		on_start();
	pthread_cleanup_push(release, &e);
	result = s.routine(s.arg);
	pthread_cleanup_pop(1);
	return result;
}

/* Fill the sizes; false: the program provides the stack. */
static bool sizes_get(struct start *s, const pthread_attr_t *attr)
{
	pthread_attr_t fallback;
	void *addr = NULL;

	if (!attr) {
		if (pthread_getattr_default_np(&fallback))
			return false;
		pthread_attr_getstacksize(&fallback, &s->stack_bytes);
		pthread_attr_getguardsize(&fallback, &s->guard_bytes);
		pthread_attr_destroy(&fallback);
	} else {
		pthread_attr_getstack(attr, &addr, &s->stack_bytes);
		pthread_attr_getguardsize(attr, &s->guard_bytes);
		/* glibc keeps the top: NULL where none was set */
		if ((uintptr_t)addr + s->stack_bytes)
			return false;
	}
	if (!s->stack_bytes && !pthread_getattr_default_np(&fallback)) {
		pthread_attr_getstacksize(&fallback, &s->stack_bytes);
		pthread_attr_destroy(&fallback);
	}
	s->guard_bytes = page_up(s->guard_bytes);
	return s->stack_bytes != 0;
}

static uint32_t thread_site(void *(*routine)(void *),
			    const struct unwind_start *caller)
{
	uintptr_t frames[UNWIND_DEPTH_MAX];
	unsigned n;

	/* plus 1: frames are return addresses */
	frames[0] = (uintptr_t)routine + 1;
	n = unwind_capture(caller, frames + 1,
			   (unsigned)CONFIG_NUMBER(depth) < UNWIND_DEPTH_MAX
				   ? (unsigned)CONFIG_NUMBER(depth)
				   : UNWIND_DEPTH_MAX - 1);
	return site_of_stack(KIND_STACK, frames, n + 1);
}

int stack_thread_create(pthread_t *thread, const pthread_attr_t *attr,
			void *(*routine)(void *), void *arg,
			const struct unwind_start *caller)
{
	int err = errno;
	struct start sizes = {.routine = routine, .arg = arg};
	struct start *s;
	int result;

	s = sizes_get(&sizes, attr) ? start_take() : NULL;
	if (!s) {
		errno = err;
		return real.pthread_create(thread, attr, routine, arg);
	}
	sizes.site = thread_site(routine, caller);
	*s = sizes;
	errno = err;
	result = real.pthread_create(thread, attr, run, s);
	if (result)
		start_give(s);
	return result;
}
