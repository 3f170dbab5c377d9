/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of one process under /proc. */
#include "tool/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000 /* <linux/sched.h>; field 9 of stat */

int procfs_open(struct procfs *fs, const char *proc, pid_t pid)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%d", proc, (int)pid);
	fs->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fs->dir >= 0)
		return 0;
	return errno == ENOENT ? -ESRCH : -errno;
}

int procfs_file(const struct procfs *fs, const char *name)
{
	int fd = openat(fs->dir, name, O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? fd : -errno;
}

static ssize_t read_some(int fd, char *to, size_t bytes)
{
	ssize_t got;

	do
		got = read(fd, to, bytes);
	while (got < 0 && errno == EINTR);
	return got >= 0 ? got : -errno;
}

ssize_t procfs_text(const struct procfs *fs, const char *name, char *to,
		    size_t bytes)
{
	int fd = procfs_file(fs, name);
	ssize_t got;

	to[0] = '\0';
	if (fd < 0)
		return fd;
	got = read_some(fd, to, bytes - 1);
	close(fd);
	if (got > 0 && to[got - 1] == '\n')
		got--;
	to[got > 0 ? got : 0] = '\0';
	return got;
}

ssize_t procfs_link(const struct procfs *fs, const char *name, char *to,
		    size_t bytes)
{
	ssize_t got = readlinkat(fs->dir, name, to, bytes - 1);

	to[got > 0 ? got : 0] = '\0';
	return got >= 0 ? got : -errno;
}

/* What follows the name in stat, which may hold anything, also `) `. */
static const char *after_name(char *stat)
{
	char *paren = strrchr(stat, ')');

	return paren != NULL && paren[1] == ' ' ? paren + 2 : "";
}

bool procfs_gone(const struct procfs *fs)
{
	char stat[1024];
	const char *state;

	if (procfs_text(fs, "stat", stat, sizeof(stat)) <= 0)
		return true;
	state = after_name(stat);
	return state[0] == 'Z' || state[0] == 'X';
}

bool procfs_is_kernel_thread(const struct procfs *fs)
{
	char stat[1024];
	const char *field;

	if (procfs_text(fs, "stat", stat, sizeof(stat)) <= 0)
		return false;
	field = after_name(stat);
	for (int i = 3; i < 9 && field != NULL; i++) {
		field = strchr(field, ' ');
		if (field != NULL)
			field++;
	}
	return field != NULL && (strtoul(field, NULL, 10) & PF_KTHREAD) != 0;
}

void procfs_close(struct procfs *fs)
{
	if (fs->dir >= 0)
		close(fs->dir);
	fs->dir = -1;
}
