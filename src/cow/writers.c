/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holding writes of other threads while their memory is copied; see plan.h.
 *
 * Pages are write-protected through userfaultfd, and nobody serves the faults:
 * who writes waits, in the kernel, until the fork is done.
 */
#include "cow/plan.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "cow/engine.h"
#include "cow/snapshot.h"
#include "cow/watch.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/region.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Whether writes through M are to wait here; a lazy copy sees to its own, and
 * so does who watches for snapshots, while it does. */
static bool is_held(const struct cow_plan *plan, const struct cow_map *m)
{
	const struct cow_object *o = COW_OBJECT(plan, m->object);

	return m->prot & PROT_WRITE && !o->lazy &&
	       !(engine_uffd >= 0 && o->id && watched_of(o->id));
}

/*
 * Protect what M shows that is there; what is not is waited for where somebody
 * would make it.  To protect holes takes page tables, of which a large object
 * would need many.
 */
static long hold_data(const struct cow_plan *plan, const struct cow_map *m)
{
	uint64_t start = m->offset;
	uint64_t last = m->offset + (m->end - m->start);
	uint64_t end;
	long result = uffd_register(plan->writers, cow_range(m),
				    UFFD_WRITES | UFFD_MISSING);

	while (!sys_failed(result) && start < last &&
	       (result = cow_extent(plan, m->object, &start, &end)) > 0 &&
	       start < last) {
		uintptr_t from = m->start + (start - m->offset);
		uintptr_t to = m->start + (page_up(end) - m->offset);
		struct uffd_range range = {page_down(from),
					   to < m->end ? to : m->end};

		result = uffd_protect(plan->writers, range);
		start = end;
	}
	return sys_failed(result) ? result : 0;
}

/*
 * Only where a descriptor tells what is there: else the copy may have to read
 * holes, and would wait for itself.
 */
static long hold_map(const struct cow_plan *plan, const struct cow_map *m)
{
	const struct cow_object *o = COW_OBJECT(plan, m->object);
	long result;

	if (o->old >= 0 && !o->huge_bytes && !o->is_full)
		return hold_data(plan, m);
	result = uffd_register(plan->writers, cow_range(m), UFFD_WRITES);
	return sys_failed(result) ? result
				  : uffd_protect(plan->writers, cow_range(m));
}

static long hold(struct cow_plan *plan)
{
	long result = 0;
	long fd = uffd_open();

	if (sys_failed(fd))
		return fd;
	plan->writers = (int)fd;
	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);
		long one = is_held(plan, m) ? hold_map(plan, m) : 0;

		if (sys_failed(one))
			result = one;
	}
	return result;
}

#define WAIT_NS UINT64_C(100000000)
#define PIECES 16

/* Calls that write are counted; a copy waits for them, and they for it. */
static uint32_t freezing;
static uint32_t writing;

bool cow_guards_slowly(int fd)
{
	uint32_t id = guard_open() ? share_object_of(fd) : 0;

	return id && share_is_group(id);
}

static void write_begin(void)
{
	for (;;) {
		__atomic_fetch_add(&writing, 1, __ATOMIC_SEQ_CST);
		if (!__atomic_load_n(&freezing, __ATOMIC_SEQ_CST))
			return;
		__atomic_fetch_sub(&writing, 1, __ATOMIC_RELAXED);
		sys_futex_wait(&freezing, 1, WAIT_NS);
	}
}

/* The kernel has not looked at VEC yet, and N, yet. */
size_t cow_vec_bytes(const struct iovec *vec, long n)
{
	struct iovec some[PIECES];
	size_t sum = 0;

	for (long at = 0; n <= IOV_MAX && at < n; at += PIECES) {
		long left = n - at < PIECES ? n - at : PIECES;
		long bytes = left * (long)sizeof(*vec);

		if (sys_peek(vec + at, some, (size_t)bytes) != bytes)
			return 0; /* nothing will be written */
		for (long i = 0; i < left; i++)
			sum += some[i].iov_len;
	}
	return sum;
}

/* Where a write to FD goes to, that says AT or nothing, -1: what appends does
 * so whatever is said. */
static uint64_t position(int fd, int64_t at)
{
	struct sys_object file;
	long flags = sys_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);

	if (((!sys_failed(flags) && flags & O_APPEND) || at == COW_END) &&
	    !sys_failed(sys_object(fd, &file)))
		return file.size;
	if (at < 0)
		at = sys_call(SYS_lseek, fd, 0, SEEK_CUR, 0, 0, 0);
	return at < 0 ? 0 : (uint64_t)at;
}

/* What call NR is about to change: all, where that is not known. */
static void range_of(long nr, const long a[4], uint64_t *from, uint64_t *to)
{
	*from = 0;
	*to = INT64_MAX;
	switch (nr) {
	case SYS_write:
		*from = position((int)a[0], -1);
		*to = *from + (uint64_t)a[2];
		break;
	case SYS_writev:
		*from = position((int)a[0], -1);
		*to = *from + cow_vec_bytes((void *)a[1], a[2]);
		break;
	case SYS_pwrite64:
		*from = position((int)a[0], a[3]);
		*to = *from + (uint64_t)a[2];
		break;
	case SYS_pwritev:
		*from = position((int)a[0], a[3]);
		*to = *from + cow_vec_bytes((void *)a[1], a[2]);
		break;
	case SYS_ftruncate:
		*from = (uint64_t)a[1];
		break;
	case SYS_fallocate:
		if (a[1] & FALLOC_FL_PUNCH_HOLE) {
			*from = (uint64_t)a[2];
			*to = *from + (uint64_t)a[3];
		}
		break;
	}
}

