/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arenas; see arena.h.
 */
#include "heap/arena.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/table.h"
#include "env/guard.h"
#include "heap/class.h"
#include "track/registry.h"

#include <errno.h>
#include <sys/mman.h>

/* Of the largest block that waits in a thread's own cache. */
#define GIVE_BYTES 2048

/*
 * A block that grows begins where there is room for so many of it; one of them
 * an arena where there is room for nearly any.
 */
#define ROOM_TIMES 4
#define ROOM_MAX_BYTES ((size_t)64 << 20)
#define ROOM_WIDE_BYTES ((size_t)32 << 20)

/*
 * Arenas grow by more and more, at most so much at a time: pieces do not merge,
 * but what is in none of them is little.
 */
#define GROW_BYTES ((size_t)32 << 20)
#define ROUND_BYTES ((size_t)1 << 20)
/* What is free and at least so large goes back to the kernel at once.  Below
 * that who frees buffers of a few MiB is about to ask for the next one, as a
 * rule, and to touch a page anew costs more than to clear it. */
#define AT_ONCE_BYTES ((size_t)32 << 20)

struct arena *arenas[ARENAS_MAX];
struct arena *arena_shared;
int64_t arena_total;

static unsigned made;

static void held_add(struct arena *a, int64_t bytes)
{
	__atomic_fetch_add(&a->held, bytes, __ATOMIC_RELAXED);
	__atomic_fetch_add(&arena_total, bytes, __ATOMIC_RELAXED);
}

static void direct_add(struct arena *a, int64_t bytes)
{
	__atomic_fetch_add(&a->record->direct, bytes, __ATOMIC_RELAXED);
	held_add(a, bytes);
}

/* What jemalloc asks of an arena ----------------------------------------- */

static bool pads; /* jemalloc adds a page to large blocks */

/*
 * For a block that is larger than that jemalloc first asks for a round size,
 * then for what the block needs, which is never round where it pads blocks.
 */
static bool is_generous(size_t size)
{
	return pads && size > GROW_BYTES && !(size & (ROUND_BYTES - 1));
}

static void *hook_alloc(struct extent_hooks *hooks, void *at, size_t size,
			size_t alignment, bool *zero, bool *commit, unsigned je)
{
	struct arena *a = (struct arena *)hooks;
	void *p;

	(void)je;
	if (is_generous(size) && window_counts())
		return NULL;
	p = window_grow(&a->window, at, size, alignment, a->site);
	if (p) {
		*zero = true;
		*commit = true;
	}
	return p;
}

/* Like those below, true where nothing was done. */
static bool hook_commit(struct extent_hooks *hooks, void *addr, size_t size,
			size_t offset, size_t len, unsigned je)
{
	struct arena *a = (struct arena *)hooks;

	(void)size, (void)je;
	return !window_return(&a->window, (char *)addr + offset, len, a->site);
}

/* Memory that is free and purged: its address space may be wanted, too. */
static bool hook_decommit(struct extent_hooks *hooks, void *addr, size_t size,
			  size_t offset, size_t len, unsigned je)
{
	struct arena *a = (struct arena *)hooks;

	(void)size, (void)je;
	return !window_leave(&a->window, (char *)addr + offset, len);
}

static bool hook_purge(struct extent_hooks *hooks, void *addr, size_t size,
		       size_t offset, size_t len, unsigned je)
{
	(void)hooks, (void)size, (void)je;
	/* a program that confined itself may have done without this call */
	return !guard_ready || sys_failed(sys_madvise((char *)addr + offset,
						      len, MADV_DONTNEED));
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
	.commit = hook_commit,
	.decommit = hook_decommit,
	.purge_forced = hook_purge,
	.split = hook_split,
	.merge = hook_merge,
};

/* What all share --------------------------------------------------------- */

static size_t batch_mib[2];
static size_t batch_mib_len = 2;
/* Blocks of a class that may be asked for at once. */
static uint8_t class_batch[HEAP_CLASSES];

int arenas_init(void)
{
	size_t mib[4];
	size_t mib_len = 4;
	size_t pads_len = sizeof(pads);

	if (ahj_mallctlnametomib("experimental.batch_alloc", batch_mib,
				 &batch_mib_len) ||
	    ahj_mallctlnametomib("arenas.bin.0.nregs", mib, &mib_len))
		return -ENOMEM;
	ahj_mallctl("config.cache_oblivious", &pads, &pads_len, NULL, 0);
	for (unsigned class = 1; class < HEAP_CLASSES; class ++) {
		uint32_t regions = 0;
		size_t len = sizeof(regions);

		mib[2] = class; /* jemalloc begins with 8 bytes */
		ahj_mallctlbymib(mib, mib_len, &regions, &len, NULL, 0);
		class_batch[class] = regions < 3     ? 1
				     : regions > 128 ? 128
						     : (uint8_t)(regions - 1);
	}
	return 0;
}

