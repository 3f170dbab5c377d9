/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parent's side of a lazy copy, which is the engine's; see lazy.h.
 */
#include "base/fdlist.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/lazy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>

#define WINDOWS_MAX 8
#define PATIENCE_NS UINT64_C(200000000)
#define ZEROS_MAX (UINT64_C(4) << 30) /* bytes */

/* The windows that are open, the newest first; the engine's. */
static struct cow_plan *windows;
static unsigned n_windows;
static bool finishing;
static const struct cow_plan *expected; /* the next one */

/* The engine's own of what the plan has open. */
struct opening {
	const struct cow_plan *plan;
	long tid; /* whose descriptors the plan's are */
	int pipe;
	int old[COW_LAZY_MAX];
};

static void sink_add(struct watched *w, struct cow_object *o)
{
	o->next_sink = w->sink;
	w->sink = o;
}

static void sink_remove(struct watched *w, struct cow_object *o)
{
	struct cow_object **at = &w->sink;

	while (*at && *at != o)
		at = &(*at)->next_sink;
	if (*at)
		*at = o->next_sink;
}

static void sinks_set(const struct cow_plan *plan,
		      void (*set)(struct watched *w, struct cow_object *o))
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);
		struct watched *w = o->lazy ? watched_of(o->id) : NULL;

		o->plan = plan;
		if (w)
			set(w, o);
	}
}

static void unlink_window(const struct cow_plan *plan)
{
	struct cow_plan **at = &windows;

	while (*at != plan)
		at = &(*at)->next;
	*at = plan->next;
	n_windows--;
}

/* What it had open is closed, or another's. */
static void plan_free(struct cow_plan *plan)
{
	cow_lazy_unmap(plan);
	plan->pipe[0] = -1;
	for (size_t i = 0; i < plan->objects.n; i++)
		COW_OBJECT(plan, i)->old = -1;
	plan->lazy = false;
	cow_free(plan);
}

/* The child needs F0 no longer. */
static void close_window(void *arg)
{
	struct cow_plan *plan = arg;

	engine_poll_end(plan->pipe[0]);
	sys_close(plan->pipe[0]);
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->lazy && COW_OBJECT(plan, i)->old >= 0)
			sys_close(COW_OBJECT(plan, i)->old);
	sinks_set(plan, sink_remove);
	unlink_window(plan);
	plan_free(plan);
	if (!windows)
		__atomic_store_n(&cow_window_open, false, __ATOMIC_RELEASE);
}

static int open_own(void *arg)
{
	struct opening *a = arg;
	long pipe =
		fdlist_open(a->tid, a->plan->pipe[0], O_RDONLY | O_NONBLOCK);
	size_t n = 0;

	if (sys_failed(pipe))
		return (int)pipe;
	a->pipe = (int)pipe;
	for (size_t i = 0; i < a->plan->objects.n; i++) {
		const struct cow_object *o = COW_OBJECT(a->plan, i);
		long old;

		if (!o->lazy)
			continue;
		old = o->old < 0 ? -1 : fdlist_open(a->tid, o->old, O_RDONLY);
		a->old[n++] = sys_failed(old) ? -1 : (int)old;
	}
	return 0;
}

/* PLAN has what the engine opened, and nothing else, and is the engine's. */
static void hand_over(struct cow_plan *plan, const struct opening *a)
{
	size_t n = 0;

	sys_close(plan->pipe[0]);
	cow_close(plan);
	cow_lazy_forget_fds(plan);
	plan->pipe[0] = a->pipe;
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->lazy)
			COW_OBJECT(plan, i)->old = a->old[n++];
		else
			COW_OBJECT(plan, i)->old = -1;
}

void lazy_expect(const struct cow_plan *plan)
{
	expected = plan;
}

static int unexpect(void *unused)
{
	(void)unused;
	expected = NULL;
	return 0;
}

void lazy_unexpect(const struct cow_plan *plan)
{
	if (expected == plan)
		engine_call(unexpect, NULL);
}

static void wake_f1(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->lazy)
			uffd_wake(engine_uffd,
				  cow_f1_range(COW_OBJECT(plan, i)));
}

/* The object of PLAN whose F1 shows ADDR, or NULL. */
static struct cow_object *f1_at(const struct cow_plan *plan, uintptr_t addr)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);
		uintptr_t start = (uintptr_t)o->f1;

		if (o->lazy && start && addr >= start &&
		    addr - start < page_up(o->size))
			return o;
	}
	return NULL;
}

