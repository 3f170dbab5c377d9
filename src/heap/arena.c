/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arenas; see arena.h.
 */
#include "heap/arena.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/table.h"
#include "heap/class.h"
#include "track/registry.h"

#include <sys/mman.h>
#include <sys/syscall.h>

struct arena *arenas[ARENAS_MAX];
struct arena *arena_shared;
int64_t arena_total;

static unsigned made;

static void total_add(int64_t bytes)
{
	__atomic_fetch_add(&arena_total, bytes, __ATOMIC_RELAXED);
}

static void direct_add(struct arena *a, int64_t bytes)
{
	__atomic_fetch_add(&a->record->direct, bytes, __ATOMIC_RELAXED);
	total_add(bytes);
}

/* What jemalloc asks of an arena ----------------------------------------- */

static void *hook_alloc(struct extent_hooks *hooks, void *at, size_t size,
			size_t alignment, bool *zero, bool *commit, unsigned je)
{
	struct arena *a = (struct arena *)hooks;
	void *p = window_grow(&a->window, at, size, alignment, a->site);

	(void)je;
	if (p) {
		*zero = true;
		*commit = true;
	}
	return p;
}

static bool hook_purge(struct extent_hooks *hooks, void *addr, size_t size,
		       size_t offset, size_t len, unsigned je)
{
	(void)hooks, (void)size, (void)je;
	return sys_failed(
		sys_madvise((char *)addr + offset, len, MADV_DONTNEED));
}

static bool hook_split(struct extent_hooks *hooks, void *addr, size_t size,
		       size_t size_a, size_t size_b, bool committed,
		       unsigned je)
{
	(void)hooks, (void)addr, (void)size, (void)size_a, (void)size_b;
	(void)committed, (void)je;
	return false;
}

/* Neighbours are of one window: class maps lie between windows. */
static bool hook_merge(struct extent_hooks *hooks, void *a, size_t size_a,
		       void *b, size_t size_b, bool committed, unsigned je)
{
	(void)hooks, (void)a, (void)size_a, (void)b, (void)size_b;
	(void)committed, (void)je;
	return false;
}

static const struct extent_hooks arena_hooks = {
	.alloc = hook_alloc,
	.purge_forced = hook_purge,
	.split = hook_split,
	.merge = hook_merge,
};

/* Making ------------------------------------------------------------------ */

static bool je_arena_make(struct arena *a)
{
	struct extent_hooks *hooks = &a->hooks;
	size_t len = sizeof(a->je);

	return !ahj_mallctl("arenas.create", &a->je, &len, &hooks,
			    sizeof(hooks));
}

static bool je_cache_make(struct arena *a)
{
	size_t len = sizeof(a->tcache);

	return !ahj_mallctl("tcache.create", &a->tcache, &len, NULL, 0);
}

struct arena *arena_make(uint32_t site, bool shared)
{
	static struct arena *chunk;
	struct registry_table *t = &anonshim_registry->table[REGISTRY_ARENAS];
	struct arena *a;

	if (made + 1 >= ARENAS_MAX)
		return NULL;
	if (!chunk)
		chunk = mem_map(ARENAS_MAX * sizeof(*chunk));
	if (!chunk)
		return NULL;
	a = &chunk[made + 1];
	a->hooks = arena_hooks;
	a->site = site;
	a->id = (uint8_t)(made + 1);
	a->window.arena = a->id;
	a->window.tagged = shared;
	if (t->count <= a->id && table_add(t, 1) != a->id)
		return NULL;
	a->record = table_at(t, a->id);
	a->record->site = site;
	a->record->flags = shared ? ARENA_SHARED : 0;
	if (!je_arena_make(a) || !je_cache_make(a)) {
		a->record->site = 0;
		return NULL;
	}
	/* last: who looks after arenas at large may come at any time */
	__atomic_store_n(&arenas[a->id], a, __ATOMIC_RELEASE);
	made++;
	return a;
}

/* Batches ----------------------------------------------------------------- */

static bool holding; /* fork is near: nobody begins with a cache */

static bool filling_try(struct arena *a)
{
	return !__atomic_exchange_n(&a->filling, 1, __ATOMIC_ACQUIRE);
}

static bool filling_take(struct arena *a)
{
	return !__atomic_load_n(&holding, __ATOMIC_RELAXED) && filling_try(a);
}

