/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sites: one a call stack, named for the code that asked.
 */
#include "env/config.h"
#include "env/guard.h"
#include "support.h"
#include "track/module.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"
#include "track/track.h"
#include "track/unwind.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define PLUGIN TEST_BUILD_DIR "/plugin.so"

#define NOINLINE __attribute__((noinline, noclone, no_icf))
#define BARRIER() __asm__ volatile("" ::: "memory")

static void start(void)
{
	shim_start("naming=registry");
}

/* The site of a mapping asked for by the caller. */
static NOINLINE uint32_t here(void)
{
	struct unwind_start s = UNWIND_CALLER();
	uintptr_t frames[UNWIND_DEPTH_MAX];
	unsigned n = unwind_capture(&s, frames, (unsigned)CONFIG_NUMBER(depth));
	uint32_t id = site_of_stack(KIND_MMAP, frames, n);

	BARRIER();
	return id;
}

static const char *owner(uint32_t id)
{
	return registry_text(registry_site_at(id)->owner);
}

static const char *symbol(uint32_t id)
{
	return registry_text(registry_site_at(id)->symbol);
}

static const char *name(uint32_t id)
{
	return registry_text(registry_site_at(id)->name);
}

static NOINLINE uint32_t asks_for_memory(void)
{
	uint32_t id = here();

	BARRIER();
	return id;
}

static NOINLINE uint32_t xmalloc_test(void)
{
	uint32_t id = here();

	BARRIER();
	return id;
}

static NOINLINE uint32_t uses_a_wrapper(void)
{
	uint32_t id = xmalloc_test();

	BARRIER();
	return id;
}

static NOINLINE uint32_t mi_heap_grow(void)
{
	uint32_t id = here();

	BARRIER();
	return id;
}

Test(site, named_for_the_function_that_asks, .init = start)
{
	uint32_t id = asks_for_memory();

	cr_assert_str_eq(owner(id), "test_site");
	cr_assert_str_eq(symbol(id), "asks_for_memory");
	cr_assert_str_eq(name(id), "test_site: mmap asks_for_memory");
	cr_assert_eq(registry_site_at(id)->picked, 0);
	cr_assert_gt(registry_site_at(id)->nframes, 2);
}

Test(site, the_same_stack_has_the_same_id, .init = start)
{
	uint32_t ids[4];

	for (unsigned i = 0; i < 4; i++)
		ids[i] = asks_for_memory();
	for (unsigned i = 1; i < 4; i++)
		cr_assert_eq(ids[i], ids[0]);
	cr_assert_neq(uses_a_wrapper(), ids[0]);
}

Test(site, wrappers_are_looked_through, .init = start)
{
	uint32_t id = uses_a_wrapper();

	cr_assert_str_eq(symbol(id), "uses_a_wrapper");
	cr_assert_eq(registry_site_at(id)->picked, 1);
}

Test(site, wrappers_of_the_option)
{
	shim_start("naming=registry,skip=asks_for_*");
	cr_assert_str_neq(symbol(asks_for_memory()), "asks_for_memory");
}

Test(site, an_allocator_speaks_for_itself_and_maps_heap, .init = start)
{
	uint32_t id = mi_heap_grow();

	cr_assert_str_eq(symbol(id), "mi_heap_grow");
	cr_assert_eq(registry_site_at(id)->kind, KIND_HEAP);
	cr_assert_str_eq(name(id), "test_site: heap mi_heap_grow");
}

Test(site, nothing_but_wrappers, .init = start)
{
	uintptr_t qsorts = libc_function("qsort");
	uintptr_t frames[2] = {qsorts + 1, qsorts + 2};
	uint32_t id = site_of_stack(KIND_MMAP, frames, 2);

	cr_assert_str_eq(owner(id), "libc.so.6", "the first of them");
}

Test(site, depth_of_one)
{
	uint32_t id;

	shim_start("naming=registry,depth=1");
	id = asks_for_memory();
	cr_assert_eq(registry_site_at(id)->nframes, 1);
	cr_assert_str_eq(symbol(id), "asks_for_memory");
}

Test(site, frames_are_modules_and_offsets, .init = start)
{
	uint32_t id = asks_for_memory();
	const struct registry_site *s = registry_site_at(id);
	const uint64_t *f =
		table_at(&anonshim_registry->table[REGISTRY_FRAMES], s->frames);
	const struct registry_module *m =
		registry_module_at(REGISTRY_FRAME_MODULE(f[0]));
	uintptr_t pc = m->bias + REGISTRY_FRAME_OFFSET(f[0]);

	cr_assert(pc > (uintptr_t)asks_for_memory &&
		  pc < (uintptr_t)asks_for_memory + 64);
}

Test(site, kinds_are_apart, .init = start)
{
	uintptr_t frame = (uintptr_t)start + 1;
	uint32_t a = site_of_stack(KIND_MMAP, &frame, 1);
	uint32_t b = site_of_stack(KIND_STACK, &frame, 1);

	cr_assert_neq(a, b);
	cr_assert_str_eq(name(b), "test_site: stack start");
}

Test(site, generated_code_belongs_to_who_mapped_it, .init = start)
{
	struct region_tag tag = {.site = asks_for_memory()};
	uintptr_t jit = 0x210000001010;
	uintptr_t elsewhere = 0x220000001010;
	uint32_t id;

	region_set(0x210000001000, 0x210000002000, &tag);
	id = site_of_stack(KIND_MMAP, &jit, 1);
	cr_assert_str_eq(owner(id), "test_site");
	cr_assert_str_eq(symbol(id), "(generated code)");
	id = site_of_stack(KIND_MMAP, &elsewhere, 1);
	cr_assert_str_eq(owner(id), "(unknown)");
}

