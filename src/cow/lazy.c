/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The child's side of a lazy copy; see lazy.h.
 */
#include "cow/lazy.h"

#include "base/fdlist.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "cow/engine.h"

#include <errno.h>
#include <string.h>

#define EVENTS 16
#define GO_NS UINT64_C(100000000)
#define PUT_NS UINT64_C(100000000)

static struct {
	struct thread thread;
	uint32_t go;
	struct cow_plan *plan;
	int uffd;
	int pipe;		    /* to keep open */
	int kept[COW_LAZY_MAX + 2]; /* descriptors of the thread's */
	size_t n_kept;
} window;

bool cow_window_open;
bool cow_window_child;
bool cow_window_fds;

/* Faults ------------------------------------------------------------------ */

static struct cow_map *map_at(const struct cow_plan *plan, uintptr_t addr)
{
	for (size_t i = 0; i < plan->maps.n; i++) {
		struct cow_map *m = COW_MAP(plan, i);

		if (m->start <= addr && addr < m->end &&
		    COW_OBJECT(plan, m->object)->lazy)
			return m;
	}
	return NULL;
}

/* The part of M that shows ADDR's block. */
static struct uffd_range block_of(const struct cow_map *m, uintptr_t addr)
{
	uint64_t offset = m->offset + (addr - m->start);
	uint64_t into = offset % COW_BLOCK_BYTES;
	uintptr_t start = addr - m->start > into ? addr - into : m->start;
	uintptr_t end = addr - into + COW_BLOCK_BYTES;

	return (struct uffd_range){start, end < m->end ? end : m->end};
}

/*
 * Who faulted at ADDR may go on.  Where there is no memory for F1 it waits, and
 * asks again.
 */
static void serve(uintptr_t addr)
{
	struct cow_map *m = map_at(window.plan, addr);
	struct cow_object *o;
	uint64_t offset;

	if (!m)
		return;
	o = COW_OBJECT(window.plan, m->object);
	offset = m->offset + (addr - m->start);
	while ((!lazy_is_given(window.plan) &&
		!lazy_put_block(window.uffd, o, offset)) ||
	       !lazy_put_page(window.uffd, o, offset))
		sys_yield();
	uffd_wake(window.uffd, block_of(m, addr));
}

/* All faults that are there now. */
static void serve_all(void)
{
	struct uffd_fault fault[EVENTS];
	size_t n;

	do {
		n = uffd_faults(window.uffd, fault, EVENTS);
		for (size_t i = 0; i < n; i++)
			serve(fault[i].addr);
	} while (n == EVENTS);
}

/* Closing ----------------------------------------------------------------- */

void cow_lazy_unmap(struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);

		if (o->f0 && plan == window.plan) /* else it is watched */
			sys_munmap(o->f0, page_up(o->size));
		if (o->f1)
			sys_munmap(o->f1, page_up(o->size));
		if (o->done)
			sys_munmap(o->done, cow_done_bytes(o));
		o->f0 = o->f1 = NULL;
		o->done = NULL;
	}
	if (plan->talk)
		sys_munmap(plan->talk, PAGE_BYTES);
	plan->talk = NULL;
}

void cow_lazy_forget_fds(struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++)
		COW_OBJECT(plan, i)->new = -1;
	plan->fds.n = 0;
}

/*
 * From here on the parent puts nothing more: not where this process makes a
 * hole either.  What it has begun takes it some microseconds, if it lives.
 */
static void say_closed(struct cow_talk *talk)
{
	uint64_t start = sys_now_ns();

	__atomic_store_n(&talk->closed, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&talk->putting, __ATOMIC_SEQ_CST) &&
	       sys_now_ns() - start < PUT_NS)
		sys_yield();
}

/* The thread's last deed, after which its plan is gone. */
static void close_window(void)
{
	struct cow_plan *plan = window.plan;

	say_closed(plan->talk);
	sys_close(window.uffd);
	cow_lazy_unmap(plan);
	sys_close(window.pipe); /* a child's: F0 is its parent's alone now */
	cow_lazy_forget_fds(plan);
	plan->lazy = false;
	window.plan = NULL;
	cow_free(plan);
	__atomic_store_n(&cow_window_open, false, __ATOMIC_RELEASE);
}

