/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live bytes of the heap: the blocks that the program holds, as their size
 * classes.  The process goes on while its caches are read, so that a figure
 * may be off by what moved meanwhile; none is below 0.
 */
#ifndef ANONSHIM_TOOL_HEAP_LIVE_H
#define ANONSHIM_TOOL_HEAP_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "tool/registry_read.h"

/* Whether the process has any arena. */
bool heap_live_any(const struct registry *reg);

/*
 * Live bytes by arena, reg->narenas of them; free() gives the array back.
 * Arenas of one site are one: their bytes stand at the first, see
 * registry_arena(), and 0 at the others.
 */
uint64_t *heap_live_bytes(const struct registry *reg);

/* Live bytes of an account. */
uint64_t heap_live_account(const struct registry_account *account);

#endif
