/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors of this process; see fdlist.h.
 */
#include "base/fdlist.h"

#include "base/fmt.h"
#include "base/sys.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

/* Small, for it lives on stacks of unknown size. */
#define BUF_BYTES 2048

/* As the kernel has it: struct linux_dirent64. */
struct entry {
	uint64_t ino;
	int64_t offset;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

static void split(const char *buf, size_t len, int own, fdlist_each *each,
		  void *arg)
{
	size_t at = 0;

	while (at + sizeof(struct entry) <= len) {
		const struct entry *e = (const void *)(buf + at);
		const char *p = e->name;
		uint64_t fd;

		if (!fmt_parse_u64(&p, p + strlen(p), 10, &fd) && !*p &&
		    fd != (uint64_t)own)
			each((int)fd, arg);
		at += e->bytes;
	}
}

int fdlist_read(fdlist_each *each, void *arg)
{
	_Alignas(struct entry) char buf[BUF_BYTES];
	long fd = sys_open("/proc/self/fd", O_RDONLY | O_DIRECTORY, 0);
	long n;

	if (sys_failed(fd))
		return (int)fd;
	while ((n = sys_call(SYS_getdents64, fd, (long)buf, sizeof(buf), 0, 0,
			     0)) > 0)
		split(buf, (size_t)n, (int)fd, each, arg);
	sys_close((int)fd);
	return (int)n;
}

void fdlist_path(long tid, int fd, char path[FDLIST_PATH_BYTES])
{
	struct fmt f;

	fmt_init(&f, path, FDLIST_PATH_BYTES);
	fmt_str(&f, "/proc/self/");
	if (tid) {
		fmt_str(&f, "task/");
		fmt_u64(&f, (uint64_t)tid);
		fmt_char(&f, '/');
	}
	fmt_str(&f, "fd/");
	fmt_u64(&f, (uint64_t)fd);
}

long fdlist_open(long tid, int fd, int flags)
{
	char path[FDLIST_PATH_BYTES];

	fdlist_path(tid, fd, path);
	return sys_open(path, flags, 0);
}
