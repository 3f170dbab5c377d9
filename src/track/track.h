/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls that change the address space, done and recorded: what the
 * interposed functions are made of.
 *
 * Contract: result and errno are those of the next definition of the function
 * (env/real.h), always.  Each blocks signals and holds the region map's lock
 * across the kernel's call, so that the map follows the kernel exactly; a call
 * that would then wait long for pages (MAP_POPULATE, MAP_LOCKED) is recorded
 * afterwards.  Where the lock cannot be had in time, the call is done without
 * the record and the map is read back from the kernel later.  Safe in signal
 * handlers; to be called only while guard_open().
 */
#ifndef ANONSHIM_TRACK_TRACK_H
#define ANONSHIM_TRACK_TRACK_H

#include "track/unwind.h"
#include "wire/registry_abi.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct mmap_args {
	void *addr;
	size_t len;
	int prot;
	int flags;
	int fd;
	off_t offset;
	enum registry_kind kind; /* KIND_NONE: as the flags have it */
};

struct mremap_args {
	void *old;
	size_t old_len;
	size_t new_len;
	int flags;
	void *new_addr;
};

void *track_mmap(const struct mmap_args *args,
		 const struct unwind_start *caller);
int track_munmap(void *addr, size_t len);
void *track_mremap(const struct mremap_args *args);
int track_remap_file_pages(void *addr, size_t len, int prot, size_t page,
			   int flags);
int track_brk(void *end);
void *track_sbrk(intptr_t increment);

/* prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, ADDR, LEN, NAME) by the program. */
int track_set_name(unsigned long addr, unsigned long len, const char *name);

/*
 * The program is about to confine itself with seccomp, or, CONFINED false,
 * failed to.  A filter may kill for any call the program does not make itself,
 * so from then on nothing is recorded, and the registry says that it is
 * inexact.
 */
void track_confined(bool confined);

/*
 * Pages [START, END) are the stack of thread TID, of SITE, until they are
 * released.
 */
void track_stack(uintptr_t start, uintptr_t end, uint32_t site, uint32_t tid);
void track_stack_release(uintptr_t start, uintptr_t end, uint32_t tid);

#endif
