/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watched objects, and what of them is protected; see watch.h.
 */
#include "cow/watch.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "cow/engine.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

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

unsigned watch_mode(const struct watched *w)
{
	return UFFD_WRITES | (w->present || w->fd ? UFFD_MISSING : 0);
}

/* Protect pages [FROM, TO) in every mapping. */
long watch_protect_pages(const struct watched *w, uint64_t from, uint64_t to)
{
	for (const struct watch_mapping *m = w->mappings; m; m = m->next) {
		struct uffd_range range = part(m, from, to);
		long result = range.end && !m->only_reads
				      ? uffd_protect_vmas(engine_uffd, range)
				      : 0;

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
		long result = watch_protect_pages(w, from, from + PIECE_PAGES);

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
		result = watch_protect_pages(w, (uint64_t)from / PAGE_BYTES,
					     page_up((uintptr_t)to) /
						     PAGE_BYTES);
		if (sys_failed(result))
			return (int)result;
		from = to;
	}
	return from == -ENXIO || from >= 0 ? 0 : (int)from;
}

/* Pages of SET. */
static int protect_set(const struct watched *w, const uint64_t *set)
{
	uint64_t from = 0;
	uint64_t to;

	while ((from = bit_next(set, from, w->pages, true)) < w->pages) {
		long result;

		to = bit_next(set, from, w->pages, false);
		result = watch_protect_pages(w, from, to);
		if (sys_failed(result))
			return (int)result;
		from = to;
	}
	return 0;
}

int watch_protect_new(const struct watched *w, const struct watch_mapping *m)
{
	if (w->fd)
		return protect_data(w);
	if (w->present) /* where it has nothing all touching faults */
		return protect_set(w, w->present);
	return m ? (int)uffd_protect_vmas(engine_uffd, watch_range(m))
		 : protect_all(w);
}

void watch_protect(const struct watched *w, uint64_t page)
{
	if (w->armed && w->mappings->next)
		watch_protect_pages(w, page, page + 1);
}

/* Holes fault again. */
static void register_again(struct watched *w)
{
	for (const struct watch_mapping *m = w->mappings; m; m = m->next)
		uffd_register(engine_uffd, watch_range(m), watch_mode(w));
	w->is_relaxed = false;
}

/* A mode cannot be taken back but with all others. */
void watch_relax(struct watched *w)
{
	for (const struct watch_mapping *m = w->mappings; m; m = m->next) {
		uffd_unregister(engine_uffd, watch_range(m));
		uffd_register(engine_uffd, watch_range(m), UFFD_WRITES);
	}
	w->is_relaxed = true;
	w->armed = false;
}

int watch_arm(struct watched *w)
{
	int result;

	w->faults = 0;
	if (w->is_relaxed)
		register_again(w);
	if (!w->armed || bits_count(w->loose, w->pages) > w->pages / 2)
		result = watch_protect_new(w, NULL);
	else
		result = protect_set(w, w->loose);
	if (result)
		return result;
	memset(w->loose, 0, watch_bits_bytes(w));
	w->armed = true;
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