static void filling_drop(struct arena *a)
{
	__atomic_store_n(&a->filling, 0, __ATOMIC_RELEASE);
}

static int flags_of(const struct arena *a, bool cached)
{
	return JE_ARENA(a->je) | (cached ? JE_TCACHE(a->tcache) : JE_NO_TCACHE);
}

unsigned arena_take(struct arena *a, unsigned class, void **items, unsigned n)
{
	bool cached = filling_take(a);
	int flags = flags_of(a, cached);
	size_t bytes = class_bytes[class];
	unsigned got = 0;

	for (; got < n; got++) {
		items[got] = ahj_mallocx(bytes, flags);
		if (!items[got])
			break;
		window_class_set(items[got], class);
	}
	if (cached)
		filling_drop(a);
	total_add((int64_t)(got * bytes));
	return got;
}

void arena_give(struct arena *a, unsigned class, void **items, unsigned n)
{
	bool cached = filling_take(a);
	int flags = cached ? JE_TCACHE(a->tcache) : JE_NO_TCACHE;
	size_t bytes = class_bytes[class];

	for (unsigned i = 0; i < n; i++)
		ahj_sdallocx(items[i], bytes, flags);
	if (cached)
		filling_drop(a);
	total_add(-(int64_t)(n * bytes));
}

/* One by one -------------------------------------------------------------- */

void *arena_take_large(struct arena *a, size_t size, size_t alignment,
		       bool zero)
{
	int flags = flags_of(a, false) | (zero ? JE_ZERO : 0) |
		    (alignment > 1 ? JE_ALIGN(alignment) : 0);
	size_t bytes = ahj_nallocx(size, flags);
	char *p = bytes ? ahj_mallocx(size, flags) : NULL;

	if (!p)
		return NULL;
	if (bytes <= CLASS_MAX_BYTES && class_bytes[class_of(bytes)] == bytes) {
		window_class_set(p, class_of(bytes));
	} else {
		window_class_set(p, 0);
	}
	direct_add(a, (int64_t)bytes);
	return p;
}

size_t arena_give_large(struct arena *a, void *p)
{
	size_t bytes = ahj_sallocx(p, 0);

	ahj_dallocx(p, JE_NO_TCACHE);
	direct_add(a, -(int64_t)bytes);
	return bytes;
}

size_t arena_resize_large(struct arena *a, void *p, size_t size)
{
	size_t before = ahj_sallocx(p, 0);
	size_t after = ahj_xallocx(p, size, 0, JE_NO_TCACHE);

	direct_add(a, (int64_t)after - (int64_t)before);
	return after;
}

/* Giving back ------------------------------------------------------------- */

void arena_decay(struct arena *a, bool all)
{
	size_t decay[3], flush[2];
	size_t decay_len = 3, flush_len = 2;
	const char *what = all ? "arena.0.purge" : "arena.0.decay";

	if (ahj_mallctlnametomib(what, decay, &decay_len) ||
	    ahj_mallctlnametomib("tcache.flush", flush, &flush_len))
		return;
	if (filling_take(a)) {
		ahj_mallctlbymib(flush, flush_len, NULL, NULL, &a->tcache,
				 sizeof(a->tcache));
		filling_drop(a);
	}
	decay[1] = a->je;
	ahj_mallctlbymib(decay, decay_len, NULL, NULL, NULL, 0);
}

/* Fork -------------------------------------------------------------------- */

/* A holder that has lost its processor has it back by then. */
#define HOLD_NS UINT64_C(200000000)

static bool held[ARENAS_MAX];

static bool hold(struct arena *a)
{
	uint64_t start;

	if (filling_try(a))
		return true;
	start = sys_now_ns();
	do {
		sys_call(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
		if (filling_try(a))
			return true;
	} while (sys_now_ns() - start < HOLD_NS);
	return false;
}

/*
 * A cache that its holder does not let go, for it is interrupted by the very
 * handler that forks, is not held; a child then never uses it again.
 */
void arenas_hold(void)
{
	__atomic_store_n(&holding, true, __ATOMIC_RELAXED);
	for (unsigned i = 1; i <= made; i++)
		held[i] = hold(arenas[i]);
}

void arenas_release(void)
{
	for (unsigned i = 1; i <= made; i++)
		if (held[i])
			filling_drop(arenas[i]);
	__atomic_store_n(&holding, false, __ATOMIC_RELAXED);
}
