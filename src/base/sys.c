/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw system calls; see sys.h for the contract.
 */
#include "base/sys.h"

#include "base/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#define PLACES 8 /* that are tried */

#ifdef __SANITIZE_THREAD__
/*
 * What was done with memory before it was unmapped comes before what is done
 * with memory mapped later: the kernel sees to that, where ThreadSanitizer
 * does not look.
 */
static char address_space;
#define UNMAPS() __tsan_release(&address_space)
#define MAPPED() __tsan_acquire(&address_space)
#else
#define UNMAPS() (void)0
#define MAPPED() (void)0
#endif

#define HUGETLBFS_MAGIC 0x958458f6
#define MQUEUE_MAGIC 0x19800202
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

#define KERNEL_SIGSET_BYTES 8
#define SIGNAL(number) (UINT64_C(1) << ((number)-1))

#ifdef ANONSHIM_SYS_HOOK
bool (*sys_hook)(long nr, long *result);
#endif

long sys_call(long nr, long a, long b, long c, long d, long e, long f)
{
	long result;

#ifdef ANONSHIM_SYS_HOOK
	/* before the registers are loaded: a call clobbers them */
	if (sys_hook && sys_hook(nr, &result))
		return result;
#endif
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

/* Anywhere: where nobody else has anything. */
static long map_apart(size_t len, int prot, int flags, int fd, off_t off)
{
	for (int tries = 0; tries < PLACES; tries++) {
		long at = (long)place_next(len);
		long p;

		if (!at)
			break;
		p = sys_call(SYS_mmap, at, (long)len, prot,
			     flags | MAP_FIXED_NOREPLACE, fd, off);
		if (p == at)
			return p;
		if (!sys_failed(p)) /* a wish, before 4.17 */
			sys_call(SYS_munmap, p, (long)len, 0, 0, 0, 0);
		else if (p == -EINVAL) /* huge pages lie otherwise */
			break;
		else if (p != -EEXIST)
			return p;
	}
	return sys_call(SYS_mmap, 0, (long)len, prot, flags, fd, off);
}

long sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	long result = addr ? sys_call(SYS_mmap, (long)addr, (long)len, prot,
				      flags, fd, off)
			   : map_apart(len, prot, flags, fd, off);

	MAPPED();
	return result;
}

