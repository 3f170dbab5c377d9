/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that snapshots and views see; see snapshot.h.
 */
#include "cow/snapshot_page.h"

#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/plan.h"
#include "cow/snapshot.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* At most so many pages are lifted at once where nobody wants them. */
#define STRIDE_MAX 8192

uint64_t page_views;

/* Of the page that a view or a snapshot sees. */
struct content {
	const struct watched *watched; /* whose page it is now, or */
	const void *saved;	       /* a version; both NULL: zeros */
	uint64_t page;
};

/* What a page was --------------------------------------------------------- */

/* Whether a hole: to read it would make a page of it. */
static bool is_hole(const struct watched *w, uint64_t page)
{
	unsigned char in = 1;

	return !sys_swap_is_used() &&
	       !sys_failed(sys_call(SYS_mincore,
				    (long)(w->at + page * PAGE_BYTES),
				    PAGE_BYTES, (long)&in, 0, 0, 0)) &&
	       !(in & 1);
}

/* Who reads a hole of a view waits for the engine, which must not for itself:
 * where swap hides holes there are none any more. */
static void fill_hole(const struct watched *w, uint64_t page)
{
	while (sys_swap_is_used() && engine_uffd >= 0 &&
	       uffd_zero(engine_uffd, (uintptr_t)w->at + page * PAGE_BYTES,
			 PAGE_BYTES) == -EAGAIN)
		sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static struct content content_now(const struct watched *w, uint64_t page)
{
	bool hole = page >= w->pages || is_hole(w, page);

	if (w->present && !hole)
		fill_hole(w, page);
	return (struct content){.watched = hole ? NULL : w, .page = page};
}

/* Whether PAGE is W's own, hole or not, and none that its source tells of. */
static bool is_there(const struct watched *w, uint64_t page)
{
	return page >= w->pages || !w->present || bit_get(w->present, page);
}

/* What SNAPSHOT sees of PAGE. */
static struct content content_of(uint32_t snapshot, uint64_t page)
{
	for (;;) {
		const struct watched *w = history_owner(snapshot);
		const void *saved =
			page < w->pages
				? history_find(&w->history, snapshot, page)
				: NULL;

		if (saved)
			return (struct content){.saved = saved};
		if (is_there(w, page))
			return content_now(w, page);
		snapshot = w->source;
	}
}

/* Where its memory can be read, in a mapping of the program's if there is one:
 * its page tables are there already. */
static const char *readable(const struct watched *w, uint64_t page)
{
	const struct watch_mapping *m = watch_of(w, page);

	return m ? (char *)m->start + (page - m->first) * PAGE_BYTES
		 : w->at + page * PAGE_BYTES;
}

/* Somebody may have cut the object, or forbidden to read it where it is. */
static void read_now(const struct watched *w, uint64_t page, void *to)
{
	if (sys_peek(readable(w, page), to, PAGE_BYTES) == PAGE_BYTES ||
	    sys_peek(w->at + page * PAGE_BYTES, to, PAGE_BYTES) == PAGE_BYTES)
		return;
	memset(to, 0, PAGE_BYTES);
}

static void read_content(const struct content *c, void *to)
{
	if (c->saved)
		memcpy(to, c->saved, PAGE_BYTES);
	else if (c->watched)
		read_now(c->watched, c->page, to);
}

/* The engine's ------------------------------------------------------------ */

void page_notify(struct watched *w)
{
	if (w->notify >= 0 && !w->notified)
		sys_write(w->notify, "", 1);
	w->notified = true;
}

void page_unnotify(struct watched *w)
{
	char byte;

	if (w->notify >= 0 && w->notified)
		sys_read(w->notify, &byte, 1);
	w->notified = false;
}

void page_save(struct watched *w, uint64_t page)
{
	struct content c;
	void *to;

	if (history_is_saved(&w->history, page))
		return;
	c = is_there(w, page) ? content_now(w, page)
			      : content_of(w->source, page);
	to = history_save(&w->history, page); /* zeros */
	read_content(&c, to);
	page_notify(w);
}

void snapshot_save(const struct watch_mapping *m, uintptr_t addr)
{
	struct watched *w = m->watched;
	uint64_t page = m->first + (addr - m->start) / PAGE_BYTES;
	uint64_t n;

	if (w->history.newest) {
		page_save(w, page);
		watch_lift(w, addr, 1);
		return;
	}
	n = (m->end - page_down(addr)) / PAGE_BYTES;
	watch_lift(w, addr, n < w->stride ? n : w->stride);
	if (w->stride < STRIDE_MAX)
		w->stride *= 2;
}

/* Put C into page PAGE of view W, which has none.  False: there is no memory.
 */
static bool put(const struct watched *w, uint64_t page, const struct content *c)
{
	uintptr_t to = (uintptr_t)w->at + page * PAGE_BYTES;
	const void *from = c->saved;
	long done;

	if (c->watched)
		from = readable(c->watched, c->page);
	do {
		done = -EFAULT;
		if (from)
			done = uffd_copy(engine_uffd, to, (uintptr_t)from,
					 PAGE_BYTES);
		if (done == -EFAULT && c->watched)
			done = uffd_copy(engine_uffd, to,
					 (uintptr_t)c->watched->at +
						 c->page * PAGE_BYTES,
					 PAGE_BYTES);
		if (done == -EFAULT)
			done = uffd_zero(engine_uffd, to, PAGE_BYTES);
	} while (done == -EAGAIN);
	return !sys_failed(done) || done == -EEXIST;
}

/* Pages put while a fork is under way: the child's copy may not have them. */
static struct cow_list owed;

struct owed_page {
	struct watched *watched;
	uint64_t page;
};

static bool owe(struct watched *w, uint64_t page)
{
	struct owed_page *o = cow_list_add(&owed, sizeof(*o));

	if (o)
		*o = (struct owed_page){w, page};
	return o;
}

void page_own_owed(void)
{
	for (size_t i = 0; i < owed.n; i++)
		page_own(COW_AT(&owed, owed_page, i)->watched,
			 COW_AT(&owed, owed_page, i)->page);
	owed.n = 0;
}

void page_disown_owed(void)
{
	owed.n = 0;
}

static void fill(struct watched *w, uint64_t page)
{
	/* it had one, and the program took it away */
	struct content c = bit_get(w->present, page)
				   ? (struct content){.page = page}
				   : content_of(w->source, page);

	while (!put(w, page, &c))
		sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
	if (!engine_held || !owe(w, page))
		page_own(w, page);
}

void page_own(struct watched *w, uint64_t page)
{
	if (!w->present || bit_get(w->present, page))
		return;
	bit_set(w->present, page);
	page_views++;
}

static int save_all(void *unused)
{
	(void)unused;
	for (struct watched *w = watched_all; w; w = w->next)
		for (uint64_t page = 0; page < w->pages; page++) {
			if (!is_there(w, page))
				fill(w, page);
			page_save(w, page);
		}
	return 0;
}

/* Where there are more than the engine and the caller. */
void page_save_from_others(void)
{
	if (engine_uffd >= 0 && sys_threads() != 2)
		engine_call(save_all, NULL);
}

void page_fill_plainly(struct watched *w, uint64_t page)
{
	struct content c = content_of(w->source, page);

	read_content(&c, w->at + page * PAGE_BYTES);
	page_own(w, page);
}

void snapshot_fill(const struct watch_mapping *m, uintptr_t addr, bool is_write)
{
	uint64_t page = m->first + (addr - m->start) / PAGE_BYTES;

	(void)is_write; /* where that needs saving it will be told again */
	fill(m->watched, page);
	watch_wake(m->watched, page, 1);
}