Test(site, of_an_owner, .init = start)
{
	uint32_t a = site_of_owner(KIND_BSS, "libfoo.so", "");
	uint32_t b = site_of_owner(KIND_BSS, "libfoo.so", "");

	cr_assert_eq(a, b);
	cr_assert_str_eq(name(a), "libfoo.so: bss");
	cr_assert_neq(site_of_owner(KIND_MMAP, "libfoo.so", ""), a);
}

Test(site, of_the_shim_itself, .init = start)
{
	cr_assert_str_eq(name(site_own), "anonshim: registry");
	cr_assert(site_unknown && site_brk);
}

static void *call_here(void *arg)
{
	*(uint32_t *)arg = here();
	BARRIER();
	return NULL;
}

static uint32_t through_plugin(void *handle)
{
	void *(*call)(void *(*)(void *), void *);
	uint32_t id = 0;

	*(void **)&call = dlsym(handle, "plugin_call");
	call(call_here, &id);
	return id;
}

/* One line of code, so that the stack is the same each time. */
Test(site, a_module_unloaded_and_loaded_again_keeps_its_sites)
{
	uint32_t first = 0;

	shim_start("naming=registry,depth=3,skip=call_here");
	for (unsigned i = 0; i < 5; i++) {
		void *handle = dlopen(PLUGIN, RTLD_NOW);
		uint32_t id = through_plugin(handle);

		cr_assert_str_eq(owner(id), "libplugin.so.7");
		cr_assert_str_eq(symbol(id), "plugin_hidden");
		if (first)
			cr_assert_eq(id, first);
		first = id;
		dlclose(handle);
	}
}

Test(site, table_full_falls_back_to_the_caller_then_to_unknown, .init = start)
{
	struct registry_table *t = &anonshim_registry->table[REGISTRY_SITES];
	uintptr_t frames[2] = {(uintptr_t)start + 1, 0};
	uint32_t caller = site_of_stack(KIND_MMAP, frames, 1);
	uint64_t lost = anonshim_registry->counters.sites_lost;

	for (unsigned i = 0; t->count < 65536; i++) {
		frames[1] = 0x230000000000 + i;
		cr_assert_neq(site_of_stack(KIND_MMAP, frames, 2), 0);
	}
	frames[1] = 0x240000000000;
	cr_assert_eq(site_of_stack(KIND_MMAP, frames, 2), caller);
	cr_assert_gt(anonshim_registry->counters.sites_lost, lost);
	frames[0] = 0x250000000000;
	cr_assert_eq(site_of_stack(KIND_MMAP, frames, 2), site_unknown);
	cr_assert_eq(site_of_owner(KIND_BSS, "another", ""), site_unknown);
}

/* A program that never stops finding new stacks costs bounded memory. */
Test(site, past_a_full_table_memory_does_not_grow, .init = start)
{
	struct registry_table *t = &anonshim_registry->table[REGISTRY_SITES];
	uintptr_t frames[2] = {(uintptr_t)start + 1, 0};
	uint64_t nframes;
	uint64_t nstrings;

	for (unsigned i = 0; t->count < 65536; i++) {
		frames[1] = 0x230000000000 + i;
		site_of_stack(KIND_MMAP, frames, 2);
	}
	nframes = anonshim_registry->table[REGISTRY_FRAMES].count;
	nstrings = anonshim_registry->table[REGISTRY_STRINGS].count;
	for (unsigned i = 0; i < 10000; i++) {
		frames[1] = 0x240000000000 + i;
		site_of_stack(KIND_MMAP, frames, 2);
	}
	cr_assert_eq(anonshim_registry->table[REGISTRY_FRAMES].count, nframes);
	cr_assert_eq(anonshim_registry->table[REGISTRY_STRINGS].count,
		     nstrings);
}

Test(site, out_of_memory, .init = start)
{
	uintptr_t frames[8] = {(uintptr_t)start + 1};
	unsigned unknown = 0;

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	for (unsigned i = 0; i < 5000; i++) {
		uint32_t id;

		for (unsigned n = 1; n < 8; n++)
			frames[n] = 0x230000000000 + i * 8 + n;
		id = site_of_stack(KIND_MMAP, frames, 8);
		cr_assert_neq(id, 0);
		unknown += id == site_unknown;
		cr_assert_lt(id,
			     anonshim_registry->table[REGISTRY_SITES].count);
	}
	fault_none();
	cr_assert_neq(asks_for_memory(), site_unknown);
}

static uint32_t ids[8][200];

static void *intern_many(void *arg)
{
	uint32_t *mine = arg;

	for (unsigned i = 0; i < 200; i++) {
		uintptr_t frames[2] = {(uintptr_t)start + 1,
				       0x230000000000 + i};

		mine[i] = site_of_stack(KIND_MMAP, frames, 2);
	}
	return NULL;
}

Test(site, threads_agree, .init = start)
{
	pthread_t threads[8];

	for (unsigned i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, intern_many, ids[i]);
	for (unsigned i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 1; i < 8; i++)
		cr_assert(!memcmp(ids[i], ids[0], sizeof(ids[0])));
}

Test(site, without_the_lock_nobody_is_named, .init = start)
{
	uintptr_t frame = (uintptr_t)start + 1;

	cr_assert(lock_take(&registry_lock));
	fault_set(SYS_clock_gettime, 0, 0, 1);
	cr_assert_eq(site_of_stack(KIND_MMAP, &frame, 1), site_unknown);
	fault_none();
	lock_drop(&registry_lock);
	cr_assert_neq(site_of_stack(KIND_MMAP, &frame, 1), site_unknown);
}
