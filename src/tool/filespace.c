/* SPDX-License-Identifier: BSD-2-Clause */
/* Files read like an address space. */
#include "tool/filespace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not to be held up by a fifo or a device of that name. */
#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

static int filespace_read(struct space *space, uint64_t addr, void *to,
			  size_t len)
{
	struct filespace *file = (struct filespace *)space;

	if (addr > file->bytes || len > file->bytes - addr)
		return -EFAULT;
	while (len > 0) {
		ssize_t got = pread(file->fd, to, len, (off_t)addr);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EFAULT;
		addr += (uint64_t)got;
		to = (char *)to + got;
		len -= (size_t)got;
	}
	return 0;
}

static int open_path(const struct procfs *proc, const char *path)
{
	char below[PATH_MAX];
	int fd;

	if (path[0] != '/')
		return -ENOENT;
	if (snprintf(below, sizeof(below), "root%s", path) >=
	    (int)sizeof(below))
		return -ENAMETOOLONG;
	fd = proc != NULL ? openat(proc->dir, below, OPEN_FLAGS)
			  : open(path, OPEN_FLAGS);
	return fd >= 0 ? fd : -errno;
}

int filespace_open(struct filespace *file, const struct procfs *proc,
		   const char *path)
{
	struct stat st;

	file->space.read = filespace_read;
	file->fd = open_path(proc, path);
	if (file->fd < 0)
		return file->fd;
	if (fstat(file->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		filespace_close(file);
		return -ENOEXEC;
	}
	file->bytes = (uint64_t)st.st_size;
	file->inode = st.st_ino;
	return 0;
}

void filespace_close(struct filespace *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}
