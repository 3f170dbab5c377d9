/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory of a live process, with the privileges of strace(1). */
#ifndef ANONSHIM_TOOL_PROCMEM_H
#define ANONSHIM_TOOL_PROCMEM_H

#include <sys/types.h>

#include "tool/space.h"

struct procmem {
	struct space space;
	pid_t pid;
};

void procmem_init(struct procmem *mem, pid_t pid);

#endif
