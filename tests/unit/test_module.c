/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules that come and go.
 */
#include "env/guard.h"
#include "support.h"
#include "track/bss.h"
#include "track/module.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#define PLUGIN TEST_BUILD_DIR "/plugin.so"
#define STRIPPED TEST_BUILD_DIR "/plugin_stripped.so"
#define MANY TEST_BUILD_DIR "/plugin_many.so"
#define MORE TEST_BUILD_DIR "/plugin_more.so"

static unsigned loads;
static unsigned unloads;
static struct module last;

static void on_load(const struct module *m)
{
	loads++;
	last = *m;
}

static void on_unload(const struct module *m)
{
	unloads++;
	last = *m;
}

static void enter(void)
{
	guard_enter();
	cr_assert(lock_take(&registry_lock));
}

static void leave(void)
{
	lock_drop(&registry_lock);
	guard_leave();
}

/* A copy, for what the list holds moves. */
static bool find(uintptr_t addr, struct module *to)
{
	const struct module *m;

	enter();
	m = module_at(addr);
	if (m)
		*to = *m;
	leave();
	return m;
}

static void sweep(void)
{
	enter();
	modules_sweep();
	leave();
}

static void start(void)
{
	shim_configure("naming=registry");
	cr_assert_eq(registry_init("test", ""), 0);
	enter();
	modules_start(on_load, on_unload);
	leave();
	cr_assert_geq(loads, 4);
	loads = unloads = 0;
}

static void *load(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW);

	cr_assert_not_null(handle, "%s", dlerror());
	return handle;
}

static uintptr_t function_of(void *handle)
{
	return (uintptr_t)dlsym(handle, "plugin_call");
}

Test(module, the_program_and_its_libraries, .init = start)
{
	struct module self;
	struct module libc;

	cr_assert(find((uintptr_t)start, &self));
	cr_assert_str_eq(module_owner(&self), "test_module");
	cr_assert_eq(module_path(&self)[0], '/');
	cr_assert(find(libc_function("qsort"), &libc));
	cr_assert_str_eq(module_owner(&libc), "libc.so.6");
	cr_assert_neq(libc.id, self.id);
	cr_assert(!find(16, &self));
	cr_assert(!find((uintptr_t)&libc, &self), "a stack");
	cr_assert_eq(loads, 0, "all were known");
}

static int find_one(struct dl_phdr_info *info, size_t size, void *count)
{
	struct module m;

	(void)size;
	for (unsigned i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD) {
			*(int *)count += find(
				info->dlpi_addr + info->dlpi_phdr[i].p_vaddr,
				&m);
			break;
		}
	return 0;
}

/* Each is itself however often it is asked for: nothing is learnt anew. */
Test(module, what_is_known_stays_known, .init = start)
{
	uint32_t generation;
	int count = 0;

	load(STRIPPED);
	load(PLUGIN);
	dl_iterate_phdr(find_one, &count);
	cr_assert_geq(count, 6);
	generation = modules_generation;
	dl_iterate_phdr(find_one, &count);
	sweep();
	cr_assert_eq(modules_generation, generation);
}

/* One by one of the same layout: only their names differ. */
Test(module, a_twin_in_its_place, .init = start)
{
	void *handle = load(MANY);
	uintptr_t function = (uintptr_t)dlsym(handle, "many_shown_n00000");
	struct module m;

	cr_assert(find(function, &m));
	dlclose(handle);
	handle = load(MORE);
	cr_assert_eq((uintptr_t)dlsym(handle, "more_shown_n00000"), function);
	cr_assert(find(function, &m));
	cr_assert_str_eq(module_owner(&m), "plugin_more.so");
}

Test(module, a_load_is_learnt_and_an_unload_swept, .init = start)
{
	uint32_t before = modules_generation;
	void *handle = load(PLUGIN);
	uintptr_t function = function_of(handle);
	struct module m;

	cr_assert(find(function, &m));
	cr_assert(loads == 1 && unloads == 0);
	cr_assert_gt(modules_generation, before, "rules may be stale");
	cr_assert_str_eq(module_owner(&m), "libplugin.so.7",
			 "the soname, not the file's name");
	cr_assert_geq(m.bss_end - m.bss_start, 7 * PAGE);
	sweep();
	cr_assert_eq(unloads, 0);
	before = modules_generation;
	dlclose(handle);
	sweep();
	cr_assert_eq(unloads, 1);
	cr_assert_eq(last.id, m.id);
	cr_assert_gt(modules_generation, before);
	cr_assert(registry_module_at(m.id)->unloaded);
	cr_assert(!find(function, &m));
}

Test(module, a_reload_has_the_same_id, .init = start)
{
	struct module m;
	uint64_t count;
	uint32_t id;
	void *handle = load(PLUGIN);

	cr_assert(find(function_of(handle), &m));
	id = m.id;
	count = anonshim_registry->table[REGISTRY_MODULES].count;
	for (unsigned i = 0; i < 20; i++) {
		dlclose(handle);
		sweep();
		handle = load(PLUGIN);
		cr_assert(find(function_of(handle), &m));
		cr_assert_eq(m.id, id);
	}
	cr_assert_eq(anonshim_registry->table[REGISTRY_MODULES].count, count);
	cr_assert(!registry_module_at(id)->unloaded);
}

/* Unloaded, and another in its place, between two looks. */
Test(module, a_change_unseen_in_between, .init = start)
{
	void *handle = load(PLUGIN);
	struct module m;

	cr_assert(find(function_of(handle), &m));
	dlclose(handle);
	handle = load(STRIPPED);
	cr_assert(find(function_of(handle), &m));
	cr_assert_str_eq(module_owner(&m), "plugin_stripped.so");
	handle = load(PLUGIN);
	cr_assert(find(function_of(handle), &m));
	cr_assert_str_eq(module_owner(&m), "libplugin.so.7");
}

Test(module, dynamic_values, .init = start)
{
	struct module libc;

	cr_assert(find(libc_function("qsort"), &libc));
	cr_assert_neq(module_dynamic(&libc, DT_STRTAB), 0);
	cr_assert_neq(module_dynamic(&libc, DT_SONAME), 0);
	cr_assert_eq(module_dynamic(&libc, 0x12345678), 0);
}

static uintptr_t bss_of(void *handle)
{
	return (uintptr_t)dlsym(handle, "plugin_bss") + PAGE;
}

Test(module, bss_is_recorded_when_loaded_and_gone_when_not)
{
	uintptr_t bss;
	void *handle;

	shim_start("naming=registry");
	handle = load(PLUGIN);
	bss = bss_of(handle);
	bss_notice(function_of(handle));
	cr_assert(region_at(bss));
	cr_assert_eq(registry_site_at(region_at(bss)->site)->kind, KIND_BSS);
	dlclose(handle);
	sweep();
	cr_assert_null(region_at(bss));
}

Test(module, bss_is_left_alone_when_told_so)
{
	void *handle;

	shim_start("naming=registry,bss=0");
	handle = load(PLUGIN);
	bss_notice(function_of(handle));
	cr_assert_null(region_at(bss_of(handle)));
}

/* With no memory for it a module has no record, and nothing else happens. */
Test(module, out_of_memory, .init = start)
{
	struct module m;
	void *handle = load(PLUGIN);

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	find(function_of(handle), &m);
	fault_none();
	cr_assert(find(function_of(handle), &m));
}
