/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A core file: the memory of a process that has died, and the notes the kernel
 * (or gdb's gcore) wrote about it.
 *
 * A core does not say what was resident.  What it has are pages: those that
 * were never touched are holes or zeros, so that a page with something in it
 * is what elf_core counts.  Such a page may have been in swap, and a resident
 * one that held only zeros is missed.
 */
#ifndef ANONSHIM_TOOL_ELF_CORE_H
#define ANONSHIM_TOOL_ELF_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tool/page_count.h"
#include "tool/space.h"
#include "tool/strpool.h"
#include "tool/vma.h"

/* A PT_LOAD: memory, and how much of it the file holds. */
struct elf_core_load {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t file_bytes;
	uint32_t flags; /* PF_R and so on */
};

/* An entry of NT_FILE: memory that is mapped from a file. */
struct elf_core_file {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	const char *path; /* in elf_core.notes */
};

struct elf_core {
	struct space space;
	struct page_counter counter;
	int fd;
	uint64_t bytes; /* of the file */
	uint64_t page_bytes;
	struct elf_core_load *load; /* in address order */
	size_t nloads;
	struct elf_core_file *file; /* in address order */
	size_t nfiles;
	char *notes;
	pid_t pid;
	char comm[17];
	/* from the auxiliary vector, 0: not there */
	uint64_t vdso;
	uint64_t entry;
	uint64_t execfn;
	char why[128]; /* of a failure: what is wrong, for people */
};

/*
 * Opens and checks a core file: 0, -EBADMSG with `why`, or -errno.  A file
 * that ends before the memory it promises is refused as truncated.
 * elf_core_close in any case.
 */
int elf_core_open(struct elf_core *core, const char *path);

void elf_core_close(struct elf_core *core);

/*
 * The core's VMAs, with the pages that hold something as RSS; names go to the
 * pool.  0 or -errno.
 */
int elf_core_vmas(struct elf_core *core, struct vma_list *list,
		  struct strpool *pool);

/* The address of the registry, or 0: the page that starts like its head. */
uint64_t elf_core_find_registry(struct elf_core *core);

/* The NT_FILE entry that holds addr, or NULL. */
const struct elf_core_file *elf_core_file_at(const struct elf_core *core,
					     uint64_t addr);

#endif
