/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where watched objects are mapped; see watch.h.
 *
 * Their mappings are in one array in order of addresses, so that a fault finds
 * its own by bisection, and those of each object in a list.
 */
#include "cow/watch.h"

#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/list.h"
#include "track/share.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static struct cow_list mappings;     /* struct watch_mapping * */
static struct watch_mapping *unused; /* chained by `next` */

static struct watch_mapping **place(size_t i)
{
	return &((struct watch_mapping **)mappings.at)[i];
}

static struct watch_mapping *mapping(size_t i)
{
	return *place(i);
}

/* The first that ends above ADDR. */
static size_t find(uintptr_t addr)
{
	size_t low = 0;
	size_t high = mappings.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mapping(middle)->end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

const struct watch_mapping *watch_at(uintptr_t addr)
{
	size_t i = find(addr);

	return i < mappings.n && mapping(i)->start <= addr ? mapping(i) : NULL;
}

static bool shows(const struct watch_mapping *m, uint64_t page)
{
	return page >= m->first &&
	       page - m->first < (m->end - m->start) / PAGE_BYTES;
}

const struct watch_mapping *watch_of(struct watched *w, uint64_t page)
{
	if (w->hint && shows(w->hint, page))
		return w->hint;
	for (const struct watch_mapping *m = w->mappings; m; m = m->next)
		if (shows(m, page)) {
			w->hint = m;
			return m;
		}
	return NULL;
}

static struct watch_mapping *mapping_new(void)
{
	const size_t n = PAGE_BYTES / sizeof(struct watch_mapping);
	struct watch_mapping *m = unused;
	long p;

	if (!m) {
		p = sys_mmap_private(PAGE_BYTES);
		if (sys_failed(p))
			return NULL;
		m = (struct watch_mapping *)p;
		for (size_t i = 0; i + 1 < n; i++)
			m[i].next = &m[i + 1];
	}
	unused = m->next;
	return m;
}

static void mapping_free(struct watch_mapping *m)
{
	m->next = unused;
	unused = m;
}

static size_t place_of(const struct watch_mapping *m)
{
	size_t i = find(m->start);

	if (i < mappings.n && mapping(i) == m)
		return i;
	for (i = 0; mapping(i) != m; i++) { /* another was mapped over it */
	}
	return i;
}

/* The one that *AT, in the list of its object, points to. */
static void erase(struct watch_mapping **at)
{
	struct watch_mapping *m = *at;
	size_t i = place_of(m);

	*at = m->next;
	if (m->watched->hint == m)
		m->watched->hint = NULL;
	mappings.n--;
	memmove(place(i), place(i + 1), (mappings.n - i) * sizeof(m));
	mapping_free(m);
}

void watch_forget(struct watched *w)
{
	while (w->mappings)
		erase(&w->mappings);
}

void watch_forget_all(void)
{
	mappings.n = 0;
	unused = NULL;
}

static int insert(const struct watch_mapping *new)
{
	size_t i = find(new->start);
	struct watch_mapping *m = mapping_new();

	if (!m || !cow_list_add(&mappings, sizeof(m))) {
		if (m)
			mapping_free(m);
		return -ENOMEM;
	}
	memmove(place(i + 1), place(i), (mappings.n - 1 - i) * sizeof(m));
	*place(i) = m;
	*m = *new;
	m->next = m->watched->mappings;
	m->watched->mappings = m;
	return 0;
}

/* M is new: where another of the object was is looked at again too. */
static int meet(struct watch_mapping *m)
{
	long result;

	if (engine_uffd < 0) /* later, all at once */
		return 0;
	result = uffd_register(engine_uffd, watch_range(m),
			       watch_mode(m->watched));

	/* one of a descriptor that only reads will never be written */
	m->only_reads = result == -EPERM && !m->watched->present;
	if (m->only_reads)
		return 0;
	if (!sys_failed(result) && m->watched->armed)
		result = watch_protect_new(m->watched, m);
	return sys_failed(result) ? (int)result : 0;
}

/* What of S's object can be read where nobody unmaps it. */
static int keep(const struct watched *w, const struct share *s)
{
	uint64_t offset = s->start + s->delta;
	uint64_t size = w->pages * PAGE_BYTES;
	size_t len = s->end - s->start;
	long p;

	if (offset >= size)
		return 0;
	if (len > size - offset)
		len = size - offset;
	p = sys_mremap((void *)s->start, 0, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		       w->at + offset);
	if (!sys_failed(p))
		p = sys_call(SYS_mprotect, p, (long)len, PROT_READ, 0, 0, 0);
	sys_madvise(w->at + offset, len, MADV_DOFORK);
	return sys_failed(p) ? -ENOMEM : 0;
}

/* What the kernel made of zeros when it mapped M, of memory that is locked or
 * that remap_file_pages(2) turned, would never be filled. */
static void empty(struct watched *w, const struct watch_mapping *m)
{
	uint64_t last = m->first + (m->end - m->start) / PAGE_BYTES;
	uint64_t from = m->first;

	while ((from = bit_next(w->present, from, last, false)) < last) {
		uint64_t to = bit_next(w->present, from, last, true);

		sys_madvise(w->at + from * PAGE_BYTES, (to - from) * PAGE_BYTES,
			    MADV_REMOVE);
		if (w->armed) /* others' protection went with it */
			watch_protect_pages(w, from, to);
		from = to;
	}
}

static bool is_known(const struct watch_mapping *m)
{
	const struct watch_mapping *k = watch_at(m->start);

	return k && k->start == m->start && k->end == m->end &&
	       k->serial == m->serial && k->watched == m->watched;
}

static struct watch_mapping as_mapping(struct watched *w, const struct share *s)
{
	struct watch_mapping m = {
		.start = s->start,
		.end = s->end,
		.first = (s->start + s->delta) / PAGE_BYTES,
		.serial = s->serial,
		.watched = w,
	};
	uint64_t pages = (s->end - s->start) / PAGE_BYTES;

	/* beyond what it was when it was first watched nothing is */
	if (m.first >= w->pages)
		m.end = m.start;
	else if (pages > w->pages - m.first)
		m.end = m.start + (w->pages - m.first) * PAGE_BYTES;
	return m;
}

/* Whether M is as it was. */
static bool is_still(const struct watch_mapping *m)
{
	const struct share *s = share_at_or_above(m->start);
	struct watch_mapping now;

	if (!s || s->object != m->watched->object)
		return false;
	now = as_mapping(m->watched, s);
	return now.start == m->start && now.end == m->end &&
	       now.serial == m->serial;
}

/* Those of W at P that are no more, or not as they were. */
static void erase_old(struct watched *w, const struct share_place *p)
{
	struct watch_mapping **at = &w->mappings;

	while (*at)
		if ((*at)->start > p->to || (*at)->end < p->from ||
		    is_still(*at))
			at = &(*at)->next;
		else
			erase(at);
}

/* Whether B is what comes next behind A, there and in its object. */
static bool goes_on(const struct watch_mapping *a,
		    const struct watch_mapping *b)
{
	return a && b && a->end == b->start && a->watched == b->watched &&
	       a->first + (a->end - a->start) / PAGE_BYTES == b->first;
}

/*
 * Where mremap(2) moves a mapping beside another that goes on as it does the
 * kernel makes one VMA of both, and takes all of that from the userfaultfd
 * (6.18 still does).
 */
static bool is_joined(const struct watch_mapping *m)
{
	return goes_on(watch_at(m->start - 1), m) ||
	       goes_on(m, watch_at(m->end));
}

/* All of W at P, and what may be one VMA with it, once more. */
static int meet_again(const struct watched *w, struct share_place p)
{
	const struct watch_mapping *m = watch_at(p.from);
	int result = 0;

	for (; m && goes_on(watch_at(m->start - 1), m);
	     m = watch_at(m->start - 1))
		p.from = watch_at(m->start - 1)->start;
	for (m = watch_at(p.to - 1); m && goes_on(m, watch_at(m->end));
	     m = watch_at(m->end))
		p.to = watch_at(m->end)->end;
	for (size_t i = find(p.from); !result && i < mappings.n; i++) {
		if (mapping(i)->start >= p.to)
			break;
		if (mapping(i)->watched == w)
			result = meet(mapping(i));
	}
	return result;
}

/* S shows what W is.  AGAIN: what was met before has to be once more. */
static int follow(struct watched *w, const struct share *s, bool *again)
{
	struct watch_mapping m = as_mapping(w, s);
	int result;

	if (m.start == m.end || is_known(&m))
		return 0;
	result = insert(&m);
	if (result)
		return result;
	result = meet(w->mappings); /* it comes first */
	if (!result && w->present)
		empty(w, &m);
	else if (!result && !w->is_whole)
		result = keep(w, s);
	if (result)
		erase(&w->mappings);
	*again |= is_joined(&m);
	return result;
}

int watch_follow(struct watched *w, const struct share_place *p)
{
	uint32_t left = share_object_at(w->object)->mappings;
	const struct share *s = left == 1 ? share_of(w->object) : NULL;
	bool again = false;
	int result = 0;

	erase_old(w, p);
	if (s)
		return follow(w, s, &again);
	for (uintptr_t at = p->from ? p->from - 1 : 0;
	     !result && left && (s = share_at_or_above(at)) &&
	     s->start <= p->to;
	     at = s->end) {
		if (s->object != w->object)
			continue;
		result = follow(w, s, &again);
		left--;
	}
	return result || !again ? result : meet_again(w, *p);
}

int watch_follow_all(struct watched *w)
{
	const struct share_place all = {0, UINTPTR_MAX};

	return watch_follow(w, &all);
}

int watch_register_all(void)
{
	int result = 0;

	for (size_t i = 0; !result && i < mappings.n; i++)
		result = meet(mapping(i));
	for (struct watched *w = watched_all; !result && w; w = w->next)
		if (w->armed)
			memset(w->loose, 0, watch_bits_bytes(w));
	return result;
}
