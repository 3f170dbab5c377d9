/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exported libc names through which it is learnt what shared objects are for:
 * where they come from, and that they are sealed, cut or advised about; and
 * those that write into them through descriptors, which wait for a fork.
 */
#include "interpose/objects.h"
#include "base/sys.h"
#include "cow/cow.h"
#include "env/guard.h"
#include "env/real.h"
#include "interpose/interpose.h"
#include "track/share.h"
#include "track/track.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define CONTROL_BYTES 512 /* of a message, that are looked at */
#define WRITE_SEALS (F_SEAL_WRITE | 0x10 /* F_SEAL_FUTURE_WRITE */)

EXPORT int remap_file_pages(void *addr, size_t len, int prot, size_t page,
			    int flags)
{
	if (!real.remap_file_pages)
		real_init();
	cow_drain();
	return guard_open()
		       ? track_remap_file_pages(addr, len, prot, page, flags)
		       : real.remap_file_pages(addr, len, prot, page, flags);
}

/* Whether there is anything shared that could be meant. */
static bool concerned(void)
{
	return __atomic_load_n(&share_count, __ATOMIC_RELAXED) && guard_open();
}

/* What a child's copy has to be told again; the rest is for the moment. */
static bool lasts(int advice)
{
	return advice == MADV_HUGEPAGE || advice == MADV_NOHUGEPAGE ||
	       advice == MADV_DONTDUMP || advice == MADV_RANDOM ||
	       advice == MADV_SEQUENTIAL;
}

static void objects_advised(void *addr, size_t len, int advice)
{
	if (lasts(advice) && concerned())
		share_advised((uintptr_t)addr, (uintptr_t)addr + len);
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
	if (!real.madvise)
		real_init();
	if (__builtin_expect(advice == MADV_REMOVE, 0))
		return cow_remove(addr, len);
	objects_advised(addr, len, advice);
	return real.madvise(addr, len, advice);
}

/* It touches all that is mapped, also what views are kept in: there what nobody
 * has looked at yet would become zeros. */
EXPORT int mlockall(int flags)
{
	if (!real.mlockall)
		real_init();
	if (flags & MCL_CURRENT)
		cow_fill();
	return real.mlockall(flags);
}

static void objects_cut(int fd, off_t size)
{
	int err = errno;

	if (concerned())
		share_resized(fd, (uint64_t)size);
	errno = err;
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
	if (!real.write)
		real_init();
	return cow_guards(fd)
		       ? cow_write(SYS_write, fd, (long)buf, (long)len, 0)
		       : real.write(fd, buf, len);
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	if (!real.pwrite)
		real_init();
	return cow_guards(fd) ? cow_write(SYS_pwrite64, fd, (long)buf,
					  (long)len, offset)
			      : real.pwrite(fd, buf, len, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
	return pwrite(fd, buf, len, offset);
}

EXPORT ssize_t writev(int fd, const struct iovec *vec, int n)
{
	if (!real.writev)
		real_init();
	return cow_guards(fd) ? cow_write(SYS_writev, fd, (long)vec, n, 0)
			      : real.writev(fd, vec, n);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *vec, int n, off_t offset)
{
	if (!real.pwritev)
		real_init();
	return cow_guards(fd) ? cow_write(SYS_pwritev, fd, (long)vec, n, offset)
			      : real.pwritev(fd, vec, n, offset);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *vec, int n, off_t offset)
{
	return pwritev(fd, vec, n, offset);
}

EXPORT int ftruncate(int fd, off_t size)
{
	int result;

	if (!real.ftruncate)
		real_init();
	result = cow_guards(fd) ? (int)cow_write(SYS_ftruncate, fd, size, 0, 0)
				: real.ftruncate(fd, size);
	if (!result)
		objects_cut(fd, size);
	return result;
}

EXPORT int ftruncate64(int fd, off_t size)
{
	return ftruncate(fd, size);
}

/* By its name, or by that of a descriptor in /proc. */
EXPORT int truncate(const char *path, off_t size)
{
	bool guarded = false;
	int fd = -1;
	int result;

	if (!real.truncate)
		real_init();
	if (concerned())
		fd = (int)sys_open(path, O_PATH | O_CLOEXEC, 0);
	if (fd >= 0) {
		guarded = cow_guards(fd);
		sys_close(fd);
	}
	fd = guarded ? (int)sys_open(path, O_WRONLY | O_CLOEXEC, 0) : -1;
	if (fd < 0)
		return real.truncate(path, size);
	result = ftruncate(fd, size);
	sys_close(fd);
	return result;
}

EXPORT int truncate64(const char *path, off_t size)
{
	return truncate(path, size);
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (!real.fallocate)
		real_init();
	return cow_guards(fd)
		       ? (int)cow_write(SYS_fallocate, fd, mode, offset, len)
		       : real.fallocate(fd, mode, offset, len);
}

EXPORT int fallocate64(int fd, int mode, off_t offset, off_t len)
{
	return fallocate(fd, mode, offset, len);
}

static void objects_sealed(int fd, int command, long arg)
{
	if (command == F_ADD_SEALS && arg & WRITE_SEALS && guard_open())
		share_note(fd, OBJECT_SEALED);
}

EXPORT int fcntl(int fd, int command, ...)
{
	va_list ap;
	void *arg;
	int result;

	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (!real.fcntl)
		real_init();
	if (command == F_DUPFD || command == F_SETFD)
		cow_reads(fd);
	result = real.fcntl(fd, command, arg);
	if (__builtin_expect(command == F_ADD_SEALS, 0) && !result)
		objects_sealed(fd, command, (long)arg);
	return result;
}

EXPORT int fcntl64(int fd, int command, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, command);
	arg = va_arg(ap, void *);
	va_end(ap);
	return fcntl(fd, command, arg);
}

