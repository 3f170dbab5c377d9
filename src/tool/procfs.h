/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files of one process under /proc.  They are opened relative to the
 * process's directory, which stays its own when the PID is used again.
 */
#ifndef ANONSHIM_TOOL_PROCFS_H
#define ANONSHIM_TOOL_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct procfs {
	int dir;
};

/*
 * Opens the directory of a process; `proc` is "/proc", or what a test has put
 * in its place.  0 or -errno: -ESRCH for a process that is not there.
 */
int procfs_open(struct procfs *fs, const char *proc, pid_t pid);

/* Opens a file for reading: a descriptor or -errno. */
int procfs_file(const struct procfs *fs, const char *name);

/*
 * The text of a small file, cut to the buffer, ending in NUL without the last
 * newline: its length or -errno.
 */
ssize_t procfs_text(const struct procfs *fs, const char *name, char *to,
		    size_t bytes);

/* What a symbolic link holds, ending in NUL: its length or -errno. */
ssize_t procfs_link(const struct procfs *fs, const char *name, char *to,
		    size_t bytes);

/* Whether the process has ended, or is a zombie, which has no memory. */
bool procfs_gone(const struct procfs *fs);

/* Whether it is a thread of the kernel, which has no memory of its own. */
bool procfs_is_kernel_thread(const struct procfs *fs);

void procfs_close(struct procfs *fs);

#endif
