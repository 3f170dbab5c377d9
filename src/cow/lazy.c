/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lazy copy; see lazy.h.
 */
#include "cow/lazy.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PIECE_BYTES UINT64_C(262144) /* put in passing */
/* Lifted at a time, for the mmap lock's sake. */
#define LIFT_BYTES ((size_t)32 << 20)
#define EVENTS 16
#define GO_NS UINT64_C(100000000)
#define POLL_MS 5 /* until it is seen that somebody wants the window closed */

/* The one window, of the parent's side or of the child's. */
static struct {
	struct thread thread;
	uint32_t go;
	bool finish; /* somebody waits */
	struct cow_plan *plan;
	int uffd;
	int pipe; /* parent: to read from; child: to keep open */
	int kept[COW_LAZY_MAX + 2]; /* descriptors of the thread's */
	size_t n_kept;
} window;

bool cow_window_open;

/* Where O's page that shows OFFSET is known to be in F1. */
static bool is_done(const struct cow_object *o, uint64_t offset)
{
	uint64_t block = offset / COW_BLOCK_BYTES;

	return o->done[block / 8] >> block % 8 & 1;
}

static void set_done(struct cow_object *o, uint64_t offset)
{
	uint64_t block = offset / COW_BLOCK_BYTES;

	o->done[block / 8] |= (uint8_t)(1 << block % 8);
}

/* Putting ----------------------------------------------------------------- */

/* Whether F0 has no page in LEN bytes at OFFSET, at most PIECE_BYTES. */
static bool is_hole(const struct cow_object *o, uint64_t offset, uint64_t len)
{
	unsigned char in[PIECE_BYTES / PAGE_BYTES];
	bool any = false;

	if (sys_swap_is_used() ||
	    sys_failed(sys_call(SYS_mincore, (long)(o->f0 + offset), (long)len,
				(long)in, 0, 0, 0)))
		return false;
	for (uint64_t i = 0; i < page_up(len) / PAGE_BYTES; i++)
		any |= in[i] & 1;
	return !any;
}

/*
 * Put LEN bytes at OFFSET into F1 where that has none.  False: there is no
 * memory.
 */
static bool put(const struct cow_object *o, uint64_t offset, uint64_t len)
{
	bool hole = is_hole(o, offset, len);

	while (len) {
		uintptr_t to = (uintptr_t)o->f1 + offset;
		long done = hole ? uffd_zero(window.uffd, to, len)
				 : uffd_copy(window.uffd, to,
					     (uintptr_t)o->f0 + offset, len);

		if (done == -EEXIST)
			done = PAGE_BYTES;
		if (done == -EAGAIN)
			continue;
		if (sys_failed(done))
			return done == -ENOENT || done == -ESRCH;
		offset += (uint64_t)done;
		len -= (uint64_t)done;
	}
	return true;
}

static bool put_block(struct cow_object *o, uint64_t offset)
{
	uint64_t start = offset / COW_BLOCK_BYTES * COW_BLOCK_BYTES;
	uint64_t end = page_up(o->size);

	if (is_done(o, offset))
		return true;
	if (end > start + COW_BLOCK_BYTES)
		end = start + COW_BLOCK_BYTES;
	if (start >= end || !put(o, start, end - start))
		return start >= end;
	set_done(o, offset);
	return true;
}

/*
 * The next data of F0, of which nobody asked for any yet, from *AT on: some of
 * it is put.  False: there is none any more.
 */
static bool put_next(const struct cow_plan *plan, uint32_t object, uint64_t *at,
		     bool *failed)
{
	const struct cow_object *o = COW_OBJECT(plan, object);
	uint64_t start = *at;
	uint64_t end;

	if (o->old >= 0 ? cow_extent(plan, object, &start, &end) <= 0
			: start >= o->size)
		return false;
	if (o->old < 0)
		end = o->size;
	start = page_down(start);
	if (end > start / PIECE_BYTES * PIECE_BYTES + PIECE_BYTES)
		end = start / PIECE_BYTES * PIECE_BYTES + PIECE_BYTES;
	end = page_up(end);
	/* a hole stays one, but for what the parent puts there */
	if (o->old >= 0 || !is_hole(o, start, end - start))
		*failed |= !put(o, start, end - start);
	*at = end;
	return true;
}

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
static void serve(const struct cow_plan *plan, uintptr_t addr, bool is_child)
{
	struct cow_map *m = map_at(plan, addr);
	struct uffd_range range;

	if (!m)
		return;
	range = block_of(m, addr);
	while (!put_block(COW_OBJECT(plan, m->object),
			  m->offset + (addr - m->start)))
		sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	if (is_child)
		uffd_wake(window.uffd, range);
	else
		uffd_lift(window.uffd, range);
}

/* All faults that are there now. */
static void serve_all(const struct cow_plan *plan, bool is_child)
{
	struct uffd_fault fault[EVENTS];
	size_t n;

	do {
		n = uffd_faults(window.uffd, fault, EVENTS);
		for (size_t i = 0; i < n; i++)
			serve(plan, fault[i].addr, is_child);
	} while (n == EVENTS);
}

