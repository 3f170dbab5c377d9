/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that snapshots and views see; see snapshot.h.
 */
#include "cow/snapshot_page.h"

#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/lazy.h"
#include "cow/plan.h"
#include "cow/snapshot.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define STRIDE_MAX UINT64_C(512) /* pages in a row */
#define STRIDE_FAULTS 4096	 /* after so many it doubles */
#define STRIDE_SHIFT 13
#define RELAX_FAULTS 1024

uint64_t page_views;

/* Of the page that a view or a snapshot sees. */
struct content {
	struct watched *watched; /* whose page it is now, or */
	const void *saved;	 /* a version; both NULL: zeros */
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

static struct content content_now(struct watched *w, uint64_t page)
{
	bool hole = page >= w->pages || is_hole(w, page);

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
		struct watched *w = history_owner(snapshot);
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

/*
 * Where its memory can be read: in a mapping of the program's if there is one,
 * whose page tables are there already; but not a view's, for where somebody has
 * just taken a page away the engine would wait for itself.
 */
static const char *readable(struct watched *w, uint64_t page)
{
	const struct watch_mapping *m =
		w->present || w->fd ? NULL : watch_of(w, page);

	return m ? (char *)m->start + (page - m->first) * PAGE_BYTES
		 : w->at + page * PAGE_BYTES;
}

/* Somebody may have cut the object, or forbidden to read it where it is. */
static void read_now(struct watched *w, uint64_t page, void *to)
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
	if (w->notify && !w->notified)
		sys_write(w->notify, "", 1);
	w->notified = true;
}

void page_unnotify(struct watched *w)
{
	char byte;

	if (w->notify && w->notified)
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

/* One, or twice as many as the last time where the writes go on in a row. */
static uint64_t stride_at(struct watched *w, uint64_t page, uint64_t most)
{
	w->stride = w->stride && page == w->next_page ? w->stride * 2 : 1;
	if (w->stride > most)
		w->stride = most;
	return w->stride;
}

/*
 * Pages to lift at once where nobody wants to know.  One, so that the next fork
 * or snapshot need not protect all anew; more where the writes go on in a row;
 * and who goes on writing anywhere is to be left alone in the end.
 */
static uint64_t stride_of(struct watched *w, uint64_t page)
{
	uint64_t often = w->faults / STRIDE_FAULTS;
	uint64_t least = UINT64_C(1)
			 << (often < STRIDE_SHIFT ? often : STRIDE_SHIFT);
	uint64_t stride = stride_at(w, page, STRIDE_MAX);

	return stride > least ? stride : least;
}

#define BLOCK_PAGES (COW_BLOCK_BYTES / PAGE_BYTES)
#define BLOCKS_MAX 16 /* in a row */

/* Pages from FROM on that a lazy copy is given at once: blocks without holes.
 */
static uint64_t give_blocks(struct watched *w, uint64_t from, uint64_t blocks)
{
	uint64_t to = from + BLOCK_PAGES;

	for (; --blocks && to < w->pages &&
	       !lazy_has_holes(w->sink, to * PAGE_BYTES);
	     to += BLOCK_PAGES)
		lazy_yield(w, to * PAGE_BYTES, (to + 1) * PAGE_BYTES);
	return to;
}

/* PAGE, at ADDR in M, was given to lazy copies, and what is given along with it
 * goes through at once: more where the writes go on in a row. */
static void lift_blocks(const struct watch_mapping *m, uintptr_t addr,
			uint64_t page)
{
	struct watched *w = m->watched;
	uint64_t from = page - page % BLOCK_PAGES;
	uint64_t last = m->first + (m->end - m->start) / PAGE_BYTES;
	uint64_t to;

	if (lazy_has_holes(w->sink, page * PAGE_BYTES)) {
		watch_lift(w, addr, 1);
		return;
	}
	to = give_blocks(w, from, stride_at(w, from, BLOCKS_MAX));
	w->next_page = to;
	if (from < m->first)
		from = m->first;
	if (to > last)
		to = last;
	watch_lift(w, m->start + (from - m->first) * PAGE_BYTES, to - from);
}

void snapshot_save(const struct watch_mapping *m, uintptr_t addr)
{
	struct watched *w = m->watched;
	uint64_t page = m->first + (addr - m->start) / PAGE_BYTES;
	uint64_t stride;
	uint64_t n;

	if (w->sink)
		lazy_yield(w, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
	if (w->history.newest) {
		page_save(w, page);
		watch_lift(w, addr, 1);
		return;
	}
	if (w->sink) {
		lift_blocks(m, addr, page);
		return;
	}
	n = (m->end - page_down(addr)) / PAGE_BYTES;
	stride = stride_of(w, page);
	n = n < stride ? n : stride;
	watch_lift(w, addr, n);
	w->next_page = page + n;
	w->faults++;
}

static const char zeros[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

/* FROM's page at TO, in a mapping of W. */
static long put_page(const struct watched *w, uintptr_t to, const void *from)
{
	return w->armed ? uffd_copy_protected(engine_uffd, to, (uintptr_t)from,
					      PAGE_BYTES)
			: uffd_copy(engine_uffd, to, (uintptr_t)from,
				    PAGE_BYTES);
}

/* Put C there.  False: there is no memory; *GONE: nobody waits there now. */
static bool put(const struct watched *w, uintptr_t to, const struct content *c,
		bool *gone)
{
	const char *from = c->saved;
	long done;

	if (c->watched)
		from = readable(c->watched, c->page);
	do {
		done = -EFAULT;
		if (from)
			done = put_page(w, to, from);
		if (done == -EFAULT && c->watched)
			done = put_page(w, to,
					c->watched->at + c->page * PAGE_BYTES);
		if (done == -EFAULT)
			done = put_page(w, to, zeros);
	} while (done == -EAGAIN);
	*gone = done == -ENOENT || done == -ESRCH;
	return *gone || !sys_failed(done) || done == -EEXIST;
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

void page_fill_owed(void)
{
	for (size_t i = 0; i < owed.n; i++)
		page_fill_plainly(COW_AT(&owed, owed_page, i)->watched,
				  COW_AT(&owed, owed_page, i)->page);
	owed.n = 0;
}

static void fill(struct watched *w, uint64_t page, uintptr_t addr)
{
	/* it had one, and the program took it away */
	struct content c = bit_get(w->present, page)
				   ? (struct content){.page = page}
				   : content_of(w->source, page);
	bool gone;

	while (!put(w, page_down(addr), &c, &gone))
		sys_yield();
	if (!gone && (!engine_held || !owe(w, page)))
		page_own(w, page);
}

void page_own(struct watched *w, uint64_t page)
{
	if (!w->present || bit_get(w->present, page))
		return;
	bit_set(w->present, page);
	page_views++;
}

/* Whoever looks sees nothing, and waits, or all. */
void page_fill_plainly(struct watched *w, uint64_t page)
{
	const struct watch_mapping *m =
		engine_uffd >= 0 ? watch_of(w, page) : NULL;
	struct content c = content_of(w->source, page);
	bool gone = !m;

	while (m &&
	       !put(w, m->start + (page - m->first) * PAGE_BYTES, &c, &gone))
		sys_yield();
	if (gone)
		read_content(&c, w->at + page * PAGE_BYTES);
	page_own(w, page);
}

/* A page of zeros, of which nobody is told more. */
static void touch_hole(struct watched *w, uintptr_t addr, uint64_t page)
{
	if (w->sink)
		lazy_yield(w, page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
	page_save(w, page);
	if (!w->sink && !w->history.newest && ++w->faults >= RELAX_FAULTS)
		watch_relax(w);
	else
		watch_make_page(w, addr);
}

void snapshot_fill(const struct watch_mapping *m, uintptr_t addr)
{
	struct watched *w = m->watched;
	uint64_t page = m->first + (addr - m->start) / PAGE_BYTES;

	if (w->present) {
		/* a write that needs saving will be told again */
		fill(w, page, addr);
		watch_wake_page(m, addr);
	} else if (!engine_held) { /* else who waits is woken when that ends */
		touch_hole(w, addr, page);
	}
}
