/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exported libc names that read or write what a descriptor leads to inside
 * libc, where no other name is met: in a child whose copy is still being made
 * what they write would be taken for the copy, and what they read is not there
 * yet; a parent's child would see what they write.
 */
#include "cow/cow.h"
#include "env/real.h"
#include "interpose/interpose.h"
#include "interpose/objects.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

/* What FORMAT and LIST say is about to be written to FD, where it is. */
static void before_printing(int fd, const char *format, va_list list)
{
	va_list copy;
	int n;

	if (!cow_guards(fd))
		return;
	cow_drain();
	va_copy(copy, list);
	n = cow_holds() ? real.vsnprintf(NULL, 0, format, copy) : 0;
	va_end(copy);
	if (n > 0)
		cow_overwrites(fd, NULL, (size_t)n);
}

/* What it makes in a child's copy is no hole any more, and never filled. */
int posix_fallocate(int fd, off_t at, off_t len);

EXPORT int posix_fallocate(int fd, off_t at, off_t len)
{
	int err = errno;

	if (!real.posix_fallocate)
		real_init();
	if (cow_guards(fd) && !cow_write(SYS_fallocate, fd, 0, at, len))
		return 0;
	errno = err; /* libc tells otherwise, or does without */
	return real.posix_fallocate(fd, at, len);
}

int posix_fallocate64(int fd, off_t at, off_t len);

EXPORT int posix_fallocate64(int fd, off_t at, off_t len)
{
	return posix_fallocate(fd, at, len);
}

int vdprintf(int fd, const char *format, va_list list);

EXPORT int vdprintf(int fd, const char *format, va_list list)
{
	if (!real.vdprintf)
		real_init();
	before_printing(fd, format, list);
	return real.vdprintf(fd, format, list);
}

int __vdprintf_chk(int fd, int flag, const char *format, va_list list);

EXPORT int __vdprintf_chk(int fd, int flag, const char *format, va_list list)
{
	if (!real.__vdprintf_chk)
		real_init();
	before_printing(fd, format, list);
	return real.__vdprintf_chk(fd, flag, format, list);
}

int dprintf(int fd, const char *format, ...);

EXPORT int dprintf(int fd, const char *format, ...)
{
	va_list list;
	int result;

	va_start(list, format);
	result = vdprintf(fd, format, list);
	va_end(list);
	return result;
}

int __dprintf_chk(int fd, int flag, const char *format, ...);

EXPORT int __dprintf_chk(int fd, int flag, const char *format, ...)
{
	va_list list;
	int result;

	va_start(list, format);
	result = __vdprintf_chk(fd, flag, format, list);
	va_end(list);
	return result;
}

/* Files ------------------------------------------------------------------- */

/* A FILE of FD is about to be made. */
static void before_file(int fd)
{
	if (cow_guards(fd))
		cow_drain();
}

struct _IO_FILE *fdopen(int fd, const char *mode);

/* What is done to a FILE nobody sees. */
EXPORT struct _IO_FILE *fdopen(int fd, const char *mode)
{
	struct _IO_FILE *result;

	if (!real.fdopen)
		real_init();
	before_file(fd);
	result = real.fdopen(fd, mode);
	if (result)
		objects_escape(fd);
	return result;
}

/* Whether PATH may be a descriptor's, a mapping's, or all memory's: others in
 * /proc are read all the while, and are not to end a copy. */
static bool may_be_open(const char *path)
{
	if (!path || (strncmp(path, "/proc/", 6) && strncmp(path, "/dev/", 5)))
		return false;
	return strstr(path, "/fd/") || strstr(path, "/map_files/") ||
	       !strncmp(path, "/dev/std", 8) ||
	       !strcmp(strrchr(path, '/'), "/mem");
}

static struct _IO_FILE *escaped(struct _IO_FILE *file)
{
	if (file && real.fileno)
		objects_escape(real.fileno(file));
	return file;
}

/* The same of those that are opened by such a name; others' callers are to be
 * seen where memory is asked for. */
#define OPENS(name, parameters, arguments)                   \
	struct _IO_FILE *name parameters;                    \
	EXPORT struct _IO_FILE *name parameters              \
	{                                                    \
		if (!real.name)                              \
			real_init();                         \
		if (__builtin_expect(!may_be_open(path), 1)) \
			return real.name arguments;          \
		cow_drain();                                 \
		return escaped(real.name arguments);         \
	}
OPENS(fopen, (const char *path, const char *mode), (path, mode))
OPENS(fopen64, (const char *path, const char *mode), (path, mode))
OPENS(freopen, (const char *path, const char *mode, struct _IO_FILE *file),
      (path, mode, file))
OPENS(freopen64, (const char *path, const char *mode, struct _IO_FILE *file),
      (path, mode, file))

/* Programs ---------------------------------------------------------------- */

int fexecve(int fd, char *const argv[], char *const vars[]);

EXPORT int fexecve(int fd, char *const argv[], char *const vars[])
{
	if (!real.fexecve)
		real_init();
	cow_reads(fd);
	return real.fexecve(fd, argv, vars);
}

int execveat(int fd, const char *path, char *const argv[], char *const vars[],
	     int flags);

EXPORT int execveat(int fd, const char *path, char *const argv[],
		    char *const vars[], int flags)
{
	REAL_NEEDED(execveat);
	cow_reads(fd);
	return real.execveat(fd, path, argv, vars, flags);
}

/* Threads of libc's own --------------------------------------------------- */

struct aiocb;

/* <aio.h> has it so. */
static int descriptor_of(const struct aiocb *a)
{
	return *(const int *)(const void *)a;
}

static void before_request(const struct aiocb *a)
{
	int fd = descriptor_of(a);

	before_file(fd);
	objects_escape(fd);
}

#define REQUESTS(name)                   \
	int name(struct aiocb *a);       \
	EXPORT int name(struct aiocb *a) \
	{                                \
		REAL_NEEDED(name);       \
		before_request(a);       \
		return real.name(a);     \
	}
REQUESTS(aio_read)
REQUESTS(aio_read64)
REQUESTS(aio_write)
REQUESTS(aio_write64)

#define LISTS(name)                                                         \
	int name(int mode, struct aiocb *const list[], int n, void *event); \
	EXPORT int name(int mode, struct aiocb *const list[], int n,        \
			void *event)                                        \
	{                                                                   \
		REAL_NEEDED(name);                                          \
		for (int i = 0; i < n; i++)                                 \
			if (list[i])                                        \
				before_request(list[i]);                    \
		return real.name(mode, list, n, event);                     \
	}
LISTS(lio_listio)
LISTS(lio_listio64)
