/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * userfaultfd(2); see uffd.h.
 */
#include "cow/uffd.h"

#include "base/mem.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "env/caps.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xAA, 0x00)
#endif

#define EVENTS 16

static long open_any(void)
{
	long fd = sys_call(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0,
			   0);
	long device;

	if (!sys_failed(fd))
		return fd;
	device = sys_open("/dev/userfaultfd", O_RDWR, 0);
	if (sys_failed(device))
		return fd;
	fd = sys_call(SYS_ioctl, device, USERFAULTFD_IOC_NEW,
		      O_CLOEXEC | O_NONBLOCK, 0, 0, 0);
	sys_close((int)device);
	return fd;
}

long uffd_open(void)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP |
			    UFFD_FEATURE_MISSING_SHMEM |
			    UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
	};
	/* a filter may kill for a call that few programs make */
	long fd = caps.uffd && !sys_filtered() ? open_any() : -EPERM;
	long result;

	if (sys_failed(fd))
		return fd;
	result = sys_ioctl((int)fd, UFFDIO_API, &api);
	if (!sys_failed(result))
		return fd;
	sys_close((int)fd);
	return result;
}

static struct uffdio_range as_kernel(struct uffd_range range)
{
	return (struct uffdio_range){range.start, range.end - range.start};
}

long uffd_register(int fd, struct uffd_range range, unsigned mode)
{
	struct uffdio_register arg = {
		.range = as_kernel(range),
		.mode = (mode & UFFD_WRITES ? UFFDIO_REGISTER_MODE_WP : 0) |
			(mode & UFFD_MISSING ? UFFDIO_REGISTER_MODE_MISSING
					     : 0),
	};

	return sys_ioctl(fd, UFFDIO_REGISTER, &arg);
}

long uffd_unregister(int fd, struct uffd_range range)
{
	struct uffdio_range arg = as_kernel(range);

	return sys_ioctl(fd, UFFDIO_UNREGISTER, &arg);
}

static long protection(int fd, struct uffd_range range, uint64_t mode)
{
	struct uffdio_writeprotect arg = {.range = as_kernel(range),
					  .mode = mode};
	long result;

	do {
		result = sys_ioctl(fd, UFFDIO_WRITEPROTECT, &arg);
	} while (result == -EAGAIN);
	return result;
}

long uffd_protect(int fd, struct uffd_range range)
{
	return protection(fd, range, UFFDIO_WRITEPROTECT_MODE_WP);
}

/* Halves of what cannot be protected at once, before it is given up. */
#define TRIES 512
#define TOO_MANY (-E2BIG)

static long protect_by_halves(int fd, struct uffd_range range, unsigned *tries)
{
	long result = uffd_protect(fd, range);
	struct uffd_range half = range;

	if (result != -ENOENT || range.end - range.start <= PAGE_BYTES)
		return result;
	if (!*tries)
		return TOO_MANY;
	--*tries;
	half.end = page_down(range.start + (range.end - range.start) / 2);
	result = protect_by_halves(fd, half, tries);
	if (sys_failed(result) && result != -ENOENT)
		return result;
	half.start = half.end;
	half.end = range.end;
	result = protect_by_halves(fd, half, tries);
	return result == -ENOENT ? 0 : result;
}

struct protecting {
	int fd;
	struct uffd_range range;
	long result;
};

static void protect_vma(const struct procmap_vma *vma, void *arg)
{
	struct protecting *p = arg;
	struct uffd_range range = p->range;
	long result;

	if (range.start < vma->start)
		range.start = vma->start;
	if (range.end > vma->end)
		range.end = vma->end;
	if (range.start >= range.end)
		return;
	result = uffd_protect(p->fd, range);
	if (sys_failed(result) && result != -ENOENT)
		p->result = result;
}

long uffd_protect_vmas(int fd, struct uffd_range range)
{
	unsigned tries = TRIES;
	long result = protect_by_halves(fd, range, &tries);
	struct protecting p = {.fd = fd, .range = range};

	/* somebody has unmapped a large part, and nobody was told */
	if (result == TOO_MANY)
		result = procmaps_read(protect_vma, &p);
	return sys_failed(result) ? result : p.result;
}

long uffd_lift(int fd, struct uffd_range range)
{
	return protection(fd, range, 0);
}

long uffd_wake(int fd, struct uffd_range range)
{
	struct uffdio_range arg = as_kernel(range);

	return sys_ioctl(fd, UFFDIO_WAKE, &arg);
}

/* What was done before an error counts first. */
static long done(long result, int64_t bytes)
{
	return bytes > 0 ? bytes : sys_failed(result) ? result : -EAGAIN;
}

static long copy(int fd, uintptr_t to, uintptr_t from, uint64_t len,
		 uint64_t mode)
{
	struct uffdio_copy arg = {.dst = to,
				  .src = from,
				  .len = len,
				  .mode = UFFDIO_COPY_MODE_DONTWAKE | mode};

	long result = sys_ioctl(fd, UFFDIO_COPY, &arg);

	return done(result, arg.copy);
}

long uffd_copy(int fd, uintptr_t to, uintptr_t from, uint64_t len)
{
	return copy(fd, to, from, len, 0);
}

long uffd_copy_protected(int fd, uintptr_t to, uintptr_t from, uint64_t len)
{
	return copy(fd, to, from, len, UFFDIO_COPY_MODE_WP);
}

long uffd_zero(int fd, uintptr_t to, uint64_t len)
{
	struct uffdio_zeropage arg = {.range = {to, len},
				      .mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE};

	long result = sys_ioctl(fd, UFFDIO_ZEROPAGE, &arg);

	return done(result, arg.zeropage);
}

size_t uffd_faults(int fd, struct uffd_fault *faults, size_t n)
{
	struct uffd_msg msg[EVENTS];
	size_t found = 0;
	long bytes =
		sys_read(fd, msg, (n < EVENTS ? n : EVENTS) * sizeof(*msg));

	for (long i = 0; bytes > 0 && i < bytes / (long)sizeof(*msg); i++) {
		uint64_t flags = msg[i].arg.pagefault.flags;

		if (msg[i].event != UFFD_EVENT_PAGEFAULT)
			continue;
		faults[found++] = (struct uffd_fault){
			.addr = msg[i].arg.pagefault.address,
			.is_protected = flags & UFFD_PAGEFAULT_FLAG_WP,
		};
	}
	return found;
}
