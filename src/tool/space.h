/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An address space that can be read: of a live process (procmem.h) or out of a
 * core file (elf_core.h).  Whoever reads through it trusts nothing he gets.
 */
#ifndef ANONSHIM_TOOL_SPACE_H
#define ANONSHIM_TOOL_SPACE_H

#include <stddef.h>
#include <stdint.h>

struct space {
	/*
	 * Reads len bytes at addr: 0, -EFAULT where part of them is not there,
	 * -EPERM without the right to, -ESRCH when the process has gone, or
	 * another -errno.
	 */
	int (*read)(struct space *space, uint64_t addr, void *to, size_t len);
};

static inline int space_read(struct space *space, uint64_t addr, void *to,
			     size_t len)
{
	return space->read(space, addr, to, len);
}

#endif
