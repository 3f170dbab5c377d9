/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What files under /proc/PID tell of the shared objects of a live process: the
 * descriptors that lead to them, their sizes and seals.  Nothing is opened but
 * memfds, whose seals an open descriptor alone tells.
 */
#ifndef ANONSHIM_TOOL_ALIAS_FILE_H
#define ANONSHIM_TOOL_ALIAS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/procfs.h"
#include "tool/vma.h"

struct alias_file {
	uint64_t dev; /* in: as stat(2) has them; ino 0: of no file */
	uint64_t ino;
	/* out */
	bool has_fd;   /* the process has a descriptor of it */
	bool has_stat; /* the next two are known */
	uint64_t size_bytes;
	uint64_t held_bytes;
	bool is_linked; /* has_fd: a name leads to it */
	bool has_seals; /* has_fd: they are known */
	unsigned seals;
	char path[512]; /* has_fd: as the kernel shows it, or "" */
};

/*
 * Looks files[0..n), all but their input zero, up among the descriptors of a
 * process.  0 or -errno, where these cannot be listed.
 */
int alias_files_read(const struct procfs *proc, struct alias_file *files,
		     size_t n);

/*
 * Sizes of a file by a mapping of it, which takes privileges; without them
 * nothing changes.
 */
void alias_file_by_mapping(const struct procfs *proc, const struct vma *vma,
			   struct alias_file *file);

#endif