/* Whether call NR may take memory away; most of fallocate() makes some. */
static bool removes(long nr, long mode)
{
	return nr == SYS_ftruncate ||
	       (nr == SYS_fallocate &&
		mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE));
}

/* The object of FD, if it is watched; else 0. */
static uint32_t watched_object(int fd)
{
	uint32_t id = share_object_of(fd);

	return id && share_object_at(id)->flags & OBJECT_WATCHED ? id : 0;
}

/* Call NR did what it should to ID, from byte FROM up to TO. */
static void written(uint32_t id, long nr, const long a[4], uint64_t from,
		    uint64_t to)
{
	if (removes(nr, a[1]))
		snapshot_removed(id, from, to);
	snapshot_grown(id, (int)a[0], to,
		       nr != SYS_ftruncate && nr != SYS_fallocate);
}

long cow_write(long nr, long a, long b, long c, long d)
{
	const long args[4] = {a, b, c, d};
	uint64_t from;
	uint64_t to;
	uint32_t id;
	bool locked;
	long result;

	/* what is not there yet would come over it, and memory that is taken
	 * away takes its protection along */
	if (cow_window_child || removes(nr, b))
		cow_drain();
	guard_enter();
	/* snapshots keep what is there; with the lock, which the write needs
	 * too or the next snapshot would come in between */
	locked = snapshot_any() && region_lock_take();
	id = locked ? watched_object((int)a) : 0;
	if (id)
		range_of(nr, args, &from, &to);
	if (id && (nr != SYS_fallocate || removes(nr, b)))
		snapshot_preserve(id, from, to, removes(nr, b));
	write_begin();
	result = sys_call(nr, a, b, c, d, 0, 0);
	__atomic_fetch_sub(&writing, 1, __ATOMIC_RELEASE);
	if (id && !sys_failed(result))
		written(id, nr, args, from, to);
	if (locked)
		region_lock_drop();
	guard_leave();
	if (!sys_failed(result) && nr != SYS_ftruncate)
		share_grown((int)a);
	return real_result(result);
}

void cow_overwrites(int fd, const off_t *at, size_t len)
{
	off_t where = -1;
	uint64_t from;
	uint32_t id;

	cow_settle();
	if (!snapshot_any())
		return;
	if (at && sys_peek(at, &where, sizeof(where)) != sizeof(where))
		return; /* the kernel will say so */
	from = len == SIZE_MAX ? 0 : position(fd, where);
	len = len < INT64_MAX ? len : INT64_MAX;
	if (!region_enter())
		return;
	id = share_object_of(fd);
	if (id)
		snapshot_preserve(id, from, from + len, false);
	region_leave();
}

/* One fork at a time comes here: it has the map's lock. */
static void freeze(void)
{
	uint64_t start = sys_now_ns();

	__atomic_store_n(&freezing, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&writing, __ATOMIC_SEQ_CST) &&
	       sys_now_ns() - start < WAIT_NS)
		sys_yield();
}

static void not_held(int err)
{
	static bool said;
	struct log_line line;

	if (__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		return;
	log_begin(&line);
	fmt_str(&line.f, "fork: other threads' writes to what is copied for a "
			 "child cannot be held; it may see some of them halfway"
			 " (anonshim doctor says what would permit it):");
	fmt_errno(&line.f, err);
	log_end(&line);
}

void cow_writers_hold(struct cow_plan *plan)
{
	bool any = false;
	long result;

	for (size_t i = 0; i < plan->maps.n; i++)
		any |= is_held(plan, COW_MAP(plan, i));
	if (!any || plan->writers >= 0 || sys_threads() <= 1 + cow_threads())
		return;
	plan->freezes = plan->fds.n;
	if (plan->freezes)
		freeze();
	result = hold(plan);
	if (sys_failed(result))
		not_held((int)-result);
}

static void close_fd(struct cow_plan *plan)
{
	if (plan->writers >= 0)
		sys_close(plan->writers);
	plan->writers = -1;
}

/*
 * Closing it would do, but that counts only once the child has closed its own,
 * and somebody may have stopped the child.
 */
void cow_writers_release(struct cow_plan *plan)
{
	for (size_t i = 0; plan->writers >= 0 && i < plan->maps.n; i++)
		if (is_held(plan, COW_MAP(plan, i)))
			uffd_unregister(plan->writers,
					cow_range(COW_MAP(plan, i)));
	close_fd(plan);
	if (!plan->freezes) /* another's fork may be under way */
		return;
	plan->freezes = false;
	__atomic_store_n(&freezing, 0, __ATOMIC_RELEASE);
	sys_futex_wake(&freezing, INT_MAX);
}

void cow_forked(void)
{
	freezing = writing = 0;
}

void cow_writers_in_child(struct cow_plan *plan)
{
	cow_forked();
	close_fd(plan);
}
