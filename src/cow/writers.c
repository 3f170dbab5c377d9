/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holding writes of other threads while their memory is copied; see plan.h.
 *
 * Pages are write-protected through userfaultfd, and nobody serves the faults:
 * who writes waits, in the kernel, until the descriptor is closed after the
 * fork.  That has to hold the kernel's own writes too (read(2) into such
 * memory), or they would fail: a userfaultfd for user mode only will not do.
 */
#include "cow/plan.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "env/caps.h"
#include "env/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

static long userfaultfd_open(void)
{
	long fd = sys_call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0,
			   0);
	long device;

	if (!sys_failed(fd))
		return fd;
	device = sys_open("/dev/userfaultfd", O_RDWR, 0);
	if (sys_failed(device))
		return device;
	fd = sys_call(SYS_ioctl, device, USERFAULTFD_IOC_NEW,
		      O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	sys_close((int)device);
	return fd;
}

static long protect(int fd, const struct cow_map *m)
{
	struct uffdio_register watch = {
		.range = {m->start, m->end - m->start},
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect wp = {
		.range = watch.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	long result = sys_ioctl(fd, UFFDIO_REGISTER, &watch);

	return sys_failed(result) ? result
				  : sys_ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
}

static long writers_open(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	long fd = caps.uffd && !sys_filtered() ? userfaultfd_open() : -EPERM;
	long result;

	if (sys_failed(fd))
		return fd;
	result = sys_ioctl((int)fd, UFFDIO_API, &api);
	if (!sys_failed(result))
		return fd;
	sys_close((int)fd);
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

void cow_writers_hold(struct cow_plan *plan)
{
	static bool said;
	long result;
	bool open = false;

	if (plan->writers >= 0 || sys_threads() == 1)
		return;
	plan->freezes = plan->fds.n;
	if (plan->freezes)
		freeze();
	result = writers_open();
	if (!sys_failed(result)) {
		plan->writers = (int)result;
		for (size_t i = 0; i < plan->maps.n; i++) {
			const struct cow_map *m = COW_MAP(plan, i);

			if (!(m->prot & PROT_WRITE))
				continue;
			result = protect(plan->writers, m);
			open |= sys_failed(result);
		}
	} else {
		open = true;
	}
	if (open)
		log_once(&said,
			 "fork: other threads' writes to what is copied for a "
			 "child cannot be held; it may see some of them halfway"
			 " (anonshim doctor says what would permit it)");
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
	for (size_t i = 0; plan->writers >= 0 && i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);
		struct uffdio_range range = {m->start, m->end - m->start};

		if (m->prot & PROT_WRITE)
			sys_ioctl(plan->writers, UFFDIO_UNREGISTER, &range);
	}
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