/* Making ------------------------------------------------------------------ */

/* What jemalloc keeps of it does not lie beside what the program writes. */
static bool je_arena_make(struct arena *a)
{
	struct arena_config config = {.hooks = &a->hooks};
	size_t len = sizeof(a->je);

	return !ahj_mallctl("experimental.arenas_create_ext", &a->je, &len,
			    &config, sizeof(config));
}

/* NAME, "arena.0....", is BYTES for A. */
static bool je_arena_set(const struct arena *a, const char *name, size_t bytes)
{
	size_t mib[3];
	size_t len = 3;

	if (ahj_mallctlnametomib(name, mib, &len))
		return false;
	mib[1] = a->je;
	return !ahj_mallctlbymib(mib, len, NULL, NULL, &bytes, sizeof(bytes));
}

static bool je_limits(const struct arena *a)
{
	return je_arena_set(a, "arena.0.retain_grow_limit", GROW_BYTES) &&
	       je_arena_set(a, "arena.0.oversize_threshold", AT_ONCE_BYTES);
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
	if (!je_arena_make(a) || !je_limits(a) || !je_cache_make(a)) {
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

static void filling_drop(struct arena *a)
{
	__atomic_store_n(&a->filling, 0, __ATOMIC_RELEASE);
}

/* Whether this thread has A's explicit cache now. */
static bool filling_take(struct arena *a)
{
	if (__atomic_load_n(&holding, __ATOMIC_RELAXED) || !filling_try(a))
		return false;
	if (!a->forked || je_cache_make(a)) {
		a->forked = false;
		return true;
	}
	filling_drop(a);
	return false;
}

static int flags_of(const struct arena *a, bool cached)
{
	return JE_ARENA(a->je) | (cached ? JE_TCACHE(a->tcache) : JE_NO_TCACHE);
}

/* jemalloc's batch_alloc_packet_t. */
struct batch {
	void **items;
	size_t n;
	size_t bytes;
	int flags;
};

/*
 * Up to N blocks at once; where that many fill whole slabs jemalloc makes new
 * ones of them, however much is free, so fewer are asked for at a time.
 */
static unsigned take_cached(const struct arena *a, unsigned class, void **items,
			    unsigned n)
{
	struct batch batch = {.bytes = class_bytes[class],
			      .flags = flags_of(a, true)};
	unsigned got = 0;
	size_t filled, len;

	while (got < n) {
		batch.items = items + got;
		batch.n = n - got < class_batch[class] ? n - got
						       : class_batch[class];
		filled = 0;
		len = sizeof(filled);
		if (ahj_mallctlbymib(batch_mib, batch_mib_len, &filled, &len,
				     &batch, sizeof(batch)))
			break;
		got += (unsigned)filled;
		if (filled < batch.n)
			break;
	}
	return got;
}

/* Without the cache, at greater cost. */
static unsigned take_uncached(const struct arena *a, unsigned class,
			      void **items, unsigned n)
{
	unsigned got = 0;

	while (got < n && (items[got] = ahj_mallocx(class_bytes[class],
						    flags_of(a, false))))
		got++;
	return got;
}

unsigned arena_take(struct arena *a, unsigned class, void **items, unsigned n)
{
	unsigned got;

	jemalloc_enter();
	if (filling_take(a)) {
		got = take_cached(a, class, items, n);
		filling_drop(a);
	} else {
		got = take_uncached(a, class, items, n);
	}
	jemalloc_leave();
	for (unsigned i = 0; i < got; i++)
		window_class_set(items[i], class);
	held_add(a, (int64_t)(got * class_bytes[class]));
	return got;
}

/*
 * Small blocks go through the thread's own cache of jemalloc's, which nothing
 * is ever taken from: it gives each back to its arena.
 */
void arena_give(struct arena *a, unsigned class, void **items, unsigned n)
{
	size_t bytes = class_bytes[class];
	bool cached;
	int flags = 0;

	jemalloc_enter();
	cached = bytes > GIVE_BYTES && filling_take(a);
	if (bytes <= GIVE_BYTES)
		jemalloc_thread_begin();
	else
		flags = cached ? JE_TCACHE(a->tcache) : JE_NO_TCACHE;
	for (unsigned i = 0; i < n; i++)
		ahj_sdallocx(items[i], bytes, flags);
	if (cached)
		filling_drop(a);
	jemalloc_leave();
	held_add(a, -(int64_t)(n * bytes));
}

/* One by one -------------------------------------------------------------- */

/* Whether a block of A's of SIZE bytes may have the wide room, and has it. */
static bool wide_take(struct arena *a, size_t size)
{
	uintptr_t none = 0;

	return size * ROOM_TIMES < ROOM_WIDE_BYTES &&
	       !__atomic_load_n(&a->wide, __ATOMIC_RELAXED) &&
	       !window_counts() &&
	       __atomic_compare_exchange_n(&a->wide, &none, 1, false,
					   __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void wide_drop(struct arena *a, const void *p)
{
	uintptr_t had = (uintptr_t)p;

	__atomic_compare_exchange_n(&a->wide, &had, 0, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
}

/*
 * Cut off a larger block, so that what is behind it is free; only others that
 * want as much are likely to take it.
 */
static void *take_with_room(struct arena *a, size_t size, int flags)
{
	bool wide = wide_take(a, size);
	size_t room = wide ? ROOM_WIDE_BYTES : size * ROOM_TIMES;
	void *p = size <= ROOM_MAX_BYTES ? ahj_mallocx(room, flags) : NULL;

	if (wide)
		__atomic_store_n(&a->wide, (uintptr_t)p, __ATOMIC_RELAXED);
	if (p)
		ahj_xallocx(p, size, 0, flags);
	return p ? p : ahj_mallocx(size, flags);
}

void *arena_take_large(struct arena *a, size_t size, size_t alignment,
		       bool zero, bool grows)
{
	int flags = flags_of(a, false) | (zero ? JE_ZERO : 0) |
		    (alignment > 1 ? JE_ALIGN(alignment) : 0);
	size_t bytes = ahj_nallocx(size, flags);
	char *p;

	if (!bytes)
		return NULL;
	jemalloc_enter();
	p = grows && bytes > CLASS_MAX_BYTES ? take_with_room(a, size, flags)
					     : ahj_mallocx(size, flags);
	jemalloc_leave();
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

size_t arena_bytes_large(const void *p)
{
	return ahj_sallocx(p, 0);
}

size_t arena_give_large(struct arena *a, void *p)
{
	size_t bytes = arena_bytes_large(p);

	wide_drop(a, p);
	jemalloc_enter();
	ahj_dallocx(p, JE_NO_TCACHE);
	jemalloc_leave();
	direct_add(a, -(int64_t)bytes);
	return bytes;
}

size_t arena_resize_large(struct arena *a, void *p, size_t size)
{
	size_t before = arena_bytes_large(p);
	size_t after;

	jemalloc_enter();
	after = ahj_xallocx(p, size, 0, JE_NO_TCACHE);
	jemalloc_leave();
	direct_add(a, (int64_t)after - (int64_t)before);
	return after;
}

/* Giving back ------------------------------------------------------------- */

void arena_flush(struct arena *a)
{
	size_t mib[2];
	size_t len = 2;

	if (ahj_mallctlnametomib("tcache.flush", mib, &len))
		return;
	jemalloc_enter();
	if (filling_take(a)) {
		ahj_mallctlbymib(mib, len, NULL, NULL, &a->tcache,
				 sizeof(a->tcache));
		filling_drop(a);
	}
	jemalloc_leave();
}

void arenas_flush_thread(void)
{
	jemalloc_enter();
	ahj_mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
	jemalloc_leave();
}

void arena_decay(struct arena *a, bool all)
{
	size_t mib[3];
	size_t len = 3;

	arena_flush(a);
	if (ahj_mallctlnametomib(all ? "arena.0.purge" : "arena.0.decay", mib,
				 &len))
		return;
	mib[1] = a->je;
	jemalloc_enter();
	ahj_mallctlbymib(mib, len, NULL, NULL, NULL, 0);
	jemalloc_leave();
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
	if (jemalloc_depth) /* this thread has it */
		return false;
	start = sys_now_ns();
	do {
		sys_yield();
		if (filling_try(a))
			return true;
	} while (sys_now_ns() - start < HOLD_NS);
	return false;
}

/*
 * A cache that its holder does not let go, for it is interrupted by the very
 * handler that forks, is not held.
 */
void arenas_hold(void)
{
	__atomic_store_n(&holding, true, __ATOMIC_RELAXED);
	for (unsigned i = 1; i <= made; i++)
		held[i] = hold(arenas[i]);
}

/*
 * An explicit cache is in a list with those of threads that are gone, which
 * jemalloc would write to when it is flushed: there have to be new ones.
 */
void arenas_fork_child(void)
{
	__atomic_store_n(&holding, false, __ATOMIC_RELAXED);
	for (unsigned i = 1; i <= made; i++) {
		arenas[i]->forked = true;
		if (held[i] || !jemalloc_depth)
			filling_drop(arenas[i]);
	}
}

void arenas_release(void)
{
	for (unsigned i = 1; i <= made; i++) {
		if (held[i])
			filling_drop(arenas[i]);
		held[i] = false;
	}
	__atomic_store_n(&holding, false, __ATOMIC_RELAXED);
}
