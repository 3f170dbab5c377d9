/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How an object comes to be watched, and no longer is; see watch.h.
 */
#include "base/fdlist.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/plan.h"
#include "cow/snapshot_page.h"
#include "cow/watch.h"
#include "track/share.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define SPARSE_BYTES (UINT64_C(256) << 20)

struct watched *watched_all;
static struct cow_list by_object; /* struct watched * */

uint64_t *watched_bits(const struct watched *w)
{
	long p = sys_mmap_private(page_up(watch_bits_bytes(w)));

	return sys_failed(p) ? NULL : (uint64_t *)p;
}

void watched_free(struct watched *w)
{
	size_t bits = page_up(watch_bits_bytes(w));

	if (w->at)
		sys_munmap(w->at, w->pages * PAGE_BYTES);
	if (w->loose)
		sys_munmap(w->loose, bits);
	if (w->present)
		sys_munmap(w->present, bits);
	if (w->history.roots)
		history_end(&w->history);
	if (w->notify)
		sys_close(w->notify);
	if (w->fd)
		sys_close(w->fd);
	sys_munmap(w, page_up(sizeof(*w)));
}

/* All of FD's object if there is one, else room for what is mapped. */
static long map_hidden(uint64_t bytes, int fd)
{
	return fd >= 0 ? sys_mmap_empty(bytes, PROT_READ, MAP_SHARED, fd)
		       : sys_mmap(NULL, bytes, PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				  -1, 0);
}

struct watched *watched_new(uint32_t object, uint64_t size, bool is_view,
			    int fd)
{
	long p = sys_mmap_private(sizeof(struct watched));
	struct watched *w = (struct watched *)p;

	if (sys_failed(p))
		return NULL;
	w->object = object;
	w->pages = page_up(size) / PAGE_BYTES;
	w->loose = watched_bits(w);
	if (is_view)
		w->present = watched_bits(w);
	p = map_hidden(w->pages * PAGE_BYTES, fd);
	w->is_whole = fd >= 0;
	w->at = sys_failed(p) ? NULL : (char *)p;
	if (w->loose && (!is_view || w->present) && w->at &&
	    !history_init(&w->history, w->pages))
		return w;
	watched_free(w);
	return NULL;
}

static struct watched **slot(uint32_t object)
{
	return &((struct watched **)by_object.at)[object];
}

struct watched *watched_of(uint32_t object)
{
	return object < by_object.n ? *slot(object) : NULL;
}

static bool link(struct watched *w)
{
	while (by_object.n <= w->object) {
		struct watched **next = cow_list_add(&by_object, sizeof(w));

		if (!next)
			return false;
		*next = NULL;
	}
	*slot(w->object) = w;
	w->next = watched_all;
	if (w->next)
		w->next->previous = w;
	watched_all = w;
	return true;
}

static void unlink(const struct watched *w)
{
	*slot(w->object) = NULL;
	*(w->previous ? &w->previous->next : &watched_all) = w->next;
	if (w->next)
		w->next->previous = w->previous;
}

void watched_forget_all(void)
{
	watched_all = NULL;
	by_object.n = 0;
}

uint32_t watched_end(struct watched *w)
{
	uint32_t source = w->source;

	unlink(w);
	if (w->present)
		page_views -= bits_count(w->present, w->pages);
	watch_forget(w);
	share_mark(w->object, 0, OBJECT_WATCHED);
	watched_free(w);
	return source;
}

int watched_begin(struct watched *w)
{
	int result = watch_follow_all(w);

	if (!result && !link(w))
		result = -ENOMEM;
	if (result) {
		watch_forget(w);
		return result == -EINVAL  ? -EINVAL
		       : result == -EPERM ? -EPERM
					  : -ENOMEM;
	}
	return 0;
}

struct beginning {
	struct watched *w;
	long tid; /* whose descriptor FD is */
	int fd;	  /* -1: none is needed */
};

