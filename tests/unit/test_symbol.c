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
#define MANY TEST_BUILD_DIR "/plugin_many.so"
#define MORE TEST_BUILD_DIR "/plugin_more.so"

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

/* Copies FROM to a file of the test's and loads that. */
static void *load_copy_of(const char *from, char *path)
{
	char command[512];

	close(mkstemps(path, 3));
	snprintf(command, sizeof(command), "cp %s %s", from, path);
	cr_assert_eq(system(command), 0);
	return dlopen(path, RTLD_NOW);
}

static void *load_copy(char *path)
{
	return load_copy_of(PLUGIN, path);
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

/* The same headers, section headers made of nonsense; loaded each time anew,
 * for of a file that has no .symtab no more is read. */
Test(symbol, random_damage_past_the_program_headers, .init = start)
{
	char path[] = "/tmp/anonshim-XXXXXX.so";
	uint64_t state = 4;
	static char bytes[1 << 20];
	size_t n;
	FILE *f = fopen(PLUGIN, "r");

	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	close(mkstemps(path, 3));
	for (unsigned round = 0; round < 300; round++) {
		static char copy[1 << 20];
		void *handle;

		memcpy(copy, bytes, n);
		for (unsigned i = 0; i < 40; i++)
			copy[n - 1 - draw(&state) % 2500] = (char)draw(&state);
		if (round % 3 == 0) /* all but what the loader looks at */
			copy[(round % 2 ? 0x28 : 0x3a) + draw(&state) % 6] =
				(char)draw(&state);
		unlink(path);
		f = fopen(path, "w");
		fwrite(copy, 1, n, f);
		fclose(f);
		handle = dlopen(path, RTLD_NOW);
		cr_assert_not_null(handle, "%s", dlerror());
		find(hidden(handle));
		cr_assert_lt(strlen(text), sizeof(text));
		dlclose(handle);
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
	static const long calls[] = {SYS_openat, SYS_fstat, SYS_pread64};
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

/* Modules with an index --------------------------------------------------- */

static uintptr_t shown(void *handle, const char *prefix)
{
	char name[64];

	snprintf(name, sizeof(name), "%s_shown_n01230", prefix);
	return address(handle, name);
}

/* The function that .symtab alone knows precedes its caller, at -O0. */
static uintptr_t unseen(void *handle, const char *prefix)
{
	return shown(handle, prefix) - 1;
}

static bool is_hidden(const char *name, const char *prefix)
{
	char want[64];

	snprintf(want, sizeof(want), "%s_hidden_n01230", prefix);
	return !strcmp(name, want);
}

/* System calls NR that finding ADDR takes. */
static unsigned calls_of(long nr, uintptr_t addr)
{
	fault_set(nr, 0, UINT32_MAX, 0);
	find(addr);
	fault_none();
	return fault_count();
}

Test(symbol, a_large_module_is_read_once, .init = start)
{
	void *handle = dlopen(MANY, RTLD_NOW);
	uintptr_t addr = unseen(handle, "many");

	cr_assert_str_eq(find(shown(handle, "many")), "many_shown_n01230");
	cr_assert(is_hidden(find(addr), "many"));
	cr_assert_eq(calls_of(SYS_openat, addr), 1);
	cr_assert_eq(calls_of(SYS_close, addr), 1);
	cr_assert_leq(calls_of(SYS_pread64, addr), 5);
	cr_assert_eq(calls_of(SYS_mmap, addr), 0);
}

Test(symbol, a_stripped_file_is_opened_once, .init = start)
{
	void *handle = dlopen(STRIPPED, RTLD_NOW);
	uintptr_t addr = hidden(handle);

	cr_assert_eq(calls_of(SYS_openat, addr), 1);
	cr_assert_eq(calls_of(SYS_openat, addr), 0);
	cr_assert_eq(find(addr)[0], '+');
}

Test(symbol, a_module_in_the_place_of_another, .init = start)
{
	void *handle = dlopen(MANY, RTLD_NOW);
	uintptr_t in_memory = shown(handle, "many");
	uintptr_t in_file = unseen(handle, "many");

	find(in_memory);
	cr_assert(is_hidden(find(in_file), "many"));
	dlclose(handle);
	handle = dlopen(MORE, RTLD_NOW);
	cr_assert_eq(shown(handle, "more"), in_memory);
	cr_assert_str_eq(find(in_memory), "more_shown_n01230");
	cr_assert(is_hidden(find(in_file), "more"));
}

/* The file at the path of a module that is gone and loaded again. */
Test(symbol, a_module_loaded_again_from_another_file, .init = start)
{
	char path[] = "/tmp/anonshim-XXXXXX.so";
	void *handle = load_copy_of(MANY, path);
	uintptr_t addr = unseen(handle, "many");

	cr_assert(is_hidden(find(addr), "many"));
	dlclose(handle);
	replace(path, "rm %s; cp " MORE " %s");
	handle = dlopen(path, RTLD_NOW);
	cr_assert_str_eq(find(shown(handle, "more")), "more_shown_n01230");
	cr_assert(is_hidden(find(unseen(handle, "more")), "more"));
	unlink(path);
}

static void load_find_unload(unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		const char *prefix = i % 2 ? "many" : "more";
		void *handle = dlopen(i % 2 ? MANY : MORE, RTLD_NOW);

		find(shown(handle, prefix));
		cr_assert(is_hidden(find(unseen(handle, prefix)), prefix));
		dlclose(handle);
	}
}

Test(symbol, memory_of_modules_gone_is_used_again, .init = start)
{
	unsigned maps;

	load_find_unload(4);
	fault_set(SYS_mmap, 0, UINT32_MAX, 0);
	load_find_unload(20);
	maps = fault_count();
	fault_set(SYS_munmap, 0, UINT32_MAX, 0);
	load_find_unload(20);
	cr_assert_eq(maps, fault_count(), "%u mapped", maps);
	cr_assert_geq(maps, 20, "tables are sorted in memory of its own");
}

Test(symbol, a_file_replaced_after_it_was_read, .init = start)
{
	char path[] = "/tmp/anonshim-XXXXXX.so";
	void *handle = load_copy_of(MANY, path);
	uintptr_t addr = unseen(handle, "many");

	cr_assert(is_hidden(find(addr), "many"));
	replace(path, "mv %s %s.old");
	cr_assert_eq(find(addr)[0], '+', "gone");
	replace(path, "cp " MORE " %s");
	cr_assert_eq(find(addr)[0], '+', "another");
	replace(path, "rm %s; cp " MANY " %s");
	cr_assert(is_hidden(find(addr), "many"), "a copy of it");
	replace(path, "mv -f %s.old %s");
	cr_assert(is_hidden(find(addr), "many"), "itself again");
	unlink(path);
}

/* Writes over the file that is mapped, past what of it is. */
static void overwrite(const char *path, bool cut)
{
	ElfW(Ehdr) e;
	ElfW(Phdr) ph[16];
	off_t end = 0;
	FILE *f = fopen(path, "r+");

	cr_assert_eq(fread(&e, sizeof(e), 1, f), 1);
	cr_assert_leq(e.e_phnum, 16);
	cr_assert_eq(fread(ph, sizeof(*ph), e.e_phnum, f), e.e_phnum);
	for (unsigned i = 0; i < e.e_phnum; i++)
		if (ph[i].p_type == PT_LOAD)
			end = (off_t)(ph[i].p_offset + ph[i].p_filesz);
	if (cut) {
		cr_assert_eq(ftruncate(fileno(f), end), 0);
	} else {
		fseek(f, end, SEEK_SET);
		while (ftell(f) < (off_t)e.e_shoff)
			fputc(0, f);
	}
	fclose(f);
}

Test(symbol, a_file_written_over_after_it_was_read, .init = start)
{
	for (unsigned cut = 0; cut < 2; cut++) {
		char path[] = "/tmp/anonshim-XXXXXX.so";
		void *handle = load_copy_of(MANY, path);
		uintptr_t addr = unseen(handle, "many");

		cr_assert(is_hidden(find(addr), "many"));
		overwrite(path, cut);
		cr_assert_eq(find(addr)[0], '+', "%d: %s", cut, text);
		cr_assert_str_eq(find(shown(handle, "many")),
				 "many_shown_n01230");
		unlink(path);
	}
}

/* Built again, with headers that are alike. */
Test(symbol, another_build_of_the_same_size, .init = start)
{
	static const unsigned types[] = {PT_NOTE, PT_GNU_EH_FRAME};

	for (unsigned i = 0; i < 2; i++) {
		char path[] = "/tmp/anonshim-XXXXXX.so";
		void *handle = load_copy_of(MANY, path);
		uintptr_t addr = unseen(handle, "many");
		ElfW(Ehdr) e;
		ElfW(Phdr) ph;
		FILE *f;

		replace(path, "rm %s; cp " MANY " %s");
		f = fopen(path, "r+");
		cr_assert_eq(fread(&e, sizeof(e), 1, f), 1);
		do
			cr_assert_eq(fread(&ph, sizeof(ph), 1, f), 1);
		while (ph.p_type != types[i]);
		fseek(f, (long)(ph.p_offset + ph.p_filesz - 1), SEEK_SET);
		fputc(fgetc(f) ^ 1, f);
		fseek(f, (long)(ph.p_offset + 20), SEEK_SET);
		fputc(0x55, f);
		fclose(f);
		cr_assert_eq(find(addr)[0], '+', "%u: %s", i, text);
		unlink(path);
	}
}

Test(symbol, without_memory_for_an_index, .init = start)
{
	void *handle = dlopen(MANY, RTLD_NOW);
	uintptr_t in_memory = shown(handle, "many");
	uintptr_t in_file = unseen(handle, "many");

	find((uintptr_t)local_function); /* what it is kept in */
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert_str_eq(find(in_memory), "many_shown_n01230");
	cr_assert(is_hidden(find(in_file), "many"));
	fault_set(SYS_mmap, -ENOMEM, 1, -1);
	cr_assert_str_eq(find(in_memory), "many_shown_n01230");
	cr_assert(is_hidden(find(in_file), "many"));
	fault_none();
	cr_assert(is_hidden(find(in_file), "many"));
	cr_assert_eq(calls_of(SYS_mmap, in_file), 0);
}

/* Each call once, of all that are made: a name is right or there is none. */
Test(symbol, every_call_fails_once, .init = start)
{
	static const long calls[] = {SYS_openat, SYS_fstat,  SYS_pread64,
				     SYS_mmap,	 SYS_munmap, SYS_madvise};

	for (unsigned i = 0; i < 6; i++)
		for (unsigned pass = 0; pass < 8; pass++) {
			void *handle = dlopen(MANY, RTLD_NOW);
			uintptr_t addr = unseen(handle, "many");

			fault_set(calls[i], -EIO, pass, 1);
			find(addr);
			cr_assert(text[0] == '+' || is_hidden(text, "many"),
				  "%ld %u: %s", calls[i], pass, text);
			fault_none();
			cr_assert(is_hidden(find(addr), "many"), "%ld %u: %s",
				  calls[i], pass, text);
			dlclose(handle);
		}
}
