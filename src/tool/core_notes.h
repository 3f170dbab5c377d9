/* SPDX-License-Identifier: BSD-2-Clause */
/* The notes of a core file: who it was, and which files were mapped. */
#ifndef ANONSHIM_TOOL_CORE_NOTES_H
#define ANONSHIM_TOOL_CORE_NOTES_H

#include "tool/elf_core.h"

/*
 * Takes core->notes[0..bytes) apart.  0, or -EBADMSG with core->why.  Paths of
 * the entries stay in core->notes.
 */
int core_notes_parse(struct elf_core *core, uint64_t bytes);

#endif
