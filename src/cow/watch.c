/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watched objects; see watch.h.
 *
 * Their mappings are in one array in order of addresses, so that a fault finds
 * its own by bisection, and those of each object in a list.
 */
#include "cow/watch.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "cow/engine.h"
#include "cow/plan.h"
#include "track/share.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* The part of M that shows pages [FROM, TO) of its object; empty: none. */
static struct uffd_range part(const struct watch_mapping *m, uint64_t from,
			      uint64_t to)
{
	uint64_t last = m->first + (m->end - m->start) / PAGE_BYTES;

	if (from < m->first)
		from = m->first;
	if (to > last)
		to = last;
	if (from >= to)
		return (struct uffd_range){0, 0};
	return (struct uffd_range){
		m->start + (from - m->first) * PAGE_BYTES,
		m->start + (to - m->first) * PAGE_BYTES,
	};
}

static unsigned mode_of(const struct watched *w)
{
	return UFFD_WRITES | (w->present || w->fd ? UFFD_MISSING : 0);
}

static struct uffd_range all_of(const struct watch_mapping *m)
{
	return (struct uffd_range){m->start, m->end};
}

/* ------------------------------------------------------------------------- */

/* Protect pages [FROM, TO) in every mapping. */
static long protect_pages(const struct watched *w, uint64_t from, uint64_t to)
{
	for (const struct watch_mapping *m = w->mappings; m; m = m->next) {
		struct uffd_range range = part(m, from, to);
		long result =
			range.end ? uffd_protect_vmas(engine_uffd, range) : 0;

		if (sys_failed(result) && result != -ENOENT)
			return result;
	}
	return 0;
}

/*
 * The kernel needs some 40 ns a page, each time it protects one: it is asked on
 * several processors at once.
 */
#define PIECE_PAGES 4096
#define HELPERS 3

static struct {
	const struct watched *watched;
	uint64_t next; /* page */
	int result;
	struct thread helper[HELPERS];
} job;

static void protect_pieces(void *arg)
{
	const struct watched *w = job.watched;
	uint64_t from;

	(void)arg;
	while ((from = __atomic_fetch_add(&job.next, PIECE_PAGES,
					  __ATOMIC_RELAXED)) < w->pages) {
		long result = protect_pages(w, from, from + PIECE_PAGES);

		if (sys_failed(result))
			__atomic_store_n(&job.result, (int)result,
					 __ATOMIC_RELAXED);
	}
}

static unsigned processors(void)
{
	uint64_t set[16] = {0};
	unsigned n = 0;

	sys_call(SYS_sched_getaffinity, 0, sizeof(set), (long)set, 0, 0, 0);
	for (size_t i = 0; i < 16; i++)
		n += (unsigned)__builtin_popcountll(set[i]);
	return n;
}

static int protect_all(const struct watched *w)
{
	unsigned helpers = w->pages > 4 * PIECE_PAGES ? processors() : 1;

	job.watched = w;
	job.next = 0;
	job.result = 0;
	for (unsigned i = 0; i + 1 < helpers && i < HELPERS; i++)
		thread_start_helper(&job.helper[i], protect_pieces, NULL);
	protect_pieces(NULL);
	for (unsigned i = 0; i < HELPERS; i++)
		thread_wait(&job.helper[i]);
	return job.result;
}

/* What there is of W's object, and holes fault. */
static int protect_data(const struct watched *w)
{
	uint64_t size = w->pages * PAGE_BYTES;
	long from = 0;
	long to;

	while ((from = sys_call(SYS_lseek, w->fd, from, SEEK_DATA, 0, 0, 0)) >=
		       0 &&
	       (uint64_t)from < size) {
		long result;

		to = sys_call(SYS_lseek, w->fd, from, SEEK_HOLE, 0, 0, 0);
		if (to <= from)
			return to < 0 ? (int)to : -EIO;
		result = protect_pages(w, (uint64_t)from / PAGE_BYTES,
				       page_up((uintptr_t)to) / PAGE_BYTES);
		if (sys_failed(result))
			return (int)result;
		from = to;
	}
	return from == -ENXIO || from >= 0 ? 0 : (int)from;
}

/* What view W has: where it has nothing all touching faults. */
static int protect_present(const struct watched *w)
{
	uint64_t from = 0;
	uint64_t to;

	while ((from = bit_next(w->present, from, w->pages, true)) < w->pages) {
		long result;

		to = bit_next(w->present, from, w->pages, false);
		result = protect_pages(w, from, to);
		if (sys_failed(result))
			return (int)result;
		from = to;
	}
	return 0;
}

void watch_protect(const struct watched *w, uint64_t page)
{
	if (w->armed && w->mappings->next)
		protect_pages(w, page, page + 1);
}

static int arm_all(struct watched *w)
{
	int result = w->fd	  ? protect_data(w)
		     : w->present ? protect_present(w)
				  : protect_all(w);

	if (result)
		return result;
	memset(w->loose, 0, watch_bits_bytes(w));
	w->armed = true;
	return 0;
}

/* Holes fault again. */
static void register_again(struct watched *w)
{
	for (const struct watch_mapping *m = w->mappings; m; m = m->next)
		uffd_register(engine_uffd, all_of(m), mode_of(w));
	w->is_relaxed = false;
}

