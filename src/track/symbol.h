/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses to function names: the file's .symtab where it has one, else the
 * .dynsym in memory, else +0x1a2, the offset in the module.
 *
 * Contract: busy, registry_lock held.  Opens the module's file for the time of
 * the call where files may be opened (caps.files), until it is known to have no
 * .symtab; reads no file that differs from what is mapped.  Costs 0.5 us, or
 * 5 us with the file; once a large module, milliseconds (see symtab.h).
 */
#ifndef ANONSHIM_TRACK_SYMBOL_H
#define ANONSHIM_TRACK_SYMBOL_H

#include "base/fmt.h"
#include "track/module.h"

/* Append the name of the function of MODULE that holds ADDR to F. */
void symbol_find(const struct module *module, uintptr_t addr, struct fmt *f);

#endif