/* Only these descriptors stay the thread's. */
static void choose_own(const struct cow_plan *plan)
{
	int *kept = window.kept;
	size_t n = 0;

	kept[n++] = window.uffd;
	kept[n++] = window.pipe;
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->lazy && COW_OBJECT(plan, i)->old >= 0)
			kept[n++] = COW_OBJECT(plan, i)->old;
	window.n_kept = n;
}

/* The plan is this thread's once its maker has closed what it has open. */
static void begin(void)
{
	thread_keep(window.kept, window.n_kept);
	while (!__atomic_load_n(&window.go, __ATOMIC_ACQUIRE))
		sys_futex_wait(&window.go, 0, GO_NS);
}

static void go(void)
{
	sys_close(window.uffd);
	sys_close(window.pipe);
	cow_close(window.plan);
	__atomic_store_n(&window.go, 1, __ATOMIC_RELEASE);
	sys_futex_wake(&window.go, 1);
}

static void unregister(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);

		if (COW_OBJECT(plan, m->object)->lazy)
			uffd_unregister(window.uffd, cow_range(m));
	}
}

static void child_thread(void *arg)
{
	struct cow_plan *plan = arg;

	begin();
	lazy_put_all(window.uffd, plan, true, serve_all);
	unregister(plan);
	close_window();
}

static bool watch_missing(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		const struct cow_object *o = COW_OBJECT(plan, i);

		if (o->lazy &&
		    uffd_register(window.uffd, cow_f1_range(o), UFFD_MISSING))
			return false;
	}
	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);

		if (COW_OBJECT(plan, m->object)->lazy && !m->gone &&
		    uffd_register(window.uffd, cow_range(m), UFFD_MISSING))
			return false;
	}
	return true;
}

/* What the parent read F0 through. */
static void take_over(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		const struct cow_object *o = COW_OBJECT(plan, i);
		struct watched *w = o->lazy ? watched_of(o->id) : NULL;

		if (w)
			w->at = NULL;
	}
}

bool cow_lazy_child(struct cow_plan *plan)
{
	long uffd;

	thread_forget(&window.thread);
	cow_window_open = false;
	window.plan = NULL;
	if (!plan->lazy)
		return false;
	sys_close(plan->pipe[0]);
	plan->pipe[0] = -1;
	uffd = uffd_open();
	window.plan = plan;
	window.uffd = (int)uffd;
	window.pipe = plan->pipe[1];
	window.go = 0;
	if (sys_failed(uffd) || !watch_missing(plan))
		cow_end_child();
	take_over(plan);
	choose_own(plan);
	cow_window_fds = lazy_has_fds(plan);
	cow_window_open = cow_window_child = true;
	if (thread_start(&window.thread, child_thread, plan)) {
		lazy_put_all(window.uffd, plan, true, serve_all); /* alone */
		say_closed(plan->talk);
		sys_close(window.uffd);
		sys_close(plan->pipe[1]);
		cow_window_open = false;
		cow_lazy_unmap(plan);
		plan->lazy = false;
		return false;
	}
	go();
	return true;
}

void cow_drain_slowly(void)
{
	if (cow_window_child)
		thread_wait(&window.thread);
	else
		engine_finish();
}

/* Whether FD is some process's /proc/PID/mem: who reads this one's there cannot
 * wait for what is not there yet, and gets EIO. */
static bool shows_memory(int fd)
{
	char path[FDLIST_PATH_BYTES];
	char name[64];
	long n;

	fdlist_path(0, fd, path);
	n = sys_readlink(path, name, sizeof(name));
	return n > 10 && !memcmp(name, "/proc/", 6) &&
	       !memcmp(name + n - 4, "/mem", 4);
}

void cow_reads_slowly(int fd)
{
	if (cow_window_child && (cow_guards_slowly(fd) || shows_memory(fd)))
		cow_drain();
}

void cow_drain_to_fork(void)
{
	if (cow_window_child || lazy_parent_is_full())
		cow_drain();
}
