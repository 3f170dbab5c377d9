/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The anonymous parts of modules, recorded and named when they are loaded.
 *
 * Contract: bss_record() and bss_forget() are what modules_start() wants,
 * called busy with registry_lock held.  A region map whose lock is not to be
 * had in time marks the registry inexact.
 */
#ifndef ANONSHIM_TRACK_BSS_H
#define ANONSHIM_TRACK_BSS_H

#include "track/module.h"

#include <stdint.h>

void bss_record(const struct module *module);
void bss_forget(const struct module *module);

/*
 * A module was loaded, of which CALLER is an address: name its bss, and notice
 * what was unloaded before.  Context: the program's own, guard_open().
 */
void bss_notice(uintptr_t caller);

#endif
