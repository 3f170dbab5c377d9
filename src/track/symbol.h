/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses to function names: the file's .symtab where it has one, else the
 * .dynsym in memory, else +0x1a2, the offset in the module.
 *
 * Contract: busy, registry_lock held.  Opens the module's file once a call
 * where files may be opened (caps.files); reads no file that differs from what
 * is mapped.  Costs from 10 us to milliseconds: once a site.
 */
#ifndef ANONSHIM_TRACK_SYMBOL_H
#define ANONSHIM_TRACK_SYMBOL_H

#include "base/fmt.h"
#include "track/module.h"

/* Append the name of the function of MODULE that holds ADDR to F. */
void symbol_find(const struct module *module, uintptr_t addr, struct fmt *f);

#endif
