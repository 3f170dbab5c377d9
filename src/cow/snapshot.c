/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Snapshots and views; see snapshot.h.
 */
#include "cow/snapshot.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cow/cow.h"
#include "cow/engine.h"
#include "cow/history.h"
#include "cow/lazy.h"
#include "cow/snapshot_page.h"
#include "track/own.h"
#include "track/share.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Memory ------------------------------------------------------------------ */

/* For each page of each object that has snapshots may be saved in this epoch,
 * and all of MORE in the next. */
static uint64_t versions_wanted(const struct watched *more)
{
	struct history_counts counts = history_counts();

	return counts.versions + counts.pages +
	       (more->history.newest ? 0 : more->pages);
}

/* Snapshots --------------------------------------------------------------- */

/* Who holds a snapshot: as many views, and the program. */
static uint32_t *holders; /* by the snapshot's index */
#define BY_PROGRAM (UINT32_C(1) << 31)
static size_t holders_bytes;

static int hold_room(uint32_t snapshot)
{
	size_t need = page_up((snapshot + 1) * sizeof(*holders));
	long p;

	if (need <= holders_bytes)
		return 0;
	need *= 2;
	p = holders ? sys_mremap(holders, holders_bytes, need, MREMAP_MAYMOVE,
				 NULL)
		    : sys_mmap_private(need);
	if (sys_failed(p))
		return -ENOMEM;
	holders = (uint32_t *)p;
	holders_bytes = need;
	return 0;
}

/* A child that knows nothing of its parent's snapshots. */
static bool lost;

uint32_t snapshot_slot(snapshot_id id)
{
	uint32_t slot = (uint32_t)id;

	return !lost && history_is(slot, (uint32_t)(id >> 32)) &&
			       holders[slot] & BY_PROGRAM
		       ? slot
		       : 0;
}

/* Without SNAPSHOT, and what was kept for it alone. */
static void let_go(uint32_t snapshot)
{
	while (snapshot && !--holders[snapshot]) {
		struct watched *w = history_owner(snapshot);

		history_drop(&w->history, snapshot);
		/* its object stays watched while it is mapped: the next one
		 * then costs what was written meanwhile */
		snapshot = watched_is_unused(w) ? watched_end(w) : 0;
	}
}

struct taking {
	struct watched *w;
	uint64_t wanted; /* versions, more than there is room for; 0: done */
	uint32_t snapshot;
};

static int take(void *arg)
{
	struct taking *t = arg;
	int result;

	t->wanted = versions_wanted(t->w);
	if (t->wanted > history_counts().room)
		return 0;
	t->wanted = 0;
	result = watch_arm(t->w);
	if (result)
		return result == -ENOMEM ? -ENOMEM : -EPERM;
	page_unnotify(t->w);
	t->snapshot = history_take(&t->w->history, t->w);
	holders[t->snapshot] = BY_PROGRAM;
	return 0;
}

/* Huge pages would hold what no version does. */
static void name_reserved(uintptr_t start, uintptr_t end)
{
	sys_madvise((void *)start, end - start, MADV_NOHUGEPAGE);
	own_snapshots(start, end);
}

static int reserve(uint64_t versions)
{
	int result = history_reserve(versions);

	own_flush();
	history_reserved(name_reserved);
	return result;
}

int snapshot_fit(struct watched *w, uint64_t size, int fd)
{
	uint64_t pages = page_up(size) / PAGE_BYTES;
	int result = 0;

	if (w->history.newest && pages > w->pages)
		result = reserve(versions_wanted(w) + pages - w->pages);
	return result ? result : watched_fit(w, size, fd);
}

int snapshot_take(uint32_t object, uint64_t size, int fd, snapshot_id *id)
{
	struct taking t = {0};
	const struct share *s = share_at_or_above((uintptr_t)&t);
	int result = lost ? -EPERM : engine_start();

	/* this thread's stack is no memory to take one of */
	if (s && s->start <= (uintptr_t)&t && s->object == object)
		return -EINVAL;
	if (share_object_at(object)->flags & OBJECT_HUGE)
		return -EINVAL;

	if (!result && !watched_of(object))
		watched_sweep();
	if (!result)
		result = watched_get(object, size, fd, &t.w);
	if (!result)
		result = snapshot_fit(t.w, size, fd);
	if (!result)
		result = reserve(0);
	if (!result)
		result = hold_room((uint32_t)history_counts().snapshots + 1);
	if (result)
		return result;
	result = engine_call(take, &t);
	while (!result && t.wanted) {
		result = reserve(t.wanted);
		if (!result)
			result = engine_call(take, &t);
	}
	if (!result)
		*id = (uint64_t)history_serial(t.snapshot) << 32 | t.snapshot;
	return result;
}

