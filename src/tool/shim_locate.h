/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the registry of a live process is. */
#ifndef ANONSHIM_TOOL_SHIM_LOCATE_H
#define ANONSHIM_TOOL_SHIM_LOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tool/space.h"
#include "tool/vma.h"

/* The file name, up to a version, that the shim is mapped under. */
#define SHIM_FILE "libanonshim.so"

/* Whether a path as maps has it names the shim. */
bool shim_locate_is_shim(const char *path);

/*
 * Finds the head of the registry through the symbol of a mapped shim: 0;
 * -ENOENT: no shim is mapped; -EAGAIN: one is, but has no registry (yet);
 * or the space's -errno.
 */
int shim_locate(const struct vma_list *vmas, struct space *space,
		uint64_t *head);

#endif
