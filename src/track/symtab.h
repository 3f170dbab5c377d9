/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table of symbols, in memory or in a file, and an index of it by address.
 *
 * Tables come in no order, those of large programs have 100,000 symbols, and
 * a program with a thousand sites asks a thousand times.  The index holds the
 * numbers of the functions in the order of their addresses: 4 bytes each, or
 * 4.5 where the table is in a file.  What two symbols say of one address is
 * said once.  A short table has no index, and one for which there is no memory
 * does without.
 *
 * A symbol counts when its size covers the address: the nearest one below
 * would name a stranger in a stripped file.  Of several the innermost does, of
 * those at one address the first that is global, else the first.
 *
 * Contract: busy, registry_lock held.  symtab_find() makes the index at the
 * first call, in some 50 ns a symbol; meanwhile it maps 24 bytes a symbol, that
 * go back at its end.  From then on it is good for 0.3 us, or at most four
 * reads of the file.  A file that changes under its hands gives wrong answers:
 * see module_file.h for noticing.
 */
#ifndef ANONSHIM_TRACK_SYMTAB_H
#define ANONSHIM_TRACK_SYMTAB_H

#include "track/module_file.h"

/* Zeroed: an empty one. */
struct symtab {
	const ElfW(Sym) * sym; /* NULL: in a file */
	uint64_t at;	       /* in the file, bytes */
	uint32_t count;	       /* at most INT32_MAX */
	uint32_t span;	       /* functions are within SPAN of LOW */
	uintptr_t low;
	uint32_t entries; /* of the index; see symtab.c */
	uint32_t *number; /* NULL: there is none */
	uint32_t *mark;	  /* of a table in a file */
};

/*
 * The symbol of T, in FILE where it is not in memory, that covers OFFSET, a
 * value as symbols have; to *FOUND.
 */
bool symtab_find(struct symtab *t, const struct module_file *file,
		 uintptr_t offset, ElfW(Sym) * found);

/* Give the memory of T's index back and make T empty. */
void symtab_clear(struct symtab *t);

#endif
