/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Modules that come and go.
 */
#include "env/guard.h"
#include "support.h"
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

static int update(void)
{
	int result;

	loads = unloads = 0;
	guard_enter();
	result = modules_update(on_load, on_unload);
	guard_leave();
	return result;
}

static void start(void)
{
	shim_configure("naming=registry");
	cr_assert_eq(registry_init("test", ""), 0);
	cr_assert(modules_changed());
	cr_assert_eq(update(), 0);
	cr_assert_geq(loads, 4);
	cr_assert(!modules_changed());
}

static void *load(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW);

	cr_assert_not_null(handle, "%s", dlerror());
	return handle;
}

Test(module, the_program_and_its_libraries, .init = start)
{
	const struct module *self = module_find((uintptr_t)start);
	const struct module *libc = module_find((uintptr_t)strlen);

	cr_assert_not_null(self);
	cr_assert_str_eq(module_owner(self), "test_module");
	cr_assert_eq(module_path(self)[0], '/');
	cr_assert_not_null(libc);
	cr_assert_str_eq(module_owner(libc), "libc.so.6");
	cr_assert_eq(module_by_id(libc->id), libc);
	cr_assert_null(module_by_id(9999));
	cr_assert_null(module_find(16));
	cr_assert_null(module_find((uintptr_t)&libc), "a stack");
}

Test(module, a_load_and_an_unload_are_noticed, .init = start)
{
	uint32_t before = modules_unloads;
	void *handle = load(PLUGIN);
	uintptr_t function = (uintptr_t)dlsym(handle, "plugin_call");
	uint32_t id;

	cr_assert(modules_changed());
	cr_assert_eq(update(), 0);
	cr_assert(loads == 1 && unloads == 0);
	cr_assert_eq(modules_unloads, before);
	cr_assert_not_null(module_find(function));
	cr_assert_str_eq(module_owner(module_find(function)), "libplugin.so.7",
			 "the soname, not the file's name");
	cr_assert_geq(last.bss_end - last.bss_start, 7 * PAGE);
	id = last.id;
	dlclose(handle);
	cr_assert(modules_changed());
	cr_assert_eq(update(), 0);
	cr_assert(loads == 0 && unloads == 1);
	cr_assert_eq(last.id, id);
	cr_assert_eq(modules_unloads, before + 1);
	cr_assert_null(module_find(function));
	cr_assert_null(module_by_id(id));
	cr_assert(registry_module_at(id)->unloaded);
}

Test(module, a_reload_has_the_same_id, .init = start)
{
	uint64_t count;
	uint32_t id;
	void *handle = load(PLUGIN);

	update();
	id = last.id;
	count = anonshim_registry->table[REGISTRY_MODULES].count;
	for (unsigned i = 0; i < 20; i++) {
		dlclose(handle);
		update();
		handle = load(PLUGIN);
		update();
		cr_assert_eq(last.id, id);
	}
	cr_assert_eq(anonshim_registry->table[REGISTRY_MODULES].count, count);
	cr_assert(!registry_module_at(id)->unloaded);
}

/* Unloaded and loaded again between two looks. */
Test(module, a_change_unseen_in_between, .init = start)
{
	void *handle = load(PLUGIN);
	uintptr_t function;

	update();
	dlclose(handle);
	load(STRIPPED);
	handle = load(PLUGIN);
	cr_assert_eq(update(), 0);
	function = (uintptr_t)dlsym(handle, "plugin_call");
	cr_assert_not_null(module_find(function));
	cr_assert_str_eq(module_owner(module_find(function)), "libplugin.so.7");
}

Test(module, without_memory_the_change_is_kept_for_later, .init = start)
{
	load(PLUGIN);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert_eq(update(), -ENOMEM);
	fault_none();
	cr_assert(modules_changed());
	cr_assert_eq(update(), 0);
	cr_assert_eq(loads, 1);
}

Test(module, dynamic_values, .init = start)
{
	const struct module *libc = module_find((uintptr_t)strlen);

	cr_assert_neq(module_dynamic(libc, DT_STRTAB), 0);
	cr_assert_neq(module_dynamic(libc, DT_SONAME), 0);
	cr_assert_eq(module_dynamic(libc, 0x12345678), 0);
}

Test(module, bss_is_recorded_when_loaded_and_gone_when_not)
{
	uintptr_t bss;
	void *handle;

	shim_start("naming=registry");
	handle = load(PLUGIN);
	bss = (uintptr_t)dlsym(handle, "plugin_bss") + PAGE;
	track_modules();
	cr_assert(region_at(bss));
	cr_assert_eq(registry_site_at(region_at(bss)->site)->kind, KIND_BSS);
	dlclose(handle);
	track_modules();
	cr_assert_null(region_at(bss));
}

Test(module, bss_is_left_alone_when_told_so)
{
	void *handle;

	shim_start("naming=registry,bss=0");
	handle = load(PLUGIN);
	track_modules();
	cr_assert_null(
		region_at((uintptr_t)dlsym(handle, "plugin_bss") + PAGE));
}
