/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The exported libc names: each hands over to the storeys below, or to the
 * next definition while the shim is not started or is itself the caller.
 */
#include "interpose/interpose.h"

#include "cow/cow.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "interpose/fork.h"
#include "interpose/objects.h"
#include "track/bss.h"
#include "track/life.h"
#include "track/stack.h"
#include "track/track.h"
#include "track/unwind.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* Before start-up: nothing can be recorded yet, but noted for later. */
static void *mmap_early(const struct mmap_args *a, uintptr_t caller)
{
	void *p =
		real.mmap(a->addr, a->len, a->prot, a->flags, a->fd, a->offset);

	if (guard_early && p != MAP_FAILED && a->flags & MAP_ANONYMOUS)
		life_early((uintptr_t)p, a->len, caller);
	return p;
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
		  off_t offset)
{
	struct mmap_args a = {addr, len, prot, flags, fd, offset, KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();

	cow_reads(fd);
	return guard_open() ? track_mmap(&a, &caller)
			    : mmap_early(&a, caller.pc);
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	struct mmap_args a = {addr, len, prot, flags, fd, offset, KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();

	cow_reads(fd);
	return guard_open() ? track_mmap(&a, &caller)
			    : mmap_early(&a, caller.pc);
}

EXPORT int munmap(void *addr, size_t len)
{
	return guard_open() ? track_munmap(addr, len) : real.munmap(addr, len);
}

/* What protection does not follow: a lazy copy ends first. */
static void *remap(const struct mremap_args *a)
{
	cow_drain();
	return track_mremap(a);
}

EXPORT void *mremap(void *old, size_t old_len, size_t new_len, int flags, ...)
{
	struct mremap_args a = {old, old_len, new_len, flags, NULL};
	va_list ap;

	va_start(ap, flags);
	a.new_addr = va_arg(ap, void *);
	va_end(ap);
	return guard_open()
		       ? remap(&a)
		       : real.mremap(old, old_len, new_len, flags, a.new_addr);
}

EXPORT int brk(void *end)
{
	return guard_open() ? track_brk(end) : real.brk(end);
}

EXPORT void *sbrk(intptr_t increment)
{
	return guard_open() ? track_sbrk(increment) : real.sbrk(increment);
}

static int prctl_watched(int op, const unsigned long a[4])
{
	int result;

	if (op == PR_SET_VMA && a[0] == PR_SET_VMA_ANON_NAME && guard_open())
		return track_set_name(a[1], a[2], (const char *)a[3]);
	if (op != PR_SET_SECCOMP || !guard_open())
		return real.prctl(op, a[0], a[1], a[2], a[3]);
	cow_end();
	track_confined(true);
	result = real.prctl(op, a[0], a[1], a[2], a[3]);
	if (result < 0)
		track_confined(false);
	return result;
}

EXPORT int prctl(int op, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, op);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (op == PR_SET_VMA || op == PR_SET_SECCOMP)
		return prctl_watched(op, a);
	return real.prctl(op, a[0], a[1], a[2], a[3]);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
			  void *(*routine)(void *), void *arg)
{
	struct unwind_start caller = UNWIND_CALLER();

	if (!real.pthread_create)
		real_init();
	if (!real.pthread_create)
		return EAGAIN;
	if (!guard_open() || !CONFIG_NUMBER(stacks))
		return real.pthread_create(thread, attr, routine, arg);
	return stack_thread_create(thread, attr, routine, arg, &caller);
}

/*
 * Every shared object that crti.o starts calls this, where it is defined, when
 * it has just been loaded and relocated (it is gprof's hook): the one moment
 * at which its bss can be named without interposing dlopen.
 */
void __gmon_start__(void);

EXPORT void __gmon_start__(void)
{
	if (guard_open())
		bss_notice((uintptr_t)__builtin_return_address(0));
}

/* What syscall.S hands over; the others go on to libc untouched. */
#define WATCHED 512
const unsigned char interpose_watched[WATCHED] = {
	[SYS_mmap] = 1,
	[SYS_munmap] = 1,
	[SYS_mremap] = 1,
	[SYS_brk] = 1,
	[SYS_prctl] = 1,
	[SYS_seccomp] = 1,
	[SYS_exit] = 1,
	[SYS_madvise] = 1,
	[SYS_remap_file_pages] = 1,
	[SYS_ftruncate] = 1,
	[SYS_fcntl] = 1,
	[SYS_recvmsg] = 1,
	[SYS_recvmmsg] = 1,
	[SYS_fork] = 2,
	[SYS_clone] = 2,
	[SYS_clone3] = 2,
	[SYS_pidfd_getfd] = 1,
	[SYS_read] = 4,
	[SYS_lseek] = 4,
	[SYS_pread64] = 4,
	[SYS_readv] = 4,
	[SYS_preadv] = 4,
	[SYS_preadv2] = 4,
	[SYS_dup] = 4,
	[SYS_dup2] = 4,
	[SYS_dup3] = 4,
	[SYS_splice] = 4,
	[SYS_copy_file_range] = 4,
	[SYS_sendfile] = 5,
	[SYS_sendmsg] = 1,
	[SYS_write] = 1,
	[SYS_pwrite64] = 1,
	[SYS_writev] = 1,
	[SYS_pwritev] = 1,
	[SYS_fallocate] = 1,
	[SYS_pwritev2] = 1,
	[SYS_truncate] = 1,
	[SYS_sendmmsg] = 1,
	[SYS_unshare] = 3,
	[SYS_setns] = 3,
	[SYS_setuid] = 3,
	[SYS_setgid] = 3,
	[SYS_setreuid] = 3,
	[SYS_setregid] = 3,
	[SYS_setresuid] = 3,
	[SYS_setresgid] = 3,
	[SYS_setgroups] = 3,
	[SYS_capset] = 3,
	[SYS_chroot] = 3,
	[SYS_ioctl] = 4,
	[SYS_execveat] = 4,
};

long interpose_syscall(long nr, const long a[6],
		       const struct unwind_start *caller)
{
	struct mmap_args map = {(void *)a[0], (size_t)a[1], (int)a[2],
				(int)a[3],    (int)a[4],    a[5],
				KIND_NONE};
	struct mremap_args move = {(void *)a[0], (size_t)a[1], (size_t)a[2],
				   (int)a[3], (void *)a[4]};
	long result;

	if (!guard_open())
		return real.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	switch (nr) {
	case SYS_mmap:
		cow_reads(map.fd);
		return (long)track_mmap(&map, caller);
	case SYS_munmap:
		return track_munmap((void *)a[0], (size_t)a[1]);
	case SYS_mremap:
		return (long)remap(&move);
	case SYS_prctl:
		return prctl_watched((int)a[0], (const unsigned long *)&a[1]);
	case SYS_seccomp:
		if (a[0] > SECCOMP_SET_MODE_FILTER)
			break;
		cow_end();
		track_confined(true);
		result = real.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		if (result < 0)
			track_confined(false);
		return result;
	case SYS_remap_file_pages:
		cow_drain();
		return track_remap_file_pages((void *)a[0], (size_t)a[1],
					      (int)a[2], (size_t)a[3],
					      (int)a[4]);
	case SYS_fork:
	case SYS_clone:
	case SYS_clone3:
		return fork_by_syscall(nr, a);
	case SYS_exit:
		cow_exits((int)a[0]);
		break;
	case SYS_brk:
		result = real.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
		track_sbrk(0);
		return result;
	}
	if (interpose_watched[nr] == 3)
		cow_pause(); /* see process.c */
	else if (interpose_watched[nr] >= 4)
		cow_reads((int)a[interpose_watched[nr] - 4]); /* reads.c */
	if (!objects_written_by_syscall(nr, a, &result))
		result = real.syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (interpose_watched[nr] == 3)
		cow_resume();
	objects_by_syscall(nr, a, result);
	return result;
}
