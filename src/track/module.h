/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modules of the process: the executable and its shared objects.
 *
 * Contract: the loader's own lock is taken once, at start-up, and never on a
 * path that the program did not already take it on: a thread may map memory
 * while another, inside dl_iterate_phdr, waits for a lock of its.  Afterwards
 * modules are learnt one by one through _dl_find_object (glibc 2.35), which
 * takes no lock, from an address whose code is running and so cannot be
 * unloaded meanwhile.  All functions are called busy (env/guard.h) with
 * registry_lock held.
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
	uint32_t phnum;
	uint32_t id;   /* in the registry's table; never 0 */
	uint32_t load; /* each has another; a module loaded again as well */
	uint64_t mark; /* of its name and code, see module.c */
	const void *unwind; /* its .eh_frame_hdr, or NULL */
};

/* Grows with every load and unload noticed: what was learnt of addresses
 * before may be stale. */
extern uint32_t modules_generation;

typedef void module_each(const struct module *module);

/*
 * Enter all that is loaded now.  From here on LOADED is called for each new
 * module and UNLOADED for each that is gone.
 */
void modules_start(module_each *loaded, module_each *unloaded);

/* The module that holds ADDR, running code, learnt if new; NULL: none. */
const struct module *module_at(uintptr_t addr);

/* Notice what was unloaded.  Costs 10 ns a module. */
void modules_sweep(void);

/*
 * The program headers, *N of them, of the module that O is of: behind the ELF
 * header, in the same page, as linkers have it; of a program with holes between
 * its segments, each an object of its own, the kernel's.  NULL: they are not
 * there.  Needs no lock.
 */
const ElfW(Phdr) * module_headers(const struct dl_find_object *o, unsigned *n);

/* Soname, or else the last part of the path. */
const char *module_owner(const struct module *module);
const char *module_path(const struct module *module);

/* A value of MODULE's dynamic section; 0: not there.  Addresses are absolute.*/
uintptr_t module_dynamic(const struct module *module, ElfW(Sxword) tag);

#endif
