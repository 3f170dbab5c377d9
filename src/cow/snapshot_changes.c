/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was written between snapshots, and who wants to know; see snapshot.h.
 */
#include "cow/snapshot.h"

#include "base/fdlist.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/history.h"
#include "cow/snapshot_page.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>

struct changing {
	uint32_t from;
	uint32_t until;
	uint64_t *changed;
};

static int changes(void *arg)
{
	const struct changing *c = arg;

	history_changes(c->from, c->until, c->changed);
	return 0;
}

static bool is_before(uint32_t from, uint32_t until)
{
	while (from && from != until)
		from = history_next(from);
	return from;
}

int snapshot_changes(snapshot_id from, snapshot_id until, uint64_t at,
		     snapshot_each *each, void *arg)
{
	struct changing c = {.from = snapshot_slot(from),
			     .until = snapshot_slot(until)};
	const struct watched *w;
	uint64_t page = at / PAGE_BYTES;

	if (!c.from || (until && !c.until) ||
	    (c.until && !is_before(c.from, c.until)))
		return -EINVAL;
	w = history_owner(c.from);
	c.changed = watched_bits(w);
	if (!c.changed)
		return -ENOMEM;
	engine_call(changes, &c);
	while ((page = bit_next(c.changed, page, w->pages, true)) < w->pages) {
		uint64_t end = bit_next(c.changed, page, w->pages, false);

		each(page * PAGE_BYTES, (end - page) * PAGE_BYTES, arg);
		page = end;
	}
	sys_munmap(c.changed, page_up(watch_bits_bytes(w)));
	return 0;
}

/* Who wants to know of the first write ------------------------------------ */

struct watching {
	struct watched *w;
	int fd;	  /* the caller's, of a pipe */
	long tid; /* the caller */
};

/* A pipe can be opened anew by whoever has another table of descriptors. */
static int watch_pipe(void *arg)
{
	const struct watching *a = arg;
	long fd = fdlist_open(a->tid, a->fd, O_RDWR | O_NONBLOCK);

	if (sys_failed(fd))
		return fd == -EMFILE || fd == -ENFILE ? -ENOMEM : -EPERM;
	if (a->w->notify)
		sys_close(a->w->notify);
	a->w->notify = (int)fd;
	a->w->notified = false;
	if (history_is_written(&a->w->history))
		page_notify(a->w);
	return 0;
}

int snapshot_watch(uint32_t object, int *fd)
{
	struct watching a = {.w = watched_of(object), .tid = sys_gettid()};
	int ends[2];
	int result;

	if (!a.w || !a.w->history.newest)
		return -EINVAL;
	if (engine_uffd < 0)
		return -EPERM;
	if (sys_failed(sys_call(SYS_pipe2, (long)ends, O_CLOEXEC | O_NONBLOCK,
				0, 0, 0, 0)))
		return -ENOMEM;
	a.fd = ends[0];
	result = engine_call(watch_pipe, &a);
	sys_close(ends[1]);
	if (result)
		sys_close(ends[0]);
	else
		*fd = ends[0];
	return result;
}
