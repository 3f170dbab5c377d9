/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a place in a module to the function there, by .symtab of the module's
 * file where it has one, else by .dynsym.
 */
#ifndef ANONSHIM_TOOL_SYMBOLISE_H
#define ANONSHIM_TOOL_SYMBOLISE_H

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/filespace.h"

/* The symbols of one file. */
struct symbolise {
	ElfW(Sym) * symbol;
	size_t count;
	char *strings; /* ends in NUL */
	size_t strings_bytes;
};

/* Reads the symbols of an open ELF file: 0, -ENOENT if none, or -errno. */
int symbolise_open(struct symbolise *symbols, struct filespace *file);

void symbolise_close(struct symbolise *symbols);

/*
 * The function that holds link address addr, as the symbol table has it, and
 * how far into it addr is; NULL if none does.
 */
const char *symbolise_find(const struct symbolise *symbols, uint64_t addr,
			   uint64_t *into);

#endif
