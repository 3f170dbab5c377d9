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

/* This thread's own writes must not wait: it is who ends the wait. */
static bool is_needed(const struct cow_map *m)
{
	uintptr_t stack = (uintptr_t)&m;
	uintptr_t own = (uintptr_t)&guard;

	return (m->start <= stack && stack < m->end) ||
	       (m->start <= own && own < m->end);
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

void cow_writers_hold(struct cow_plan *plan)
{
	static bool said;
	long result;
	bool open = false;

	if (plan->writers >= 0 || sys_threads() == 1)
		return;
	result = writers_open();
	if (!sys_failed(result)) {
		plan->writers = (int)result;
		for (size_t i = 0; i < plan->maps.n; i++) {
			const struct cow_map *m = COW_MAP(plan, i);

			if (!(m->prot & PROT_WRITE))
				continue;
			open |= is_needed(m) ||
				sys_failed(protect(plan->writers, m));
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
	cow_writers_close(plan);
}

void cow_writers_close(struct cow_plan *plan)
{
	if (plan->writers >= 0)
		sys_close(plan->writers);
	plan->writers = -1;
}
