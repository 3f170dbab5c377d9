/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ELF module as it lies in memory: its program headers, its dynamic section
 * and the symbols it exports.  Only modules of the tool's own class and byte
 * order; everything read is taken for hostile.
 */
#ifndef ANONSHIM_TOOL_ELF_SYM_H
#define ANONSHIM_TOOL_ELF_SYM_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/space.h"

#define ELF_SYM_MOST_PHDRS 128

struct elf_module {
	ElfW(Phdr) phdr[ELF_SYM_MOST_PHDRS];
	size_t nphdrs;
	uint64_t bias; /* load address minus link address */
};

/* Whether the bytes begin an ELF file that this tool can read. */
bool elf_sym_is_native(const ElfW(Ehdr) * ehdr);

/*
 * Reads the program headers of the module whose first byte is at base: 0,
 * -ENOEXEC where there is none, or the -errno of the space.
 */
int elf_sym_open(struct elf_module *module, struct space *space, uint64_t base);

/* The address of an exported symbol: 0, -ENOENT or the space's -errno. */
int elf_sym_find(const struct elf_module *module, struct space *space,
		 const char *symbol, uint64_t *addr);

#endif
