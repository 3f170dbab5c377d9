/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of the heap share: starting it in the test's own process,
 * asking as the interposers do, in the name of any address, and reading the
 * books as the tool does.
 */
#ifndef ANONSHIM_TESTS_HEAP_FIXTURE_H
#define ANONSHIM_TESTS_HEAP_FIXTURE_H

#include "base/table.h"
#include "env/guard.h"
#include "heap/arena.h"
#include "heap/cache.h"
#include "heap/class.h"
#include "heap/heap.h"
#include "heap/owner.h"
#include "heap/window.h"
#include "support.h"
#include "track/registry.h"
#include "track/site.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)

static inline void heap_started(const char *options)
{
	shim_start(options);
	guard_ready = true;
	cr_assert_eq(heap_start(), 0);
	cr_assert_eq(heap_state, HEAP_RUNS);
}

/* An arena for SYMBOL of nobody's module. */
static inline struct arena *arena_for(const char *symbol)
{
	struct arena *a;
	uint32_t site;

	guard_enter();
	lock_take(&heap_lock);
	lock_take(&registry_lock);
	site = site_of_owner(KIND_HEAP, "test", symbol);
	lock_drop(&registry_lock);
	a = arena_make(site, false);
	lock_drop(&heap_lock);
	guard_leave();
	return a;
}

static inline struct unwind_start asker(uintptr_t pc)
{
	return (struct unwind_start){.pc = pc};
}

/* As malloc called from PC. */
static inline void *ask(size_t size, uintptr_t pc)
{
	struct unwind_start caller = asker(pc);
	void *p = cache_pop(size, pc);

	return p ? p : heap_alloc(size, HEAP_ALIGN, false, &caller);
}

/* As free. */
static inline void drop(void *p)
{
	if (!cache_push(p))
		heap_free(p);
}

static inline struct arena *arena_at(const void *p)
{
	size_t window = window_of(p);

	return window < WINDOWS ? arenas[window_arena(window)] : NULL;
}

/* Whose memory A's is, and of which function. */
static inline const char *owner_of(const struct arena *a)
{
	return registry_text(registry_site_at(a->record->site)->owner);
}

static inline const char *symbol_of(const struct arena *a)
{
	return registry_text(registry_site_at(a->record->site)->symbol);
}

/* Live bytes of A as wire/registry_abi.h has them. */
static inline int64_t live_of(const struct arena *a)
{
	const struct registry_head *r = anonshim_registry;
	const struct registry_table *t = &r->table[REGISTRY_CACHES];
	int64_t bytes = a->record->direct;

	for (uint64_t i = 1; i < t->count; i++) {
		const struct registry_cache *c = table_at(t, i);

		if (c->arena != a->id)
			continue;
		bytes += c->net;
		for (unsigned k = 1; k < HEAP_CLASSES; k++)
			bytes -= (int64_t)c->magazine[k].n * r->class_bytes[k];
	}
	return bytes;
}

static inline int64_t live_all(void)
{
	int64_t bytes = 0;

	for (unsigned i = 1; i < ARENAS_MAX; i++)
		if (arenas[i])
			bytes += live_of(arenas[i]);
	return bytes;
}

/* What the accounts say is in the shared arena; OWNER's, or all with NULL. */
static inline int64_t live_accounts(const char *owner)
{
	const struct registry_table *t =
		&anonshim_registry->table[REGISTRY_ACCOUNTS];
	int64_t bytes = 0;

	for (uint64_t i = 1; i < t->count; i++) {
		const struct registry_account *a = table_at(t, i);
		uint32_t name = registry_site_at(a->site)->owner;

		if (!owner || !strcmp(registry_text(name), owner))
			bytes += a->live;
	}
	return bytes;
}

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)

/* Pages of the SIZE bytes at P, whole pages with or without holes. */
static inline size_t resident(const void *p, size_t size)
{
	static uint64_t entries[8192];
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)((uintptr_t)p / PAGE * sizeof(*entries));
	off_t end = at + (off_t)(size / PAGE * sizeof(*entries));
	size_t pages = 0;

	cr_assert_geq(fd, 0);
	while (at < end) {
		size_t want = sizeof(entries);
		ssize_t got;

		if ((size_t)(end - at) < want)
			want = (size_t)(end - at);
		got = pread(fd, entries, want, at);
		cr_assert_gt(got, 0);
		for (size_t i = 0; i < (size_t)got / sizeof(*entries); i++)
			pages += !!(entries[i] & PAGEMAP_PRESENT);
		at += got;
	}
	close(fd);
	return pages;
}

/*
 * Load a module that is called libowner_N.so and has no symbols; returns an
 * address in its data, so that every offset is a function of its own.
 */
static inline uintptr_t module_load(unsigned n)
{
	char dir[] = "/tmp/anonshim-unit-XXXXXX";
	char path[64], command[256];
	void *module;
	char *data;

	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/libowner_%u.so", dir, n);
	snprintf(command, sizeof(command), "cp %s %s",
		 TEST_BUILD_DIR "/plugin_stripped.so", path);
	cr_assert_eq(system(command), 0);
	module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	cr_assert_not_null(module, "%s", dlerror());
	data = dlsym(module, "plugin_bss");
	cr_assert_not_null(data);
	unlink(path);
	rmdir(dir);
	return (uintptr_t)data;
}

#endif
