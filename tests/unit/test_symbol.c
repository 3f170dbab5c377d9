/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses to function names.
 */
#include "env/caps.h"
#include "env/guard.h"
#include "support.h"
#include "track/module.h"
#include "track/registry.h"
#include "track/symbol.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PLUGIN TEST_BUILD_DIR "/plugin.so"
#define STRIPPED TEST_BUILD_DIR "/plugin_stripped.so"

static char text[256];
static uintptr_t bias; /* of the module found last */

static const char *find(uintptr_t addr)
{
	const struct module *m;
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
	guard_enter();
	cr_assert(lock_take(&registry_lock));
	m = module_at(addr);
	if (m) {
		bias = m->bias;
		symbol_find(m, addr, &f);
	}
	lock_drop(&registry_lock);
	guard_leave();
	cr_assert_not_null(m);
	return text;
}

static uintptr_t address(void *handle, const char *name)
{
	void *p = dlsym(handle, name);

	cr_assert_not_null(p, "%s", name);
	return (uintptr_t)p;
}

static uintptr_t hidden(void *handle)
{
	void *(*get)(void);

	*(void **)&get = dlsym(handle, "plugin_hidden_address");
	return (uintptr_t)get();
}

static void start(void)
{
	shim_start("naming=registry");
}

static int local_function(int x)
{
	return x + 1;
}

Test(symbol, of_symtab_static_ones_too, .init = start)
{
	void *handle = dlopen(PLUGIN, RTLD_NOW);

	cr_assert_str_eq(find(address(handle, "plugin_call")), "plugin_call");
	cr_assert_str_eq(find(address(handle, "plugin_call") + 5),
			 "plugin_call");
	cr_assert_str_eq(find(hidden(handle)), "plugin_hidden");
	cr_assert_str_eq(find((uintptr_t)local_function), "local_function");
}

Test(symbol, of_dynsym_where_the_file_is_stripped, .init = start)
{
	void *handle = dlopen(STRIPPED, RTLD_NOW);
	uintptr_t addr = hidden(handle);
	char want[64];

	cr_assert_str_eq(find(address(handle, "plugin_call") + 3),
			 "plugin_call");
	/* no symbol covers it: not the neighbour's name but its place */
	find(addr);
	snprintf(want, sizeof(want), "+0x%lx", addr - bias);
	cr_assert_str_eq(find(addr), want);
}

Test(symbol, libc_has_dynsym_only, .init = start)
{
	cr_assert_str_eq(find(libc_function("qsort") + 1), "qsort");
}

/* Copies PLUGIN to a file of the test's and loads that. */
static void *load_copy(char *path)
{
	char command[512];

	close(mkstemps(path, 3));
	snprintf(command, sizeof(command), "cp %s %s", PLUGIN, path);
	cr_assert_eq(system(command), 0);
	return dlopen(path, RTLD_NOW);
}

static void replace(const char *path, const char *how)
{
	char command[512];

	snprintf(command, sizeof(command), how, path, path);
	cr_assert_eq(system(command), 0);
}

Test(symbol, a_file_gone_from_the_disk, .init = start)
{
	char path[] = "/tmp/anonshim-XXXXXX.so";
	void *handle = load_copy(path);
	uintptr_t addr = hidden(handle);

	unlink(path);
	cr_assert_str_eq(find(address(handle, "plugin_call")), "plugin_call");
	cr_assert_eq(find(addr)[0], '+');
}

/* An upgrade while the program runs: the new file's symbols would lie. */
Test(symbol, a_file_replaced_on_the_disk, .init = start)
{
	char path[] = "/tmp/anonshim-XXXXXX.so";
	void *handle = load_copy(path);
	uintptr_t addr = hidden(handle);

	replace(path, "rm %s; cp /bin/true %s");
	cr_assert_eq(find(addr)[0], '+');
	unlink(path);
}

Test(symbol, files_that_are_damaged, .init = start)
{
	static const char *const ways[] = {
		"rm %s; : > %s",
		"rm %s; head -c 100 " PLUGIN " > %s",
		"rm %s; head -c 4096 " PLUGIN " > %s",
		"rm %s; mkdir %s",
		"rm -r %s; mkfifo %s; rm %s; head -c 9000 /dev/urandom > %s",
	};
	char path[] = "/tmp/anonshim-XXXXXX.so";
	void *handle = load_copy(path);
	uintptr_t addr = hidden(handle);
	char command[1024];

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		snprintf(command, sizeof(command), ways[i], path, path, path,
			 path);
		cr_assert_eq(system(command), 0, "%s", command);
		cr_assert_eq(find(addr)[0], '+', "%s", command);
	}
	unlink(path);
}

/* The same headers, section headers made of nonsense. */
Test(symbol, random_damage_past_the_program_headers, .init = start)
{
	char path[] = "/tmp/anonshim-XXXXXX.so";
	void *handle = load_copy(path);
	uintptr_t addr = hidden(handle);
	uint64_t state = 4;
	static char bytes[1 << 20];
	size_t n;
	FILE *f = fopen(PLUGIN, "r");

	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	for (unsigned round = 0; round < 300; round++) {
		static char copy[1 << 20];

		memcpy(copy, bytes, n);
		for (unsigned i = 0; i < 40; i++)
			copy[n - 1 - draw(&state) % 2500] = (char)draw(&state);
		if (round % 3 == 0)
			copy[0x28 + draw(&state) % 0x18] = (char)draw(&state);
		unlink(path);
		f = fopen(path, "w");
		fwrite(copy, 1, n, f);
		fclose(f);
		find(addr);
		cr_assert_lt(strlen(text), sizeof(text));
	}
	unlink(path);
}

Test(symbol, without_files)
{
	void *handle;

	shim_start("naming=registry,assume=files=0");
	handle = dlopen(PLUGIN, RTLD_NOW);
	cr_assert_str_eq(find(address(handle, "plugin_call")), "plugin_call");
	cr_assert_eq(find(hidden(handle))[0], '+');
}

Test(symbol, calls_that_fail, .init = start)
{
	static const long calls[] = {SYS_openat, SYS_fstat, SYS_mmap};
	void *handle = dlopen(PLUGIN, RTLD_NOW);
	uintptr_t addr = hidden(handle);

	find(addr);
	for (size_t i = 0; i < 3; i++) {
		fault_set(calls[i], -EIO, 0, -1);
		cr_assert_eq(find(addr)[0], '+', "call %ld", calls[i]);
		cr_assert_str_eq(find(address(handle, "plugin_call")),
				 "plugin_call");
	}
	fault_none();
	cr_assert_str_eq(find(addr), "plugin_hidden");
}

Test(symbol, no_descriptor_or_mapping_is_left, .init = start)
{
	int before = dup(0);
	int after;

	close(before);
	for (unsigned i = 0; i < 100; i++)
		find((uintptr_t)local_function);
	after = dup(0);
	cr_assert_eq(before, after);
}
