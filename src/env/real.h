/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The next definitions of what the shim interposes, libc's as a rule.
 *
 * Contract: until real_init() has run, and where a symbol is missing, the
 * pointers lead to raw system calls that set errno as libc does; so they may
 * be called at any time.  Nobody else calls dlsym.
 */
#ifndef ANONSHIM_ENV_REAL_H
#define ANONSHIM_ENV_REAL_H

#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mallinfo;
struct aiocb;
struct iovec;
struct mmsghdr;
struct msghdr;
struct timespec;
struct mallinfo2;
struct _IO_FILE;

#define REAL_FIONCLEX 0x5450 /* execve(2) will not close it */

/*
 * What reads, or passes on, what a descriptor leads to:
 * X(result, name, parameters, arguments, the descriptor)
 */
#define REAL_READS(X)                                                          \
	X(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), fd)        \
	X(ssize_t, __read_chk, (int fd, void *to, size_t n, size_t room),      \
	  (fd, to, n, room), fd)                                               \
	X(ssize_t, pread, (int fd, void *to, size_t n, off_t at),              \
	  (fd, to, n, at), fd)                                                 \
	X(ssize_t, pread64, (int fd, void *to, size_t n, off_t at),            \
	  (fd, to, n, at), fd)                                                 \
	X(ssize_t, __pread_chk,                                                \
	  (int fd, void *to, size_t n, off_t at, size_t room),                 \
	  (fd, to, n, at, room), fd)                                           \
	X(ssize_t, __pread64_chk,                                              \
	  (int fd, void *to, size_t n, off_t at, size_t room),                 \
	  (fd, to, n, at, room), fd)                                           \
	X(ssize_t, readv, (int fd, const struct iovec *v, int n), (fd, v, n),  \
	  fd)                                                                  \
	X(ssize_t, preadv, (int fd, const struct iovec *v, int n, off_t at),   \
	  (fd, v, n, at), fd)                                                  \
	X(ssize_t, preadv64, (int fd, const struct iovec *v, int n, off_t at), \
	  (fd, v, n, at), fd)                                                  \
	X(ssize_t, preadv2,                                                    \
	  (int fd, const struct iovec *v, int n, off_t at, int flags),         \
	  (fd, v, n, at, flags), fd)                                           \
	X(ssize_t, preadv64v2,                                                 \
	  (int fd, const struct iovec *v, int n, off_t at, int flags),         \
	  (fd, v, n, at, flags), fd)                                           \
	X(off_t, lseek, (int fd, off_t at, int whence), (fd, at, whence),      \
	  whence >= SEEK_DATA ? fd : -1)                                       \
	X(off_t, lseek64, (int fd, off_t at, int whence), (fd, at, whence),    \
	  whence >= SEEK_DATA ? fd : -1)                                       \
	X(int, ioctl, (int fd, unsigned long what, void *arg),                 \
	  (fd, what, arg), what == REAL_FIONCLEX ? fd : -1)                    \
	X(int, dup, (int fd), (fd), fd)                                        \
	X(int, dup2, (int fd, int to), (fd, to), fd)                           \
	X(int, dup3, (int fd, int to, int flags), (fd, to, flags), fd)

/*
 * What writes N bytes to descriptor TO, at *AT if that is not NULL, from
 * another one or in a way of its own: X(result, name, parameters, arguments,
 * the one that is read, TO, AT, N)
 */
#define REAL_TRANSFERS(X)                                                      \
	X(ssize_t, sendfile, (int to, int fd, off_t *at, size_t n),            \
	  (to, fd, at, n), fd, to, NULL, n)                                    \
	X(ssize_t, sendfile64, (int to, int fd, off_t *at, size_t n),          \
	  (to, fd, at, n), fd, to, NULL, n)                                    \
	X(ssize_t, splice,                                                     \
	  (int fd, off_t *at, int to, off_t *to_at, size_t n, unsigned flags), \
	  (fd, at, to, to_at, n, flags), fd, to, to_at, n)                     \
	X(ssize_t, copy_file_range,                                            \
	  (int fd, off_t *at, int to, off_t *to_at, size_t n, unsigned flags), \
	  (fd, at, to, to_at, n, flags), fd, to, to_at, n)                     \
	X(ssize_t, pwritev2,                                                   \
	  (int to, const struct iovec *v, int n, off_t at, int flags),         \
	  (to, v, n, at, flags), -1, to, where(&at, flags),                    \
	  how_much(v, n, flags))                                               \
	X(ssize_t, pwritev64v2,                                                \
	  (int to, const struct iovec *v, int n, off_t at, int flags),         \
	  (to, v, n, at, flags), -1, to, where(&at, flags),                    \
	  how_much(v, n, flags))

/* As <spawn.h> has it. */
typedef int real_spawn(pid_t *pid, const char *path, const void *actions,
		       const void *attributes, char *const argv[],
		       char *const vars[]);