long sys_mmap_private(size_t len)
{
	return sys_mmap(NULL, len, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

long sys_mmap_empty(size_t len, int prot, int flags, int fd)
{
	long p = sys_mmap(NULL, len, PROT_NONE, flags, fd, 0);
	long result;

	if (sys_failed(p))
		return p;
	sys_call(SYS_munlock, p, (long)len, 0, 0, 0, 0);
	result = sys_call(SYS_mprotect, p, (long)len, prot, 0, 0, 0);
	if (!sys_failed(result))
		return p;
	sys_munmap((void *)p, len);
	return result;
}

long sys_munmap(void *addr, size_t len)
{
	UNMAPS();
	return sys_call(SYS_munmap, (long)addr, (long)len, 0, 0, 0, 0);
}

long sys_mremap(void *old, size_t old_len, size_t new_len, int flags,
		void *new_addr)
{
	bool anywhere = flags & MREMAP_MAYMOVE && !(flags & MREMAP_FIXED) &&
			new_len > old_len;
	long to = (long)new_addr;
	long result;

	if (anywhere) {
		to = map_apart(new_len, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);
		if (sys_failed(to))
			return to;
		flags |= MREMAP_FIXED;
	}
	UNMAPS();
	result = sys_call(SYS_mremap, (long)old, (long)old_len, (long)new_len,
			  flags, to, 0);
	if (anywhere && sys_failed(result))
		sys_call(SYS_munmap, to, (long)new_len, 0, 0, 0, 0);
	MAPPED();
	return result;
}

long sys_madvise(void *addr, size_t len, int advice)
{
	return sys_call(SYS_madvise, (long)addr, (long)len, advice, 0, 0, 0);
}

long sys_brk(void *end)
{
	return sys_call(SYS_brk, (long)end, 0, 0, 0, 0, 0);
}

long sys_prctl(int op, unsigned long a, unsigned long b, unsigned long c,
	       unsigned long d)
{
	return sys_call(SYS_prctl, op, (long)a, (long)b, (long)c, (long)d, 0);
}

long sys_open(const char *path, int flags, unsigned mode)
{
	return sys_call(SYS_openat, AT_FDCWD, (long)path, flags | O_CLOEXEC,
			mode, 0, 0);
}

long sys_close(int fd)
{
	return sys_call(SYS_close, fd, 0, 0, 0, 0, 0);
}

long sys_read(int fd, void *buf, size_t len)
{
	return sys_call(SYS_read, fd, (long)buf, (long)len, 0, 0, 0);
}

long sys_pread(int fd, void *buf, size_t len, off_t off)
{
	return sys_call(SYS_pread64, fd, (long)buf, (long)len, off, 0, 0);
}

long sys_write(int fd, const void *buf, size_t len)
{
	return sys_call(SYS_write, fd, (long)buf, (long)len, 0, 0, 0);
}

long sys_fstat(int fd, uint64_t *dev, uint64_t *ino, uint64_t *size)
{
	struct stat st;
	long result = sys_call(SYS_fstat, fd, (long)&st, 0, 0, 0, 0);

	if (!sys_failed(result)) {
		*dev = st.st_dev;
		*ino = st.st_ino;
		*size = (uint64_t)st.st_size;
	}
	return result;
}

/* Kernels before 4.11, and some filters, have no statx(2). */
static long object_plainly(int fd, struct sys_object *object)
{
	struct stat st;
	long result = sys_call(SYS_fstat, fd, (long)&st, 0, 0, 0, 0);

	if (sys_failed(result))
		return result;
	*object = (struct sys_object){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.held = (uint64_t)st.st_blocks * 512,
		.mode = st.st_mode,
		.links = st.st_nlink,
		.is_large = st.st_blksize > 4096,
		.is_zero = st.st_rdev == makedev(1, 5),
	};
	return 0;
}

static long object_ask(int fd, struct sys_object *object)
{
	struct statx st;
	long result = sys_call(SYS_statx, fd, (long)"", AT_EMPTY_PATH,
			       STATX_BASIC_STATS | STATX_BTIME, (long)&st, 0);

	if (result == -ENOSYS || result == -EPERM)
		return object_plainly(fd, object);
	if (sys_failed(result))
		return result;
	*object = (struct sys_object){
		.dev = makedev(st.stx_dev_major, st.stx_dev_minor),
		.ino = st.stx_ino,
		.size = st.stx_size,
		.held = st.stx_blocks * 512,
		.mode = st.stx_mode,
		.links = st.stx_nlink,
		.is_large = st.stx_blksize > 4096,
		.is_zero = makedev(st.stx_rdev_major, st.stx_rdev_minor) ==
			   makedev(1, 5),
	};
	if (st.stx_mask & STATX_BTIME)
		object->born_ns =
			st.stx_btime.tv_sec * 1000000000 + st.stx_btime.tv_nsec;
	return 0;
}

long sys_object(int fd, struct sys_object *object)
{
	long result = object_ask(fd, object);

	if (sys_failed(result))
		return result;
	object->is_zero &= S_ISCHR(object->mode);
	if (!S_ISREG(object->mode) && !object->is_zero)
		return -EINVAL;
	object->mode &= 07777;
	return 0;
}

uint64_t sys_huge_bytes(int fd)
{
	struct statfs st;
	long result = sys_call(SYS_fstatfs, fd, (long)&st, 0, 0, 0, 0);

	return sys_failed(result) || st.f_type != HUGETLBFS_MAGIC
		       ? 0
		       : (uint64_t)st.f_bsize;
}

bool sys_is_queue(int fd)
{
	struct statfs st;
	long result = sys_call(SYS_fstatfs, fd, (long)&st, 0, 0, 0, 0);

	return !sys_failed(result) && st.f_type == MQUEUE_MAGIC;
}

bool sys_same_file(const char *a, const char *b)
{
	struct stat sa;
	struct stat sb;

	return !sys_failed(sys_call(SYS_newfstatat, AT_FDCWD, (long)a,
				    (long)&sa, 0, 0, 0)) &&
	       !sys_failed(sys_call(SYS_newfstatat, AT_FDCWD, (long)b,
				    (long)&sb, 0, 0, 0)) &&
	       sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

long sys_file(int fd, struct sys_file *file)
{
	struct stat st;
	long result = sys_call(SYS_fstat, fd, (long)&st, 0, 0, 0, 0);

	if (sys_failed(result))
		return result;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*file = (struct sys_file){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.changed_ns = (int64_t)st.st_ctim.tv_sec * 1000000000 +
			      st.st_ctim.tv_nsec,
	};
	return 0;
}

long sys_peek(const void *from, void *to, size_t len)
{
	struct iovec local = {to, len};
	struct iovec remote = {(void *)from, len};

	return sys_call(SYS_process_vm_readv, sys_getpid(), (long)&local, 1,
			(long)&remote, 1, 0);
}

bool sys_writable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};

	return sys_call(SYS_poll, (long)&p, 1, 0, 0, 0, 0) == 1 &&
	       p.revents & POLLOUT;
}

long sys_ioctl(int fd, unsigned long op, void *arg)
{
	return sys_call(SYS_ioctl, fd, (long)op, (long)arg, 0, 0, 0);
}

long sys_readlink(const char *path, char *buf, size_t len)
{
	return sys_call(SYS_readlinkat, AT_FDCWD, (long)path, (long)buf,
			(long)len, 0, 0);
}

long sys_rlimit(int what, const struct rlimit64 *to, struct rlimit64 *was)
{
	return sys_call(SYS_prlimit64, 0, what, (long)to, (long)was, 0, 0);
}

long sys_memfd(const char *name, unsigned flags, bool sealed)
{
	static const unsigned kinds[] = {MFD_EXEC, 0, MFD_NOEXEC_SEAL};
	long fd = -EINVAL;

	for (size_t i = sealed ? 2 : 0; i < sizeof(kinds) / sizeof(*kinds);
	     i++) {
		fd = sys_call(SYS_memfd_create, (long)name,
			      flags | MFD_CLOEXEC | kinds[i], 0, 0, 0, 0);
		if (fd != -EINVAL && fd != -EACCES)
			break;
	}
	return fd;
}

long sys_lift_file_limit(uint64_t bytes, struct rlimit64 *was)
{
	struct rlimit64 now;

	if (sys_failed(sys_rlimit(RLIMIT_FSIZE, NULL, was)) ||
	    was->rlim_cur >= bytes)
		return 0;
	if (was->rlim_max < bytes)
		return -EFBIG;
	now = *was;
	now.rlim_cur = now.rlim_max;
	return sys_failed(sys_rlimit(RLIMIT_FSIZE, &now, NULL)) ? -EFBIG : 1;
}

bool sys_swap_is_used(void)
{
	struct sysinfo info;

	return sys_failed(sys_call(SYS_sysinfo, (long)&info, 0, 0, 0, 0, 0)) ||
	       info.freeswap != info.totalswap;
}

unsigned sys_threads(void)
{
	struct stat st;

	if (sys_failed(sys_call(SYS_newfstatat, AT_FDCWD,
				(long)"/proc/self/task", (long)&st, 0, 0, 0)) ||
	    st.st_nlink < 3)
		return 1;
	return (unsigned)st.st_nlink - 2; /* `.` and `..` */
}

bool sys_filtered(void)
{
	return sys_prctl(PR_GET_SECCOMP, 0, 0, 0, 0) > 0;
}

long sys_getpid(void)
{
	return sys_call(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

long sys_gettid(void)
{
	return sys_call(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

void sys_signals_block(uint64_t *old)
{
	uint64_t most = ~(SIGNAL(SIGSEGV) | SIGNAL(SIGBUS) | SIGNAL(SIGILL) |
			  SIGNAL(SIGFPE) | SIGNAL(SIGTRAP) | SIGNAL(SIGSYS));

	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&most, (long)old,
		 KERNEL_SIGSET_BYTES, 0, 0);
}

long sys_write_quietly(int fd, const void *buf, size_t len)
{
	const uint64_t raised = SIGNAL(SIGPIPE) | SIGNAL(SIGXFSZ);
	const struct timespec now = {0, 0};
	uint64_t pending = 0;
	uint64_t mask;
	uint64_t drop;
	long result;

	sys_signals_block(&mask);
	sys_call(SYS_rt_sigpending, (long)&pending, KERNEL_SIGSET_BYTES, 0, 0,
		 0, 0);
	result = sys_write(fd, buf, len);
	drop = raised & ~pending;
	if (sys_failed(result) && drop)
		sys_call(SYS_rt_sigtimedwait, (long)&drop, 0, (long)&now,
			 KERNEL_SIGSET_BYTES, 0, 0);
	sys_signals_restore(&mask);
	return result;
}

void sys_signals_restore(const uint64_t *old)
{
	sys_call(SYS_rt_sigprocmask, SIG_SETMASK, (long)old, 0,
		 KERNEL_SIGSET_BYTES, 0, 0);
}

static long futex_wait(uint32_t *word, int op, uint32_t value,
		       uint64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000),
		.tv_nsec = (long)(timeout_ns % 1000000000),
	};

	return sys_call(SYS_futex, (long)word, op, value, (long)&ts, 0, 0);
}

long sys_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	return futex_wait(word, FUTEX_WAIT_PRIVATE, value, timeout_ns);
}

long sys_futex_wait_shared(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	return futex_wait(word, FUTEX_WAIT, value, timeout_ns);
}

long sys_futex_wake(uint32_t *word, int count)
{
	return sys_call(SYS_futex, (long)word, FUTEX_WAKE_PRIVATE, count, 0, 0,
			0);
}

long sys_clone_to(unsigned long flags, void *stack, uint32_t *alive,
		  void (*begin)(void *stack))
{
	long result;

#ifdef ANONSHIM_SYS_HOOK
	if (sys_hook && sys_hook(SYS_clone, &result))
		return result;
#endif
	register long r10 __asm__("r10") = (long)alive;
	register long r8 __asm__("r8") = 0;
	register long r9 __asm__("r9") = (long)begin;

	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xorl %%ebp, %%ebp\n\t"
			 "movq %%rsp, %%rdi\n\t"
			 "call *%%r9\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(result)
			 : "a"(SYS_clone), "D"(flags), "S"(stack), "d"(0),
			   "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

void sys_yield(void)
{
	sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

uint64_t sys_now_ns(void)
{
	struct timespec ts = {0};

	sys_call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&ts, 0, 0, 0, 0);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}