/* Only what there are seals for is memory that nobody else can open. */
void objects_escape(int fd)
{
	int err = errno;

	if (guard_open() &&
	    !sys_failed(sys_call(SYS_fcntl, fd, F_GET_SEALS, 0, 0, 0, 0)))
		share_note(fd, OBJECT_ELSEWHERE);
	errno = err;
}

static void is_foreign(int fd)
{
	share_note(fd, OBJECT_FOREIGN);
}

/* DEED for each descriptor that M has, or that came with it. */
static void for_rights(const struct msghdr *m, void (*deed)(int fd))
{
	int err = errno;

	if (!m->msg_controllen || !m->msg_control || !guard_open())
		return;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c;
	     c = CMSG_NXTHDR((struct msghdr *)m, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			deed(fd);
		}
	}
	errno = err;
}

/* Whether M, which the kernel has not looked at yet, may have descriptors. */
static bool may_send(const struct msghdr *m)
{
	_Alignas(struct cmsghdr) char control[CONTROL_BYTES];
	struct msghdr copy;
	size_t len;

	if (sys_peek(m, &copy, sizeof(copy)) != sizeof(copy))
		return false;
	len = copy.msg_controllen;
	if (!len || len > sizeof(control))
		return len;
	if (sys_peek(copy.msg_control, control, len) != (long)len)
		return false;
	copy.msg_control = control;
	for (const struct cmsghdr *c = CMSG_FIRSTHDR(&copy); c;
	     c = CMSG_NXTHDR(&copy, (struct cmsghdr *)c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			return true;
	return false;
}

/* Who gets a descriptor reads what it leads to. */
static void before_sending(const struct msghdr *m)
{
	if (__builtin_expect(cow_window_open, 0) && may_send(m))
		cow_drain();
}

EXPORT ssize_t sendmsg(int socket, const struct msghdr *m, int flags)
{
	ssize_t result;

	if (!real.sendmsg)
		real_init();
	before_sending(m);
	result = real.sendmsg(socket, m, flags);
	if (result >= 0)
		for_rights(m, objects_escape);
	return result;
}

EXPORT int sendmmsg(int socket, struct mmsghdr *m, unsigned n, int flags)
{
	int result;

	if (!real.sendmmsg)
		real_init();
	for (unsigned i = 0; cow_window_open && i < n; i++)
		before_sending(&m[i].msg_hdr);
	result = real.sendmmsg(socket, m, n, flags);
	for (int i = 0; i < result; i++)
		for_rights(&m[i].msg_hdr, objects_escape);
	return result;
}

EXPORT ssize_t recvmsg(int socket, struct msghdr *m, int flags)
{
	ssize_t result;

	if (!real.recvmsg)
		real_init();
	result = real.recvmsg(socket, m, flags);
	if (result >= 0)
		for_rights(m, is_foreign);
	return result;
}

EXPORT int recvmmsg(int socket, struct mmsghdr *m, unsigned n, int flags,
		    struct timespec *timeout)
{
	int result;

	if (!real.recvmmsg)
		real_init();
	result = real.recvmmsg(socket, m, n, flags, timeout);
	for (int i = 0; i < result; i++)
		for_rights(&m[i].msg_hdr, is_foreign);
	return result;
}

bool objects_written_by_syscall(long nr, const long a[6], long *result)
{
	bool writes = nr == SYS_write || nr == SYS_pwrite64 ||
		      nr == SYS_writev || nr == SYS_pwritev ||
		      nr == SYS_ftruncate || nr == SYS_fallocate;

	if (nr == SYS_sendmsg)
		before_sending((const void *)a[1]);
	switch (nr) {
	case SYS_madvise:
		if (a[2] != MADV_REMOVE)
			return false;
		*result = cow_remove((void *)a[0], (size_t)a[1]);
		return true;
	case SYS_truncate:
		*result = truncate((const char *)a[0], a[1]);
		return true;
	case SYS_sendmmsg:
		*result = sendmmsg((int)a[0], (struct mmsghdr *)a[1],
				   (unsigned)a[2], (int)a[3]);
		return true;
	case SYS_pwritev2:
		*result = pwritev2((int)a[0], (const struct iovec *)a[1],
				   (int)a[2], a[3], (int)a[5]);
		return true;
	}
	if (!writes || !cow_guards((int)a[0]))
		return false;
	*result = cow_write(nr, a[0], a[1], a[2], a[3]);
	return true;
}

/* The same by syscall(2), which has returned RESULT. */
void objects_by_syscall(long nr, const long a[6], long result)
{
	const struct mmsghdr *m = (const void *)a[1];

	if (result < 0)
		return;
	switch (nr) {
	case SYS_madvise:
		objects_advised((void *)a[0], (size_t)a[1], (int)a[2]);
		break;
	case SYS_ftruncate:
		objects_cut((int)a[0], a[1]);
		break;
	case SYS_fcntl:
		objects_sealed((int)a[0], (int)a[1], a[2]);
		break;
	case SYS_recvmsg:
		for_rights((const void *)a[1], is_foreign);
		break;
	case SYS_recvmmsg:
		for (long i = 0; i < result; i++)
			for_rights(&m[i].msg_hdr, is_foreign);
		break;
	case SYS_sendmsg:
		for_rights((const void *)a[1], objects_escape);
		break;
	case SYS_pidfd_getfd:
		if (guard_open())
			share_note((int)result, OBJECT_FOREIGN);
		break;
	}
}