/* A mode cannot be taken back but with all others. */
void watch_relax(struct watched *w)
{
	for (const struct watch_mapping *m = w->mappings; m; m = m->next) {
		uffd_unregister(engine_uffd, all_of(m));
		uffd_register(engine_uffd, all_of(m), UFFD_WRITES);
	}
	w->is_relaxed = true;
	w->armed = false;
}

int watch_arm(struct watched *w)
{
	uint64_t from = 0;
	uint64_t to;

	w->faults = 0;
	if (w->is_relaxed)
		register_again(w);
	if (!w->armed || bits_count(w->loose, w->pages) > w->pages / 2)
		return arm_all(w);
	while ((from = bit_next(w->loose, from, w->pages, true)) < w->pages) {
		long result;

		to = bit_next(w->loose, from, w->pages, false);
		result = protect_pages(w, from, to);
		if (sys_failed(result))
			return (int)result;
		bits_clear(w->loose, from, to);
		from = to;
	}
	return 0;
}

void watch_lift(const struct watch_mapping *m, uint64_t page, uint64_t from,
		uint64_t to)
{
	struct uffd_range range = part(m, from, to);

	for (uint64_t i = from; i < to; i++)
		bit_set(m->watched->loose, i);
	/* kernels before 6.5 take one VMA at a time; who waits looks again */
	if (!uffd_lift(engine_uffd, range))
		return;
	range = part(m, page, page + 1);
	if (uffd_lift(engine_uffd, range))
		uffd_wake(engine_uffd, range);
}

void watch_make_page(struct watched *w, uintptr_t addr)
{
	const struct watch_mapping *m = watch_at(addr);
	uintptr_t page = page_down(addr);

	bit_set(w->loose, m->first + (page - m->start) / PAGE_BYTES);
	while (uffd_zero(engine_uffd, page, PAGE_BYTES) == -ENOMEM)
		sys_yield();
	uffd_wake(engine_uffd, (struct uffd_range){page, page + PAGE_BYTES});
}

void watch_wake_page(const struct watch_mapping *m, uintptr_t addr)
{
	uintptr_t page = page_down(addr);

	uffd_wake(engine_uffd, (struct uffd_range){page, page + PAGE_BYTES});
	if (m->watched->mappings->next)
		watch_wake(m->watched,
			   m->first + (page - m->start) / PAGE_BYTES, 1);
}

void watch_wake(const struct watched *w, uint64_t page, uint64_t pages)
{
	for (const struct watch_mapping *m = w->mappings; m; m = m->next) {
		struct uffd_range range = part(m, page, page + pages);

		if (range.end)
			uffd_wake(engine_uffd, range);
	}
}

/* Mappings ---------------------------------------------------------------- */

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
static int meet(const struct watch_mapping *m)
{
	struct uffd_range range = all_of(m);
	long result;

	if (engine_uffd < 0) /* later, all at once */
		return 0;
	result = uffd_register(engine_uffd, range, mode_of(m->watched));

	/* one of a descriptor that only reads will never be written */
	if (result == -EPERM && !m->watched->present)
		return 0;
	if (!sys_failed(result) && m->watched->armed)
		result = m->watched->fd ? protect_data(m->watched)
			 : m->watched->present
				 ? protect_present(m->watched)
				 : uffd_protect_vmas(engine_uffd, range);
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
			protect_pages(w, from, to);
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

/* Those of W that are no more, or not as they were. */
static void erase_old(struct watched *w)
{
	struct watch_mapping **at = &w->mappings;

	while (*at)
		if (is_still(*at))
			at = &(*at)->next;
		else
			erase(at);
}

/*
 * Whether what begins or ends where M does is W's too.  Where mremap(2) moves a
 * mapping beside another that goes on as it does the kernel makes one VMA of
 * both, and takes all of that from the userfaultfd (6.18 still does).
 */
static bool touches(const struct watched *w, const struct watch_mapping *m)
{
	const struct watch_mapping *before = watch_at(m->start - 1);
	const struct watch_mapping *after = watch_at(m->end);

	return (before && before->watched == w) ||
	       (after && after->watched == w);
}

static int meet_all(const struct watched *w)
{
	int result = 0;

	for (const struct watch_mapping *m = w->mappings; !result && m;
	     m = m->next)
		result = meet(m);
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
	result = meet(&m);
	if (!result && w->present)
		empty(w, &m);
	else if (!result && !w->is_whole)
		result = keep(w, s);
	if (result)
		erase(&w->mappings); /* it came first */
	*again |= touches(w, &m);
	return result;
}

int watch_follow(struct watched *w)
{
	uint32_t left = share_object_at(w->object)->mappings;
	const struct share *s = left == 1 ? share_of(w->object) : NULL;
	bool again = false;
	int result = 0;

	erase_old(w);
	if (s)
		return follow(w, s, &again);
	for (uintptr_t at = 0; !result && left && (s = share_at_or_above(at));
	     at = s->end) {
		if (s->object != w->object)
			continue;
		result = follow(w, s, &again);
		left--;
	}
	return result || !again ? result : meet_all(w);
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
