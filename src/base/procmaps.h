/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own list of VMAs, of this process.
 *
 * Contract: opens a descriptor for the time of the call; needs /proc.
 * Allocation-free; safe in signal handlers and after fork.
 */
#ifndef ANONSHIM_BASE_PROCMAPS_H
#define ANONSHIM_BASE_PROCMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCMAPS_NAME_BYTES 288

struct procmap_vma {
	uintptr_t start;
	uintptr_t end;
	uint64_t inode;
	uint64_t offset; /* in the file, bytes */
	uint32_t major;	 /* of the file's device */
	uint32_t minor;
	bool shared;
	bool readable;
	bool writable;
	bool executable;
	/* path, or [heap] and the like; its beginning, where it is longer */
	char name[PROCMAPS_NAME_BYTES];
};

/* Anonymous memory: private, or MAP_SHARED|MAP_ANONYMOUS; also the brk heap. */
bool procmap_anonymous(const struct procmap_vma *vma);

typedef void procmaps_each(const struct procmap_vma *vma, void *arg);

/* Call EACH for every VMA in address order.  Returns 0 or -errno. */
int procmaps_read(procmaps_each *each, void *arg);

/*
 * The VMA that holds ADDR, by the ioctl PROCMAP_QUERY (Linux 6.11).  Returns
 * 0, -ENOENT where nothing is mapped, -ENOTTY on older kernels.
 */
int procmaps_query(uintptr_t addr, struct procmap_vma *vma);

/* The same by reading the list; works everywhere, costs 0.3 us a VMA. */
int procmaps_find(uintptr_t addr, struct procmap_vma *vma);

/* Parse one line of /proc/PID/maps, [LINE, END) without its newline. */
int procmaps_parse(const char *line, const char *end, struct procmap_vma *vma);

#endif