static int release(void *arg)
{
	uint32_t slot = snapshot_slot(*(const snapshot_id *)arg);

	holders[slot] -= BY_PROGRAM - 1; /* one holder like others, the last */
	let_go(slot);
	return 0;
}

int snapshot_release(snapshot_id id)
{
	if (!snapshot_slot(id))
		return -EINVAL;
	return engine_call(release, &id);
}

uint64_t snapshot_bytes(snapshot_id id)
{
	uint32_t slot = snapshot_slot(id);

	return slot ? history_pages(slot) * PAGE_BYTES : 0;
}

/* Views ------------------------------------------------------------------- */

struct viewing {
	struct watched *w;
	snapshot_id id;
};

static int view(void *arg)
{
	struct viewing *v = arg;
	struct watched *w = v->w;
	int result;

	w->source = snapshot_slot(v->id);
	if (!w->source)
		return -EINVAL;
	result = watched_begin(w);
	if (result)
		return result;
	holders[w->source]++;
	/* the right to see who touches it is gone, but no snapshot is */
	for (uint64_t i = 0; engine_uffd < 0 && i < w->pages; i++)
		page_fill_plainly(w, i);
	return 0;
}

int snapshot_view(snapshot_id id, uint32_t object, void *at)
{
	struct viewing v = {.id = id};
	int result = engine_start();
	long p;

	if (result && result != -EPERM)
		return result;
	if (!snapshot_slot(id)) /* another thread has released it */
		return -EINVAL;
	v.w = watched_new(object, snapshot_bytes(id), true, -1);
	if (!v.w)
		return -ENOMEM;
	p = sys_mremap(at, 0, v.w->pages * PAGE_BYTES,
		       MREMAP_MAYMOVE | MREMAP_FIXED, v.w->at);
	result = sys_failed(p) ? -ENOMEM : engine_call(view, &v);
	if (result) {
		watched_free(v.w);
		return result;
	}
	share_mark(object, OBJECT_WATCHED, 0);
	return 0;
}

/* What the program did to the mappings of an object. */
struct following {
	struct watched *w;
	const struct share_place *places;
};

static int follow(void *arg)
{
	const struct following *f = arg;
	int result = 0;

	for (size_t i = 0; !result && i < SHARE_PLACES; i++)
		if (f->places[i].to)
			result = watch_follow(f->w, &f->places[i]);
	if (watched_is_unused(f->w))
		let_go(watched_end(f->w));
	return result;
}

static void followed(uint32_t object, const struct share_place *places)
{
	static bool said;
	struct following f = {watched_of(object), places};

	if (engine_held) /* a child, which has no engine yet; see below */
		return;
	if (f.w && engine_call(follow, &f))
		log_once(&said,
			 "snapshots: new mappings of their memory cannot be "
			 "watched; what is written there shows up in them");
}

void snapshot_start(void)
{
	share_set_follower(followed);
}

/* What is written otherwise ----------------------------------------------- */

struct preserving {
	struct watched *w;
	uint64_t from;
	uint64_t to;
	bool removes;
};

static int preserve(void *arg)
{
	const struct preserving *p = arg;
	struct watched *w = p->w;
	uint64_t to = p->to < w->pages ? p->to : w->pages;

	if (w->sink)
		lazy_yield(w, p->from * PAGE_BYTES, to * PAGE_BYTES);
	for (uint64_t page = p->from; page < to; page++) {
		page_save(w, page);
		if (!p->removes)
			page_own(w, page);
	}
	return 0;
}

/* What has gone took its protection along. */
static int removed(void *arg)
{
	const struct preserving *p = arg;

	for (uint64_t page = p->from; page < p->to && page < p->w->pages;
	     page++) {
		page_own(p->w, page);
		bit_set(p->w->loose, page);
	}
	return 0;
}

static struct preserving pages_of(uint32_t object, uint64_t from, uint64_t to)
{
	return (struct preserving){
		.w = watched_of(object),
		.from = from / PAGE_BYTES,
		.to = page_up(to) / PAGE_BYTES,
	};
}

int snapshot_preserve(uint32_t object, uint64_t from, uint64_t to, bool removes)
{
	struct preserving p = pages_of(object, from, to);

	p.removes = removes;
	return p.w ? engine_call(preserve, &p) : 0;
}

void snapshot_removed(uint32_t object, uint64_t from, uint64_t to)
{
	struct preserving p = pages_of(object, from, to);

	if (p.w)
		engine_call(removed, &p);
}

