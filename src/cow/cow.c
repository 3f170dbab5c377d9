/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a child of fork gets of shared memory; see cow.h.
 */
#include "cow/cow.h"

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/lazy.h"
#include "cow/plan.h"
#include "cow/snapshot.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/namer.h"
#include "track/region.h"
#include "track/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define DRAIN_TRIES 50

bool cow_always;

void cow_start(void)
{
	cow_always = CONFIG_NUMBER(fork) == FORK_ALL || *CONFIG_TEXT(private);
	snapshot_start();
}

/* fork() fails with these only. */
static int as_of_fork(int result)
{
	switch (result) {
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -ENOSPC:
	case -EFBIG:
		return -ENOMEM;
	}
	return -EAGAIN;
}

/* The size of the largest file that PLAN makes. */
static uint64_t largest(const struct cow_plan *plan)
{
	uint64_t most = 0;

	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->wanted && !COW_OBJECT(plan, i)->view &&
		    COW_OBJECT(plan, i)->size > most)
			most = COW_OBJECT(plan, i)->size;
	return most;
}

/* STEP, which writes. */
static int unlimited(int (*step)(struct cow_plan *), struct cow_plan *plan)
{
	struct rlimit64 was;
	long lifted = sys_lift_file_limit(largest(plan), &was);
	int result = lifted < 0 ? (int)lifted : step(plan);

	if (lifted > 0)
		sys_rlimit(RLIMIT_FSIZE, &was, NULL);
	return result;
}

static struct cow_plan *plan_new(void)
{
	long p = sys_mmap_private(sizeof(struct cow_plan));
	struct cow_plan *plan = (struct cow_plan *)p;

	if (sys_failed(p))
		return NULL;
	plan->writers = plan->pipe[0] = plan->pipe[1] = -1;
	return plan;
}

void cow_free(struct cow_plan *plan)
{
	if (plan->lazy)
		cow_lazy_undo(plan);
	cow_writers_release(plan);
	cow_drop(plan);
	sys_munmap(plan, page_up(sizeof(*plan)));
}

static bool anything(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->wanted)
			return true;
	return false;
}

int cow_reserve(struct cow_plan **to, bool late)
{
	int result;

	*to = NULL;
	if (!region_lock_take())
		return -EAGAIN;
	result = cow_reserve_locked(to, late);
	region_lock_drop();
	return result;
}

static int reserve(struct cow_plan **to, bool late)
{
	static bool said;
	struct cow_plan *plan = plan_new();
	int result;

	*to = NULL;
	if (!plan)
		return -ENOMEM;
	plan->late = late;
	cow_drain_to_fork();
	result = caps.files ? cow_gather(plan) : -EPERM;
	if (result == -ENOENT || result == -EACCES || result == -EPERM) {
		log_once(&said, "fork: memory that is mapped twice cannot be "
				"found without /proc; children share it");
		result = 0;
	} else if (!result && anything(plan)) {
		result = unlimited(cow_make, plan);
		if (!result) {
			*to = plan;
			return 0;
		}
	}
	cow_free(plan);
	return result ? as_of_fork(result) : 0;
}

int cow_reserve_locked(struct cow_plan **to, bool late)
{
	int result;

	locks_linger(true);
	result = reserve(to, late);
	locks_linger(false);
	return result;
}

/*
 * Of what has grown since it was watched the rest is to be held, or copied
 * lazily, as well.  Returns whether any of it is mapped elsewhere then: it is
 * to be found there.
 */
static bool fit_watched(const struct cow_plan *plan)
{
	bool moved = false;

	for (size_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);
		struct watched *w =
			o->wanted && o->id ? watched_of(o->id) : NULL;
		const char *was = w ? w->at : NULL;

		if (w && snapshot_fit(w, o->size, o->old))
			o->unfit = true;
		moved |= w && w->at != was;
	}
	return moved;
}