struct real {
	void *(*mmap)(void *, size_t, int, int, int, off_t);
	int (*munmap)(void *, size_t);
	void *(*mremap)(void *, size_t, size_t, int, ...);
	long (*syscall)(long, ...);
	void *(*dlopen)(const char *, int);
	int (*prctl)(int, ...);
	int (*brk)(void *);
	void *(*sbrk)(intptr_t);
	/* NULL before real_init(), and where libc has none */
	pid_t (*fork)(void);
	pid_t (*_Fork)(void);
	pid_t (*forkpty)(int *, char *, const void *, const void *);
	int (*daemon)(int, int);
	int (*clone)(int (*)(void *), void *, int, void *, ...);
	int (*register_atfork)(void (*)(void), void (*)(void), void (*)(void),
			       void *);
	void (*files_lock)(void); /* _IO_list_lock */
	void (*files_unlock)(void);
	/* __libc_single_threaded, not a copy of the program's; glibc 2.32 */
	const volatile char *single_threaded;
	int (*unshare)(int);
	int (*setns)(int, int);
	int (*setuid)(uid_t);
	int (*setgid)(gid_t);
	int (*seteuid)(uid_t);
	int (*setegid)(gid_t);
	int (*setreuid)(uid_t, uid_t);
	int (*setregid)(gid_t, gid_t);
	int (*setresuid)(uid_t, uid_t, uid_t);
	int (*setresgid)(gid_t, gid_t, gid_t);
	int (*setgroups)(size_t, const gid_t *);
	int (*initgroups)(const char *, gid_t);
	int (*capset)(void *, const void *);
	int (*chroot)(const char *);
	int (*remap_file_pages)(void *, size_t, int, size_t, int);
	int (*madvise)(void *, size_t, int);
	int (*mlockall)(int);
	ssize_t (*write)(int, const void *, size_t);
	ssize_t (*pwrite)(int, const void *, size_t, off_t);
	ssize_t (*writev)(int, const struct iovec *, int);
	ssize_t (*pwritev)(int, const struct iovec *, int, off_t);
	int (*ftruncate)(int, off_t);
	int (*truncate)(const char *, off_t);
	int (*fallocate)(int, int, off_t, off_t);
	int (*fcntl)(int, int, ...);
	struct _IO_FILE *(*fdopen)(int, const char *);
	struct _IO_FILE *(*fopen)(const char *, const char *);
	struct _IO_FILE *(*fopen64)(const char *, const char *);
	struct _IO_FILE *(*freopen)(const char *, const char *,
				    struct _IO_FILE *);
	struct _IO_FILE *(*freopen64)(const char *, const char *,
				      struct _IO_FILE *);
	int (*fileno)(struct _IO_FILE *);
	int (*posix_fallocate)(int, off_t, off_t);
	int (*vsnprintf)(char *, size_t, const char *, va_list);
	int (*vdprintf)(int, const char *, va_list);
	int (*__vdprintf_chk)(int, int, const char *, va_list);
	int (*fexecve)(int, char *const[], char *const[]);
	int (*execveat)(int, const char *, char *const[], char *const[], int);
	/* NULL before glibc 2.34, unless librt is there */
	int (*aio_read)(struct aiocb *);
	int (*aio_read64)(struct aiocb *);
	int (*aio_write)(struct aiocb *);
	int (*aio_write64)(struct aiocb *);
	int (*lio_listio)(int, struct aiocb *const[], int, void *);
	int (*lio_listio64)(int, struct aiocb *const[], int, void *);
	real_spawn *posix_spawn;
	real_spawn *posix_spawnp;
	ssize_t (*sendmsg)(int, const struct msghdr *, int);
	int (*sendmmsg)(int, struct mmsghdr *, unsigned, int);
	ssize_t (*recvmsg)(int, struct msghdr *, int);
	int (*recvmmsg)(int, struct mmsghdr *, unsigned, int,
			struct timespec *);
#define X(result, name, parameters, arguments, fd) result(*name) parameters;
	REAL_READS(X)
#undef X
#define X(result, name, parameters, ...) result(*name) parameters;
	REAL_TRANSFERS(X)
#undef X
	int (*dl_iterate_phdr)(int (*)(struct dl_phdr_info *, size_t, void *),
			       void *);
	/* NULL before glibc 2.35 */
	int (*dl_find_object)(void *, struct dl_find_object *);
	/* NULL before real_init() */
	int (*pthread_create)(pthread_t *, const pthread_attr_t *,
			      void *(*)(void *), void *);
	/* likewise */
	void *(*malloc)(size_t);
	void *(*calloc)(size_t, size_t);
	void *(*realloc)(void *, size_t);
	void *(*memalign)(size_t, size_t);
	void (*free)(void *);
	size_t (*malloc_usable_size)(void *);
	int (*malloc_trim)(size_t);
	int (*mallopt)(int, int);
	struct mallinfo (*mallinfo)(void);
	struct mallinfo2 (*mallinfo2)(void); /* NULL before glibc 2.33 too */
	int (*malloc_info)(int, struct _IO_FILE *);
	void (*malloc_stats)(void);
	/* of the program's blocks; else base/string.c, which is slower */
	void *(*memcpy)(void *restrict, const void *restrict, size_t);
	void *(*memset)(void *, int, size_t);
};

extern struct real real;

/* RESULT, of a raw call, as libc has it: -1, and errno says why. */
long real_result(long result);

/* interpose/syscall.S jumps through it */
_Static_assert(offsetof(struct real, syscall) == 24, "see syscall.S");
_Static_assert(offsetof(struct real, dlopen) == 32, "see dlopen.S");

/* Look the symbols up; once, at start-up, in a place where dlsym may run. */
void real_init(void);

/* Whether the shim's definition of NAME is the one that the program calls. */
bool real_is_ours(const char *name);

/* The library, without its path, whose NAME comes next; NULL: libc's does. */
const char *real_other_library(const char *name);

/*
 * The first library, as "" the program, that takes a function from another
 * whose name is one of NAMES (patterns, glob.h), or NULL.
 */
const char *real_importer(const char *names);

/* The next definition of NAME, or NULL. */
void *real_next(const char *name);

/*
 * The next definition of NAME, else the one that the library which USER is
 * code of has for itself, else that in the first of LIBRARIES (sonames; the
 * last is NULL) that is loaded and has it, or NULL.  Takes the loader's lock.
 */
void *real_symbol(const char *name, const void *user,
		  const char *const *libraries);

#endif