void snapshot_grown(uint32_t object, int fd, uint64_t to, bool written)
{
	struct watched *w = watched_of(object);
	uint64_t end = w ? w->pages * PAGE_BYTES : to;
	struct sys_object now;

	if (to <= end || sys_failed(sys_object(fd, &now)) || now.size <= end)
		return;
	if (!snapshot_fit(w, now.size, fd) && written)
		snapshot_preserve(object, end, to, false);
}

struct snapshot_sums snapshot_sums(void)
{
	struct snapshot_sums sums = {
		.snapshots = history_counts().snapshots,
		.saved_pages = history_counts().versions,
		.view_pages = page_views,
	};

	for (const struct watched *w = watched_all; w; w = w->next)
		sums.views += w->present != NULL;
	return sums;
}

/* Fork, and what else no thread may be there for -------------------------- */

/* Of a view; else there is nothing to fill. */
static void fill_view(struct watched *w)
{
	uint64_t page = 0;

	while (w->present &&
	       (page = bit_next(w->present, page, w->pages, false)) < w->pages)
		page_fill_plainly(w, page);
}

static int fill_views(void *unused)
{
	(void)unused;
	for (struct watched *w = watched_all; w; w = w->next)
		fill_view(w);
	return 0;
}

void snapshot_fill_views(void)
{
	engine_call(fill_views, NULL);
}

/*
 * Nothing will be told of writes any more: what snapshots see is saved, all of
 * it, and views are filled.
 */
static int save_all(void *unused)
{
	fill_views(unused);
	for (struct watched *w = watched_all; w; w = w->next)
		for (uint64_t page = 0; page < w->pages; page++)
			page_save(w, page);
	return 0;
}

/* The engine's descriptors went with its thread. */
static void fds_forget(void)
{
	for (struct watched *w = watched_all; w; w = w->next)
		w->notify = w->fd = 0;
}

void snapshot_suspend(void)
{
	/* others than the engine and this thread may write meanwhile */
	if (engine_uffd >= 0 && sys_threads() > 1 + cow_threads())
		engine_call(save_all, NULL);
	engine_stop();
	fds_forget();
}

void snapshot_resume(void)
{
	static bool said;

	if (!watched_all || engine_uffd >= 0 || !engine_start())
		return;
	save_all(NULL);
	if (!history_counts().snapshots)
		return;
	log_once(&said, "snapshots: the right to see writes to memory is gone; "
			"all that they show was copied");
}

void snapshot_end(void)
{
	if (engine_uffd < 0)
		return;
	snapshot_suspend();
	save_all(NULL);
}

bool snapshot_any(void)
{
	return watched_all || engine_uffd >= 0;
}

/* Who has his stack there would wait for himself. */
static bool is_on_watched(void)
{
	static bool said;
	char here;

	if (!watch_at((uintptr_t)&here))
		return false;
	log_once(&said, "snapshots: the stack that forks lies in their memory; "
			"what is written meanwhile is not held");
	return true;
}

/* Whether W is a view that a child shares: what is touched there first, and
 * filled by nobody, would be zeros in both. */
static bool is_shared_view(const struct watched *w)
{
	uint32_t flags = share_object_at(w->object)->flags;

	return w->present &&
	       (flags & OBJECT_SHARE || !(flags & OBJECT_PRIVATE));
}

static int fill_shared_views(void *unused)
{
	(void)unused;
	for (struct watched *w = watched_all; w; w = w->next)
		if (is_shared_view(w))
			fill_view(w);
	return 0;
}

int snapshot_hold(void)
{
	bool any = false;

	if (engine_uffd >= 0 && is_on_watched())
		return 0;
	for (const struct watched *w = watched_all; w; w = w->next)
		any |= is_shared_view(w);
	if (any && !engine_held)
		engine_call(fill_shared_views, NULL);
	return engine_hold();
}

/* What a fork may have watched for itself is not the child's. */
static void forget_forks(void)
{
	struct watched *next;

	for (struct watched *w = watched_all; w; w = next) {
		next = w->next;
		w->sink = NULL;
		if (!w->history.newest && !w->present)
			watched_end(w);
	}
}

/* What the child has not got of the mappings, or got anew. */
static void follow_all(void)
{
	struct watched *next;

	share_follow_nothing();
	for (struct watched *w = watched_all; w; w = w->next)
		watch_follow_all(w);
	for (struct watched *w = watched_all; w; w = next) {
		next = w->next;
		if (watched_is_unused(w)) {
			let_go(watched_end(w));
			next = watched_all; /* its source may have gone too */
		}
	}
}

void snapshot_child(void)
{
	engine_forget();
	page_fill_owed();
	lazy_parent_forget();
	fds_forget();
	forget_forks();
	follow_all();
	snapshot_resume();
}

void snapshot_lost(void)
{
	engine_forget();
	lazy_parent_forget();
	watch_forget_all();
	watched_forget_all();
	lost = true;
}
