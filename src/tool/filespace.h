/* SPDX-License-Identifier: BSD-2-Clause */
/* A file, most often an ELF module, read like an address space from 0 on. */
#ifndef ANONSHIM_TOOL_FILESPACE_H
#define ANONSHIM_TOOL_FILESPACE_H

#include "tool/procfs.h"
#include "tool/space.h"

struct filespace {
	struct space space;
	int fd;
	uint64_t bytes;
	uint64_t inode;
};

/*
 * Opens a regular file by the path a process knows it by; proc NULL: by the
 * path it has here.  0 or -errno.
 */
int filespace_open(struct filespace *file, const struct procfs *proc,
		   const char *path);

void filespace_close(struct filespace *file);

#endif
