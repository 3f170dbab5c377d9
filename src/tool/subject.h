/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process that a command is about, live or dead in a core file: its VMAs,
 * its registry if it has one, and who claims what.  Subcommands see no
 * difference but `core`.
 *
 * Opening tells the user on stderr, one line each, of what failed and of what
 * makes the answer less than it could be.
 */
#ifndef ANONSHIM_TOOL_SUBJECT_H
#define ANONSHIM_TOOL_SUBJECT_H

#include <stdbool.h>
#include <sys/types.h>

#include "tool/attribute.h"
#include "tool/claim.h"
#include "tool/elf_core.h"
#include "tool/pagemap.h"
#include "tool/procfs.h"
#include "tool/procmem.h"
#include "tool/registry_read.h"
#include "tool/strpool.h"
#include "tool/vma.h"

struct subject {
	pid_t pid;
	char comm[64];
	const char *exe;  /* the last part of the executable's path */
	const char *core; /* path of the core file, NULL: a live process */
	struct strpool pool;
	struct vma_list vmas;
	bool has_registry;
	int without; /* else why not: -errno of shim_locate() */
	struct registry registry;
	struct claim_list claims;
	bool names_from_kernel; /* else from the registry */

	struct space *space;
	struct page_counter *counter;
	uint64_t page_bytes;
	/* of a live process */
	struct procfs proc;
	struct procmem mem;
	struct pagemap pagemap;
	/* of a core file */
	struct elf_core elf_core;
};

/*
 * Reads a live process; `proc` is "/proc" but in tests.  CLI_OK, or CLI_FAILED
 * after a line on stderr.  subject_close in any case.
 */
int subject_open_live(struct subject *subject, const char *proc, pid_t pid);

/* Reads a core file; the same. */
int subject_open_core(struct subject *subject, const char *path);

void subject_close(struct subject *subject);

/* Goes through the subject's memory, see attribute(). */
void subject_attribute(struct subject *subject, part_fn *fn, void *arg);

/* "kernel" or "registry": where the names come from. */
const char *subject_source(const struct subject *subject);

#endif