int cow_freeze(struct cow_plan *plan, bool locked)
{
	int result = 0;

	locks_linger(true);
	if (plan->late && !locked) {
		result = -EAGAIN;
	} else if (plan->late) {
		cow_drain_to_fork(); /* other threads may have forked */
		result = cow_gather_again(plan);
	}
	if (!result && plan->late)
		result = unlimited(cow_make, plan);
	if (!result && fit_watched(plan)) {
		result = cow_gather_again(plan);
		if (!result)
			result = unlimited(cow_make, plan);
	}
	if (!result) {
		cow_lazy_prepare(plan);
		result = cow_too_much(plan) ? -ENOMEM : 0;
	}
	if (!result)
		result = snapshot_hold();
	if (!result) {
		cow_writers_hold(plan);
		result = unlimited(cow_copy, plan);
	}
	if (result && plan->lazy)
		cow_lazy_undo(plan);
	if (result)
		cow_release();
	plan->frozen = true;
	plan->error = result ? as_of_fork(result) : 0;
	locks_linger(false);
	return plan->error;
}

bool cow_parent(struct cow_plan *plan)
{
	cow_writers_release(plan);
	for (size_t i = 0; i < plan->objects.n; i++)
		cow_view_unstage(COW_OBJECT(plan, i));
	return cow_lazy_parent(plan);
}

/* Not kept from its parent by MADV_DONTFORK, nor unmapped since. */
static bool is_mapped(const struct cow_map *m)
{
	return !sys_failed(sys_call(SYS_msync, (long)m->start,
				    (long)(m->end - m->start), MS_ASYNC, 0, 0,
				    0));
}

static long map_renew(const struct cow_plan *plan, struct cow_map *m)
{
	const struct cow_object *o = COW_OBJECT(plan, m->object);
	long result;
	bool named;

	if (!is_mapped(m)) {
		m->gone = true;
		share_clear(m->start, m->end);
		region_clear(m->start, m->end);
		return 0;
	}
	result =
		o->view ? cow_view_map(o, m)
			: sys_mmap((void *)m->start, m->end - m->start, m->prot,
				   MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
				   o->new, (off_t)m->offset);
	if (sys_failed(result))
		return result;
	if (m->advice)
		cow_advise(m);
	named = m->label[0] && namer_label(m->start, m->end, m->label);
	/* it is a file's memory now, unless its name hides that */
	if (!named && !o->view)
		region_clear(m->start, m->end);
	return 0;
}

/* Descriptor F, if it still is what it was. */
static long fd_renew(const struct cow_plan *plan, const struct cow_fd *f)
{
	const struct cow_object *o = COW_OBJECT(plan, f->object);
	struct sys_object now;

	if (sys_failed(sys_object(f->number, &now)) || now.ino != o->ino ||
	    now.dev != o->dev)
		return 0;
	return sys_call(SYS_dup3, f->copy, f->number,
			f->cloexec ? O_CLOEXEC : 0, 0, 0, 0);
}

/* When it is mapped: some seals let nobody map it to write to any more. */
static void object_renew(const struct cow_object *o)
{
	struct sys_object now;

	if (o->wanted && o->seals)
		sys_call(SYS_fcntl, o->new, F_ADD_SEALS, o->seals, 0, 0, 0);
	if (o->wanted && o->id && !o->view &&
	    !sys_failed(sys_object(o->new, &now)))
		share_renew(o->id, now.dev, now.ino, now.born_ns, o->size);
}

/* O can be mapped. */
static bool object_is_made(struct cow_object *o)
{
	if (!o->wanted)
		return true;
	return o->view ? !cow_view_make(o) : cow_is_new(o);
}

/* Half of a copy is worse than no child. */
_Noreturn void cow_end_child(void)
{
	log_text("fork: the kernel has no memory for the child's copies of "
		 "shared memory; the child ends");
	for (;;)
		sys_call(SYS_exit_group, 127, 0, 0, 0, 0, 0);
}

void cow_child(struct cow_plan *plan)
{
	if (plan->error) /* fork() will say so */
		for (;;)
			sys_call(SYS_exit_group, 127, 0, 0, 0, 0, 0);
	cow_writers_in_child(plan);
	for (size_t i = 0; i < plan->objects.n; i++)
		if (!object_is_made(COW_OBJECT(plan, i)))
			cow_end_child();
	for (size_t i = 0; i < plan->maps.n; i++)
		if (sys_failed(map_renew(plan, COW_MAP(plan, i))))
			cow_end_child();
	for (size_t i = 0; i < plan->fds.n; i++)
		if (sys_failed(fd_renew(plan, COW_FD(plan, i))))
			cow_end_child();
	for (size_t i = 0; i < plan->objects.n; i++)
		object_renew(COW_OBJECT(plan, i));
	if (!cow_lazy_child(plan))
		cow_free(plan);
}

