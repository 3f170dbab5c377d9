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
#include "env/guard.h"

#include <errno.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Whether writes through M are to wait here; a lazy copy sees to its own. */
static bool is_held(const struct cow_plan *plan, const struct cow_map *m)
{
	return m->prot & PROT_WRITE && !COW_OBJECT(plan, m->object)->lazy;
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

/* Calls that write are counted; a copy waits for them, and they for it. */
static uint32_t freezing;
static uint32_t writing;

bool cow_guards_slowly(int fd)
{
	struct sys_object file;
	uint32_t id;

	if (!guard_open() || sys_failed(sys_object(fd, &file)))
		return false;
	id = share_object_known(file.dev, file.ino);
	return id &&
	       share_object_at(id)->flags & (OBJECT_ALIASED | OBJECT_PRIVATE);
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

long cow_write(long nr, long a, long b, long c, long d)
{
	long result;

	guard_enter();
	write_begin();
	result = sys_call(nr, a, b, c, d, 0, 0);
	__atomic_fetch_sub(&writing, 1, __ATOMIC_RELEASE);
	guard_leave();
	if (!sys_failed(result))
		return result;
	errno = (int)-result;
	return -1;
}

/* One fork at a time comes here: it has the map's lock. */
static void freeze(void)
{
	uint64_t start = sys_now_ns();

	__atomic_store_n(&freezing, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&writing, __ATOMIC_SEQ_CST) &&
	       sys_now_ns() - start < WAIT_NS)
		sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
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
	if (!any || plan->writers >= 0 || sys_threads() == 1)
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