static int begin(void *arg)
{
	const struct beginning *b = arg;
	int result;

	if (b->fd >= 0) {
		long fd = fdlist_open(b->tid, b->fd, O_RDONLY);

		b->w->fd = sys_failed(fd) ? 0 : (int)fd;
	}
	result = watched_begin(b->w);
	if (result && b->w->fd) { /* the engine's, not its caller's */
		sys_close(b->w->fd);
		b->w->fd = 0;
	}
	return result;
}

/* Whether FD leads to a large object that has next to no memory. */
static bool is_sparse(int fd)
{
	struct sys_object now;

	return fd >= 0 && !sys_failed(sys_object(fd, &now)) &&
	       now.size >= SPARSE_BYTES && now.held < now.size / 8;
}

bool watched_is_unused(const struct watched *w)
{
	return !w->history.newest && !w->mappings && !w->sink;
}

static int sweep(void *arg)
{
	struct watched *next;

	(void)arg;
	for (struct watched *w = watched_all; w; w = next) {
		next = w->next;
		if (watched_is_unused(w))
			watched_end(w);
	}
	return 0;
}

void watched_sweep(void)
{
	engine_call(sweep, NULL);
}

/* BITS of OLD pages, as so many of W. */
static uint64_t *bits_grown(const struct watched *w, const uint64_t *bits,
			    size_t old_bytes)
{
	uint64_t *to = watched_bits(w);

	if (to)
		memcpy(to, bits, old_bytes);
	return to;
}

/* Several VMAs move at once since 6.17. */
static void move_by_halves(char *from, char *to, size_t bytes)
{
	size_t half = page_down(bytes / 2);

	if (!sys_failed(sys_mremap(from, bytes, bytes,
				   MREMAP_MAYMOVE | MREMAP_FIXED, to)) ||
	    bytes <= PAGE_BYTES)
		return;
	move_by_halves(from, to, half);
	move_by_halves(from + half, to + half, bytes - half);
}

struct growing {
	struct watched *w;
	uint64_t pages;
	char *at;      /* of so many; its caller's, who has a descriptor */
	bool is_whole; /* of that */
};

/* All or nothing. */
static int grow(void *arg)
{
	const struct growing *g = arg;
	struct watched *w = g->w;
	struct watched big = *w;
	size_t old_bytes = watch_bits_bytes(w);

	big.pages = g->pages;
	big.loose = bits_grown(&big, w->loose, old_bytes);
	if (!big.loose || history_grow(&w->history, big.pages)) {
		if (big.loose)
			sys_munmap(big.loose, page_up(watch_bits_bytes(&big)));
		sys_munmap(g->at, big.pages * PAGE_BYTES);
		return -ENOMEM;
	}
	sys_munmap(w->loose, page_up(old_bytes));
	w->loose = big.loose;
	if (!g->is_whole) /* also what is mapped nowhere else any more */
		move_by_halves(w->at, g->at, w->pages * PAGE_BYTES);
	else
		sys_munmap(w->at, w->pages * PAGE_BYTES);
	w->at = g->at;
	w->is_whole = g->is_whole;
	w->pages = big.pages;
	watch_forget(w); /* to keep what they show anew */
	return watch_follow_all(w);
}

int watched_fit(struct watched *w, uint64_t size, int fd)
{
	struct growing g = {
		.w = w,
		.pages = page_up(size) / PAGE_BYTES,
		.is_whole = fd >= 0,
	};
	long p;

	if (w->present || w->sink || g.pages <= w->pages)
		return 0;
	p = map_hidden(g.pages * PAGE_BYTES, fd);
	if (sys_failed(p))
		return -ENOMEM;
	g.at = (char *)p;
	return engine_call(grow, &g);
}

int watched_get(uint32_t object, uint64_t size, int fd, struct watched **to)
{
	struct beginning b = {
		.tid = sys_gettid(),
		.fd = is_sparse(fd) ? fd : -1,
	};
	int result;

	*to = watched_of(object);
	if (*to)
		return 0;
	b.w = *to = watched_new(object, size, false, fd);
	if (!*to)
		return -ENOMEM;
	result = engine_call(begin, &b);
	if (result) {
		watched_free(*to);
		return result;
	}
	share_mark(object, OBJECT_WATCHED, 0);
	return 0;
}