bool cow_is_frozen(const struct cow_plan *plan)
{
	return plan->frozen;
}

int cow_error(const struct cow_plan *plan)
{
	return plan->error;
}

/* Snapshots --------------------------------------------------------------- */

unsigned cow_threads(void)
{
	return (engine_uffd >= 0) + (cow_window_open && cow_window_child);
}

bool cow_alone(void)
{
	bool alone = sys_threads() <= 1;

	if (alone || !cow_threads())
		return alone;
	/* the engine comes and goes with the lock held */
	if (region_enter()) {
		alone = sys_threads() <= 1 + cow_threads();
		region_leave();
	}
	return alone;
}

void cow_exits(int status)
{
	/* a child of vfork() has its parent's engine, not its own */
	if (!cow_threads() || sys_getpid() != anonshim_registry->pid ||
	    sys_threads() != 1 + cow_threads())
		return;
	for (;;)
		sys_call(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

void cow_hold(void)
{
	snapshot_hold();
}

bool cow_holds(void)
{
	return snapshot_any();
}

void cow_release(void)
{
	engine_release();
}

void cow_renew(void)
{
	if (snapshot_any())
		snapshot_child();
}

void cow_lose(void)
{
	if (snapshot_any())
		snapshot_lost();
}

/* The lock, and no window open; others wait for the lock no longer than that
 * takes. */
static bool lock_settled(void)
{
	for (int tries = 0; region_lock_take(); tries++) {
		if (!cow_window_open)
			return true;
		if (tries >= DRAIN_TRIES) {
			locks_linger(true);
			cow_drain();
			locks_linger(false);
			return true;
		}
		region_lock_drop(); /* another thread has forked */
		cow_drain();
	}
	return false;
}

/* DEED with the lock, where there are snapshots. */
static void with_lock(void (*deed)(void))
{
	bool entered;

	/* a child of vfork() has its parent's engine, not its own */
	if (!snapshot_any() || sys_getpid() != anonshim_registry->pid)
		return;
	entered = guard_enter_once();
	if (lock_settled()) {
		locks_linger(true);
		deed();
		locks_linger(false);
		region_lock_drop();
	}
	guard_leave_once(entered);
}

void cow_fill(void)
{
	with_lock(snapshot_fill_views);
}

void cow_pause(void)
{
	cow_drain();
	with_lock(snapshot_suspend);
}

void cow_resume(void)
{
	with_lock(snapshot_resume);
}

void cow_end(void)
{
	cow_drain();
	with_lock(snapshot_end);
}

/* DEED for what each object shows of [START, END). */
static void for_shares(uintptr_t start, uintptr_t end,
		       void (*deed)(uint32_t object, uint64_t from,
				    uint64_t to))
{
	const struct share *s;

	for (uintptr_t at = start;
	     at < end && (s = share_at_or_above(at)) && s->start < end;
	     at = s->end)
		deed(s->object,
		     (s->start > start ? s->start : start) + s->delta,
		     (s->end < end ? s->end : end) + s->delta);
}

static void preserve(uint32_t object, uint64_t from, uint64_t to)
{
	snapshot_preserve(object, from, to, true);
}

int cow_remove(void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr;
	uintptr_t end = page_up(start + len);
	bool any = snapshot_any() && end >= start;
	bool entered = any && guard_enter_once();
	bool locked = any && region_lock_take();
	long result;

	locks_linger(true); /* this one's, and the engine takes none */
	cow_drain();
	locks_linger(false);
	if (locked)
		for_shares(start, end, preserve);
	result = sys_madvise(addr, len, MADV_REMOVE);
	if (locked && !sys_failed(result))
		for_shares(start, end, snapshot_removed);
	if (locked)
		region_lock_drop();
	guard_leave_once(entered);
	return (int)real_result(result);
}
