/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modules of the process: the executable and its shared objects.
 *
 * Contract: loads and unloads are noticed by the loader's own counters, so
 * that dlopen need not be interposed.  modules_changed() is cheap and safe
 * anywhere.  All else is called busy (env/guard.h) with registry_lock held,
 * except modules_update(), which takes it.
 */
#ifndef ANONSHIM_TRACK_MODULE_H
#define ANONSHIM_TRACK_MODULE_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct module {
	uintptr_t bias;
	uintptr_t start; /* what its PT_LOADs span */
	uintptr_t end;
	uintptr_t bss_start; /* whole anonymous pages behind its data; equal */
	uintptr_t bss_end;   /* to bss_start where there are none */
	const ElfW(Phdr) * phdr;
	const ElfW(Dyn) * dynamic;
	const void *eh_frame_hdr;
	uint32_t phnum;
	uint32_t id; /* in the registry's table; never 0 */
};

/* Counts unloads: rules and addresses learnt before one may be stale. */
extern uint32_t modules_unloads;

/* Whether the loader did anything since the last modules_update(). */
bool modules_changed(void);

typedef void module_each(const struct module *module);

/*
 * Read the loader's list.  Calls LOADED for each new module and UNLOADED for
 * each that is gone, without registry_lock.  Returns 0 or -errno.
 */
int modules_update(module_each *loaded, module_each *unloaded);

/* The module that holds ADDR, or NULL. */
const struct module *module_find(uintptr_t addr);

/* The loaded module with registry id ID, or NULL. */
const struct module *module_by_id(uint32_t id);

/* Soname, or else the last part of the path. */
const char *module_owner(const struct module *module);
const char *module_path(const struct module *module);

/* A value of MODULE's dynamic section; 0: not there.  Addresses are absolute.*/
uintptr_t module_dynamic(const struct module *module, ElfW(Sxword) tag);

#endif
