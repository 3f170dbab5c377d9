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

#define BLOCK_FAULTS 1024 /* after so many it doubles */
#define BLOCK_SHIFT 13	  /* of the largest, in pages */
#define ROW_SHIFT 8	  /* and of those that go on in a row, or are copied */
#define ROW_MAX (UINT64_C(1) << ROW_SHIFT)
#define RELAX_FAULTS 1024
#define OWED_MAX 512

uint64_t page_views;

/* Of the page that a view or a snapshot sees. */
struct content {
	struct watched *watched; /* whose page it is now, or */
	const void *saved;	 /* a version; both NULL: zeros */
	uint64_t page;
};

/* What a page was --------------------------------------------------------- */

/* How many of W's N pages from PAGE on are there, in a row: to read a hole
 * would make a page of it.  So many that are looked at. */
static uint64_t pages_in_a_row(const struct watched *w, uint64_t page,
			       uint64_t n)
{
	unsigned char there[ROW_MAX];
	uint64_t i = 0;

	n = n < ROW_MAX ? n : ROW_MAX;
	cow_there(w->at + page * PAGE_BYTES, w->fd ? w->fd : -1,
		  page * PAGE_BYTES, n, there);
	while (i < n && there[i] & 1)
		i++;
	return i;
}

static struct content content_now(struct watched *w, uint64_t page)
{
	bool hole = page >= w->pages || !pages_in_a_row(w, page, 1);

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

/* Pages [from, to) of an object. */
struct pages {
	uint64_t from;
	uint64_t to;
};

/*
 * What to lift along with PAGE where nobody wants to know.  Nothing, so that
 * the next fork or snapshot need not protect all anew; more where the writes go
 * on in a row; and who goes on writing anywhere is to be left alone in the end.
 */
static struct pages around(struct watched *w, uint64_t page)
{
	uint64_t often = w->faults++ / BLOCK_FAULTS;
	uint64_t most = w->sink ? ROW_SHIFT : BLOCK_SHIFT;
	uint64_t block = UINT64_C(1) << (often < most ? often : most);
	struct pages p = {page - page % block, page - page % block + block};

	w->row = w->row && page == w->next_page ? w->row * 2 : 1;
	if (w->row > ROW_MAX)
		w->row = ROW_MAX;
	if (w->row > block)
		p = (struct pages){page, page + w->row};
	if (p.to > w->pages)
		p.to = w->pages;
	return p;
}

/* Give lazy copies P, of which PAGE is asked for, up to the first hole, for
 * that would become a page.  Returns what was given. */
static struct pages give(struct watched *w, uint64_t page, struct pages p)
{
	p.to = p.from + pages_in_a_row(w, p.from, p.to - p.from);
	if (page >= p.to)
		p = (struct pages){page, page + 1};
	lazy_yield(w, p.from * PAGE_BYTES, p.to * PAGE_BYTES);
	return p;
}

void snapshot_save(const struct watch_mapping *m, uintptr_t addr)
{
	struct watched *w = m->watched;
	uint64_t page = m->first + (addr - m->start) / PAGE_BYTES;
	struct pages p = {page, page + 1};

	if (!w->history.newest)
		p = around(w, page);
	if (w->sink)
		p = give(w, page, p);
	if (w->history.newest)
		page_save(w, page);
	watch_lift(m, page, p.from, p.to);
	w->next_page = p.to;
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

/*
 * Pages put while a fork is under way: the child's copy may not have them.  It
 * gets this as it is at any moment, so that a page is counted when it is noted.
 */
static struct owed_page {
	struct watched *watched;
	uint64_t page;
} owed[OWED_MAX];
static size_t n_owed;

static void owe(struct watched *w, uint64_t page)
{
	owed[n_owed] = (struct owed_page){w, page};
	__atomic_store_n(&n_owed, n_owed + 1, __ATOMIC_RELEASE);
}

void page_own_owed(void)
{
	for (size_t i = 0; i < n_owed; i++)
		page_own(owed[i].watched, owed[i].page);
	n_owed = 0;
}

void page_fill_owed(void)
{
	for (size_t i = 0; i < n_owed; i++)
		page_fill_plainly(owed[i].watched, owed[i].page);
	n_owed = 0;
}

/* False: a fork is under way, and there has been too much of it. */
static bool fill(struct watched *w, uint64_t page, uintptr_t addr)
{
	/* it had one, and the program took it away */
	struct content c = bit_get(w->present, page)
				   ? (struct content){.page = page}
				   : content_of(w->source, page);
	bool gone;

	if (engine_held && n_owed == OWED_MAX)
		return false;
	while (!put(w, page_down(addr), &c, &gone))
		sys_yield();
	watch_protect(w, page);
	if (gone)
		return true;
	if (engine_held)
		owe(w, page);
	else
		page_own(w, page);
	return true;
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
	else
		watch_protect(w, page);
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
		/* a write that needs saving will be told again; who is not
		 * woken is when the fork ends */
		if (fill(w, page, addr))
			watch_wake_page(m, addr);
	} else if (!engine_held) { /* else who waits is woken when that ends */
		touch_hole(w, addr, page);
	}
}
