/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw system calls.  The only place in the shim that enters the kernel by
 * itself; libc's wrappers cannot be used because they are what the shim
 * interposes, and because they touch errno.
 *
 * Contract, for all: the result is what the kernel returned, 0 or positive,
 * or -errno; errno is never touched; safe anywhere: in signal handlers, in
 * children of fork and vfork, before start-up.
 *
 * A build with ANONSHIM_SYS_HOOK (the tests' convenience library) lets a test
 * fail any call: see sys_hook.
 */
#ifndef ANONSHIM_BASE_SYS_H
#define ANONSHIM_BASE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SYS_ERRNO_MAX 4095

/* Whether RESULT, of a raw call, is an error (-errno). */
static inline bool sys_failed(long result)
{
	return (unsigned long)result >= (unsigned long)-SYS_ERRNO_MAX;
}

#ifdef ANONSHIM_SYS_HOOK
/* Returns true after setting *RESULT, to stand in for call NR. */
extern bool (*sys_hook)(long nr, long *result);
#endif

long sys_call(long nr, long a, long b, long c, long d, long e, long f);

/* Without ADDR it is the shim's own memory, and lies apart (place.h); so does
 * what sys_mremap() moves to make it larger. */
long sys_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off);
/* LEN bytes of private anonymous memory anywhere, to read and write. */
long sys_mmap_private(size_t len);
/* Anywhere, and nothing is there yet even after mlockall(). */
long sys_mmap_empty(size_t len, int prot, int flags, int fd);
long sys_munmap(void *addr, size_t len);
long sys_mremap(void *old, size_t old_len, size_t new_len, int flags,
		void *new_addr);
/* As MADV_DONTNEED, and of memory that mlock(2) holds too (Linux 5.18). */
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
long sys_madvise(void *addr, size_t len, int advice);
long sys_brk(void *end);
long sys_prctl(int op, unsigned long a, unsigned long b, unsigned long c,
	       unsigned long d);
/* Always O_CLOEXEC. */
long sys_open(const char *path, int flags, unsigned mode);
long sys_close(int fd);
long sys_read(int fd, void *buf, size_t len);
long sys_pread(int fd, void *buf, size_t len, off_t off);
long sys_write(int fd, const void *buf, size_t len);
/* *SIZE in bytes; *DEV and *INO identify the object behind FD. */
long sys_fstat(int fd, uint64_t *dev, uint64_t *ino, uint64_t *size);
/* What a shared mapping of FD shows. */
struct sys_object {
	uint64_t dev;
	uint64_t ino;
	uint64_t size;	 /* bytes */
	uint64_t held;	 /* bytes that it has memory for */
	int64_t born_ns; /* 0: not known; tells a number used again */
	unsigned mode;	 /* permissions */
	uint64_t links;	 /* names that it has */
	bool is_large;	 /* its blocks are: hugetlbfs, or others */
	bool is_zero;	 /* /dev/zero: each mapping shows memory of its own */
};
/* -EINVAL: no file, and no /dev/zero. */
long sys_object(int fd, struct sys_object *object);
/* Of a page of the hugetlbfs that FD is in; 0: it is in another. */
uint64_t sys_huge_bytes(int fd);
/* Whether FD is a message queue, see mq_overview(7). */
bool sys_is_queue(int fd);
/* Whether paths A and B lead to one file. */
bool sys_same_file(const char *a, const char *b);
/* A file at one moment: where it is the same at another, so are its bytes. */
struct sys_file {
	uint64_t dev;
	uint64_t ino;
	uint64_t size; /* bytes */
	int64_t changed_ns;
};
/* What FD is by now.  -EINVAL: no regular file. */
long sys_file(int fd, struct sys_file *file);
/* Copy LEN bytes at FROM, which may not be mapped: LEN, less, or -errno. */
long sys_peek(const void *from, void *to, size_t len);
/* Whether FD takes a write without waiting. */
bool sys_writable(int fd);
long sys_ioctl(int fd, unsigned long op, void *arg);
long sys_readlink(const char *path, char *buf, size_t len);
struct rlimit64;
/* Limit WHAT becomes TO, and *WAS what it was; NULL: not asked. */
long sys_rlimit(int what, const struct rlimit64 *to, struct rlimit64 *was);
/*
 * A limit on the size of files is for what the program writes, and ends it with
 * a signal: files of BYTES may be made.  Returns 1 where *WAS has to be put
 * back as RLIMIT_FSIZE, 0, or -EFBIG.
 */
long sys_lift_file_limit(uint64_t bytes, struct rlimit64 *was);
/*
 * memfd_create(2), closed on exec; SEALED: never to be executed.  Kernels from
 * 6.3 on want to know, and may permit one of the two only.
 */
long sys_memfd(const char *name, unsigned flags, bool sealed);
/* Whether any memory is in swap; so where that is not known. */
bool sys_swap_is_used(void);
/* Threads of this process; 1 where /proc does not tell. */
unsigned sys_threads(void);
/* Whether a seccomp filter watches this thread: unusual calls may kill. */
bool sys_filtered(void);
long sys_getpid(void);
long sys_gettid(void);

/*
 * Block every signal, SIGCANCEL included, but those that an instruction or a
 * seccomp filter raises; *OLD receives the mask before.
 */
void sys_signals_block(uint64_t *old);
/* Restore a mask from sys_signals_block(). */
void sys_signals_restore(const uint64_t *old);

/*
 * Write as sys_write() does, but drop the SIGPIPE or SIGXFSZ that it raises
 * in place of the program, which expects none.
 */
long sys_write_quietly(int fd, const void *buf, size_t len);

/*
 * Wait while *WORD is VALUE, at most TIMEOUT_NS; wake at most COUNT waiters.
 */
long sys_futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns);
/* The same where others may wake through other mappings, or the kernel does. */
long sys_futex_wait_shared(uint32_t *word, uint32_t value, uint64_t timeout_ns);
long sys_futex_wake(uint32_t *word, int count);

/*
 * clone(2) with FLAGS: the new thread calls BEGIN(STACK) on the stack that ends
 * at STACK, a multiple of 16, and never returns; the kernel clears *ALIVE at
 * its end if FLAGS say so.
 */
long sys_clone_to(unsigned long flags, void *stack, uint32_t *alive,
		  void (*begin)(void *stack));

/* Let others run: for waits of some microseconds. */
void sys_yield(void);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t sys_now_ns(void);

#endif