bool lazy_meets(uintptr_t page)
{
	const struct cow_plan *plan = windows;
	struct cow_object *o = NULL;
	uint64_t at;

	if (expected && f1_at(expected, page))
		return true;
	while (plan && !(o = f1_at(plan, page)))
		plan = plan->next;
	if (!o || !lazy_put_begin(plan))
		return false;
	at = page - (uintptr_t)o->f1;
	while (!lazy_put_pages(engine_uffd, o, at, at + PAGE_BYTES))
		sys_yield();
	lazy_put_end(plan);
	uffd_wake(engine_uffd, (struct uffd_range){page, page + PAGE_BYTES});
	return true;
}

static int open_window(void *arg)
{
	struct cow_plan *plan = arg;

	plan->next = windows;
	windows = plan;
	n_windows++;
	engine_expect_finish();
	cow_window_open = true;
	sinks_set(plan, sink_add);
	expected = NULL;
	wake_f1(plan);
	engine_poll(plan->pipe[0], close_window, plan);
	return 0;
}

/* Whether the child needs F0 no longer; it is waited for TIMEOUT_MS, -1: for as
 * long as it takes. */
static bool is_closed(const struct cow_plan *plan, int timeout_ms)
{
	struct pollfd wait = {.fd = plan->pipe[0]};

	return sys_call(SYS_poll, (long)&wait, 1, timeout_ms, 0, 0, 0) == 1;
}

bool cow_lazy_parent(struct cow_plan *plan)
{
	struct opening a = {.plan = plan, .tid = sys_gettid()};

	if (!plan->lazy)
		return false;
	sys_close(plan->pipe[1]);
	plan->pipe[1] = -1;
	if (engine_call(open_own, &a)) {
		/* writers wait for the child, which does it alone */
		while (!is_closed(plan, -1)) {
		}
		cow_lazy_undo(plan);
		return false;
	}
	if (!cow_window_open)
		cow_window_fds = false;
	cow_window_fds |= lazy_has_fds(plan);
	hand_over(plan, &a);
	cow_window_child = false;
	engine_call(open_window, plan);
	return true;
}

void lazy_yield(struct watched *w, uint64_t from, uint64_t to)
{
	for (struct cow_object *o = w->sink; o; o = o->next_sink) {
		if (!lazy_put_begin(o->plan))
			continue;
		while (!lazy_put_pages(engine_uffd, o, from, to))
			sys_yield();
		lazy_put_end(o->plan);
	}
}

static uint64_t bytes_of(const struct cow_plan *plan)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->lazy)
			sum += COW_OBJECT(plan, i)->size;
	return sum;
}

/*
 * PLAN's child has all; it ends at once, unless somebody has stopped it: then
 * it is given zeros for holes too, if they are not too many.
 */
static void finish(struct cow_plan *plan)
{
	uint64_t start;

	lazy_put_all(engine_uffd, plan, false, engine_serve);
	__atomic_store_n(&plan->talk->given, 1, __ATOMIC_RELEASE);
	start = sys_now_ns();
	while (!is_closed(plan, 1)) {
		engine_serve();
		if (sys_now_ns() - start < PATIENCE_NS ||
		    bytes_of(plan) > ZEROS_MAX)
			continue;
		lazy_put_zeros(engine_uffd, plan);
		break;
	}
	close_window(plan);
}

bool lazy_finish(void)
{
	if (finishing)
		return false;
	finishing = true;
	while (windows)
		finish(windows);
	finishing = false;
	return true;
}

static int list_hidden(void *to)
{
	int result = 0;

	for (const struct cow_plan *p = windows; !result && p; p = p->next) {
		result = cow_hide(to, p->talk, PAGE_BYTES);
		for (size_t i = 0; !result && i < p->objects.n; i++) {
			const struct cow_object *o = COW_OBJECT(p, i);

			if (o->lazy)
				result = cow_hide(to, o->f1, page_up(o->size));
		}
	}
	return result;
}

int lazy_hidden(struct cow_list *to)
{
	return cow_window_open ? engine_call(list_hidden, to) : 0;
}

bool lazy_parent_is_full(void)
{
	return n_windows >= WINDOWS_MAX;
}

void lazy_parent_forget(void)
{
	struct cow_plan *next;

	for (struct cow_plan *plan = windows; plan; plan = next) {
		next = plan->next;
		plan_free(plan);
	}
	windows = NULL;
	expected = NULL;
	n_windows = 0;
	finishing = false;
}
