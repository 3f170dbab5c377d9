/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of large modules by address: what has 100,000 symbols is not to be
 * searched through for each of a thousand callers.
 *
 * Contract: one thread at a time; memory is the shim's own, 12 bytes a
 * function, and stays.  Of symbols at one address a global one counts.
 */
#ifndef ANONSHIM_TRACK_SYMBOL_INDEX_H
#define ANONSHIM_TRACK_SYMBOL_INDEX_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of fewer symbols a search is quick enough. */
#define SYMBOL_INDEX_LEAST 4096

struct symbol_entry {
	uint32_t value;
	uint32_t size;
	uint32_t name; /* offset of it in the string table */
};

struct symbol_index {
	struct symbol_entry *entry;
	uint32_t n;
	uint32_t longest; /* bytes of the longest function */
};

/* Room for COUNT symbols.  False: no memory, or too many of them. */
bool symbol_index_init(struct symbol_index *index, size_t count);

/* Add those of COUNT symbols that are functions.  False: one does not fit. */
bool symbol_index_add(struct symbol_index *index, const ElfW(Sym) * sym,
		      size_t count);

/* After the last one, before the first search. */
void symbol_index_sort(struct symbol_index *index);

/* The function that holds OFFSET, the innermost; NULL: none. */
const struct symbol_entry *symbol_index_find(const struct symbol_index *index,
					     uintptr_t offset);

/* Whether S is a function with code. */
bool symbol_is_function(const ElfW(Sym) * s);

#endif
