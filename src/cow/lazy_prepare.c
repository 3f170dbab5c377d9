/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Before a lazy copy: whether it can be, and what it needs; see lazy.h.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/lazy.h"
#include "env/config.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define LAZY_BYTES (UINT64_C(16) << 20)

/* Whether O's memory is of the kind that userfaultfd knows. */
static bool is_shmem(const struct cow_object *o)
{
	return !o->huge_bytes && o->mapped &&
	       o->identity.major == major(o->new_dev) &&
	       o->identity.minor == minor(o->new_dev);
}

/*
 * Whether what the program may do with its descriptors of OBJECT forbids it:
 * who uses them where nobody is told finds what has not come yet, or is found
 * before the child has it.
 */
static bool is_used_elsewhere(const struct cow_plan *plan, uint32_t object)
{
	static bool said[3];
	bool open = false;
	bool stays = false;
	bool given = COW_OBJECT(plan, object)->flags & OBJECT_ELSEWHERE;

	for (size_t i = 0; i < plan->fds.n; i++) {
		if (COW_FD(plan, i)->object != object)
			continue;
		open = true;
		stays |= !COW_FD(plan, i)->cloexec;
	}
	if (stays)
		log_once(&said[0],
			 "fork: a descriptor of memory that is mapped twice "
			 "stays open when a child calls execve(): its copy is "
			 "not lazy; open it with O_CLOEXEC or MFD_CLOEXEC");
	else if (given)
		log_once(&said[1],
			 "fork: a FILE, or another process, was given a "
			 "descriptor of memory that is mapped twice: its copy "
			 "is not lazy");
	else if (open && plan->rings)
		log_once(&said[2],
			 "fork: io_uring, or aio, may use a descriptor of "
			 "memory that is mapped twice: its copy is not lazy; "
			 "close the descriptor when the memory is mapped");
	return stays || given || (open && plan->rings);
}

/* Whether all of its mappings are recorded, for only those are watched. */
static bool is_known(const struct cow_plan *plan, uint32_t object)
{
	const struct cow_object *o = COW_OBJECT(plan, object);

	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);
		const struct share *s;

		for (uintptr_t at = m->start;
		     m->object == object && at < m->end; at = s->end) {
			s = share_at_or_above(at);
			if (!s || s->start > at || s->object != o->id)
				return false;
		}
	}
	return true;
}

/* What is little is copied sooner than it is made ready. */
static bool is_worth_it(const struct cow_object *o)
{
	switch (CONFIG_NUMBER(copy)) {
	case COPY_LAZY:
		return true;
	case COPY_AUTO:
		return o->bytes > LAZY_BYTES;
	}
	return false;
}

static bool wants_lazy(const struct cow_plan *plan, uint32_t object)
{
	const struct cow_object *o = COW_OBJECT(plan, object);
	const struct watched *w;

	if (!o->wanted || !o->id || !is_worth_it(o) || !is_shmem(o) ||
	    o->old_borrowed || o->unfit || !is_known(plan, object))
		return false;
	w = watched_of(o->id);
	if (w && (w->history.newest || w->present))
		return false;
	return !is_used_elsewhere(plan, object);
}

static bool hidden_maps(struct cow_object *o)
{
	size_t size = page_up(o->size);
	long p = sys_mmap_empty(size, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_NORESERVE, o->new);

	if (sys_failed(p))
		return false;
	o->f1 = (char *)p;
	p = sys_mmap(NULL, cow_done_bytes(o), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sys_failed(p))
		return false;
	o->done = (uint8_t *)p;
	return true;
}

static int watch_new(void *arg)
{
	const struct cow_object *o = arg;

	lazy_expect(o->plan);
	return (int)uffd_register(engine_uffd, cow_f1_range(o), UFFD_MISSING);
}

/* The engine watches F0, and may put into F1. */
static bool watch(const struct cow_plan *plan, struct cow_object *o)
{
	struct watched *w;

	if (watched_get(o->id, o->size, o->old, &w) ||
	    w->pages * PAGE_BYTES < page_up(o->size))
		return false;
	o->f0 = w->at;
	o->plan = plan;
	return !engine_call(watch_new, o);
}

static bool share_talk(struct cow_plan *plan)
{
	long p = sys_mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	plan->talk = sys_failed(p) ? NULL : (struct cow_talk *)p;
	return plan->talk;
}

/* Others are swept before any of these is watched, and not one of them. */
static void make_room(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->lazy &&
		    !watched_of(COW_OBJECT(plan, i)->id)) {
			watched_sweep();
			return;
		}
}

static bool make_ready(struct cow_plan *plan)
{
	if (!share_talk(plan) || engine_start() ||
	    sys_failed(sys_call(SYS_pipe2, (long)plan->pipe, O_CLOEXEC, 0, 0, 0,
				0)))
		return false;
	make_room(plan);
	for (uint32_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->lazy &&
		    (!hidden_maps(COW_OBJECT(plan, i)) ||
		     !watch(plan, COW_OBJECT(plan, i))))
			return false;
	return true;
}

void cow_lazy_prepare(struct cow_plan *plan)
{
	static bool said;
	unsigned n = 0;

	for (uint32_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);

		o->lazy = n < COW_LAZY_MAX && wants_lazy(plan, i);
		n += o->lazy;
	}
	plan->lazy = n;
	if (!n || make_ready(plan))
		return;
	cow_lazy_undo(plan);
	log_once(&said,
		 "fork: memory cannot be copied lazily here, so fork() copies"
		 " all of it (anonshim doctor says what would permit more)");
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

void cow_lazy_undo(struct cow_plan *plan)
{
	lazy_unexpect(plan);
	cow_lazy_unmap(plan);
	close_one(&plan->pipe[0]);
	close_one(&plan->pipe[1]);
	for (size_t i = 0; i < plan->objects.n; i++)
		COW_OBJECT(plan, i)->lazy = false;
	plan->lazy = false;
}