/* Put all there is, serving faults in between. */
static void put_all(const struct cow_plan *plan, bool is_child)
{
	for (uint32_t i = 0; i < plan->objects.n; i++) {
		uint64_t at = 0;
		bool failed = false;

		if (!COW_OBJECT(plan, i)->lazy)
			continue;
		for (;;) {
			uint64_t from = at;

			serve_all(plan, is_child);
			if (!put_next(plan, i, &at, &failed))
				break;
			if (!failed)
				continue;
			at = from; /* no memory: again, until there is */
			failed = false;
			sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
		}
	}
}

/* Closing ----------------------------------------------------------------- */

void cow_lazy_unmap(struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);

		if (o->f0)
			sys_munmap(o->f0, page_up(o->size));
		if (o->f1)
			sys_munmap(o->f1, page_up(o->size));
		if (o->done)
			sys_munmap(o->done, cow_done_bytes(o));
		o->f0 = o->f1 = NULL;
		o->done = NULL;
	}
}

/* Descriptors that a thread has of its own are not this one's any more. */
static void forget_fds(struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++)
		COW_OBJECT(plan, i)->new = -1;
	plan->fds.n = 0;
}

/* The thread's last deed, after which its plan is gone. */
static void close_window(void)
{
	struct cow_plan *plan = window.plan;

	sys_close(window.uffd);
	cow_lazy_unmap(plan);
	sys_close(window.pipe); /* a child's: F0 is its parent's alone now */
	forget_fds(plan);
	plan->lazy = false;
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
	for (size_t i = 1; i < n; i++) /* in order */
		for (size_t j = i; j && kept[j] < kept[j - 1]; j--) {
			int swapped = kept[j];

			kept[j] = kept[j - 1];
			kept[j - 1] = swapped;
		}
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

/* The parent -------------------------------------------------------------- */

static void lift_all(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);

		if (!COW_OBJECT(plan, m->object)->lazy)
			continue;
		for (uintptr_t at = m->start; at < m->end; at += LIFT_BYTES)
			uffd_lift(window.uffd,
				  (struct uffd_range){
					  at, m->end - at < LIFT_BYTES
						      ? m->end
						      : at + LIFT_BYTES});
	}
}

static void parent_thread(void *arg)
{
	struct cow_plan *plan = arg;
	struct pollfd wait[2] = {{.fd = window.uffd, .events = POLLIN},
				 {.fd = window.pipe}};

	begin();
	for (;;) {
		sys_call(SYS_poll, (long)wait, 2, POLL_MS, 0, 0, 0);
		if (wait[1].revents)
			break; /* nobody reads F0 any more */
		serve_all(plan, false);
		if (__atomic_load_n(&window.finish, __ATOMIC_RELAXED)) {
			put_all(plan, false);
			break;
		}
	}
	lift_all(plan);
	close_window();
}

/* No thread: writers wait for the child, which does it alone. */
static void wait_for_child(struct cow_plan *plan)
{
	struct pollfd wait = {.fd = window.pipe};

	while (sys_call(SYS_poll, (long)&wait, 1, -1, 0, 0, 0) != 1) {
	}
	lift_all(plan);
}

bool cow_lazy_parent(struct cow_plan *plan)
{
	if (!plan->lazy)
		return false;
	sys_close(plan->pipe[1]);
	plan->pipe[1] = -1;
	window.plan = plan;
	window.uffd = plan->uffd;
	window.pipe = plan->pipe[0];
	window.finish = false;
	window.go = 0;
	choose_own(plan);
	cow_window_open = true;
	if (thread_start(&window.thread, parent_thread, plan)) {
		cow_window_open = false;
		wait_for_child(plan);
		cow_lazy_undo(plan);
		return false;
	}
	go();
	return true;
}

/* The child --------------------------------------------------------------- */

static void child_thread(void *arg)
{
	struct cow_plan *plan = arg;

	begin();
	put_all(plan, true);
	cow_lazy_unregister(plan, window.uffd);
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

bool cow_lazy_child(struct cow_plan *plan)
{
	long uffd;

	thread_forget(&window.thread);
	if (!plan->lazy)
		return false;
	sys_close(plan->uffd);
	sys_close(plan->pipe[0]);
	plan->pipe[0] = -1;
	uffd = uffd_open();
	window.plan = plan;
	window.uffd = plan->uffd = (int)uffd;
	window.pipe = plan->pipe[1];
	window.finish = false;
	window.go = 0;
	if (sys_failed(uffd) || !watch_missing(plan))
		cow_end_child();
	choose_own(plan);
	cow_window_open = true;
	if (thread_start(&window.thread, child_thread, plan)) {
		put_all(plan, true); /* alone */
		sys_close(plan->uffd);
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
	__atomic_store_n(&window.finish, true, __ATOMIC_RELAXED);
	thread_wait(&window.thread);
}
