/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each thread keeps; see cache.h.
 */
#include "heap/cache.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/table.h"
#include "env/guard.h"
#include "track/module.h"
#include "track/registry.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#define CAP_FIRST 16
#define CAP_MAX 128
#define CAP_BYTES (64 << 10) /* a magazine's blocks, together */
#define CAP_MIN 8
#define SLAB_BYTES ((size_t)16 << 10)
#define TICKS 256		     /* batches between looks at the clock */
#define DECAY_NS UINT64_C(100000000) /* between arenas */

/* In which of a thread's rounds of destructors its heap ends: the last. */
#ifdef __SANITIZE_THREAD__
#define ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 1) /* which is its own */
#else
#define ROUNDS PTHREAD_DESTRUCTOR_ITERATIONS
#endif

static struct thread_heap no_heap;
__thread struct thread_heap *thread_heap
	__attribute__((tls_model("initial-exec"))) = &no_heap;
static __thread bool ended __attribute__((tls_model("initial-exec")));

static struct thread_heap *all_heaps;
static struct thread_heap *free_heaps;
static pthread_key_t at_exit;

/* Magazines --------------------------------------------------------------- */

static uint32_t cap_max(unsigned class)
{
	uint32_t cap = CAP_BYTES / class_bytes[class];

	cap = cap > CAP_MAX ? CAP_MAX : cap;
	return cap < CAP_MIN ? CAP_MIN : cap;
}

static unsigned list_of(uint32_t cap)
{
	return (unsigned)__builtin_ctz(cap) - (unsigned)__builtin_ctz(CAP_MIN);
}

/* An array of CAP items, a power of two. */
static void **items_new(struct thread_heap *t, uint32_t cap)
{
	void **list = &t->free_items[list_of(cap)];
	size_t bytes = cap * sizeof(void *);
	void **items = *list;

	if (items) {
		*list = items[0];
		return items;
	}
	if (t->slab_left < bytes) {
		t->slab = mem_map(SLAB_BYTES);
		t->slab_left = t->slab ? SLAB_BYTES : 0;
	}
	if (!t->slab_left)
		return NULL;
	items = (void **)t->slab;
	t->slab += bytes;
	t->slab_left -= bytes;
	IN_ORDER();
	return items;
}

static void items_drop(struct thread_heap *t, void **items, uint32_t cap)
{
	void **list = &t->free_items[list_of(cap)];

	if (!cap)
		return;
	items[0] = *list;
	*list = items;
}

/* Room for more, if the class may have it. */
static bool magazine_grow(struct thread_heap *t, struct registry_magazine *m,
			  unsigned class)
{
	uint32_t cap = m->cap ? m->cap * 2 : CAP_FIRST;
	uint32_t old_cap;
	void **items;
	void **old;

	if (!m->cap && cap > cap_max(class))
		cap = CAP_MIN;
	if (cap > cap_max(class))
		return false;
	items = items_new(t, cap);
	if (!items)
		return false;
	memcpy(items, (void *)m->items, m->n * sizeof(*items));
	old = (void **)m->items;
	old_cap = m->cap;
	m->items = (uintptr_t)items;
	m->cap = cap;
	IN_ORDER(); /* the old array is not the magazine's any more */
	items_drop(t, old, old_cap);
	return true;
}

/* The oldest N blocks of M go back to A. */
static void spill(struct registry_cache *c, struct arena *a, unsigned class,
		  uint32_t n)
{
	struct registry_magazine *m = &c->magazine[class];
	void **items = (void **)m->items;
	void *oldest[CAP_MAX];

	/* out of the magazine first: a child of fork may find it half done */
	memcpy(oldest, items, n * sizeof(*items));
	m->n -= n;
	IN_ORDER();
	memmove(items, items + n, m->n * sizeof(*items));
	c->net -= (int64_t)n * class_bytes[class];
	arena_give(a, class, oldest, n);
}

static void refill(struct thread_heap *t, struct registry_cache *c,
		   struct arena *a, unsigned class, struct place *place)
{
	struct registry_magazine *m = &c->magazine[class];
	void *fresh[CAP_MAX];
	unsigned n;

	if (!magazine_grow(t, m, class) && !m->cap)
		return;
	n = arena_take(a, class, fresh, m->cap / 2);
	for (unsigned i = 0; i < n; i++) /* the lowest on top */
		((void **)m->items)[i] = fresh[n - 1 - i];
	c->net += (int64_t)n * class_bytes[class];
	IN_ORDER();
	m->n = n;
	place_took(place, n * class_bytes[class]);
}

/* Give back in time what nobody asks for: jemalloc looks after busy arenas
 * only. */
static void decay_next(void)
{
	static uint64_t last;
	static unsigned current;
	uint64_t now = sys_now_ns();
	uint64_t before = __atomic_load_n(&last, __ATOMIC_RELAXED);
	unsigned next;

	if (now - before < DECAY_NS ||
	    !__atomic_compare_exchange_n(&last, &before, now, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	next = __atomic_load_n(&current, __ATOMIC_RELAXED) + 1;
	if (next >= ARENAS_MAX || !arena_get(next))
		next = ARENA_SHARED_ID;
	__atomic_store_n(&current, next, __ATOMIC_RELAXED);
	arena_decay(arena_get(next), false);
}

static void tick(struct thread_heap *t)
{
	if (++t->ticks % TICKS == 0)
		decay_next();
}

struct registry_cache *cache_of(struct thread_heap *t, struct arena *a)
{
	struct registry_table *table =
		&anonshim_registry->table[REGISTRY_CACHES];
	uint64_t id = 0;
	bool entered;

	if (t->by_arena[a->id])
		return t->by_arena[a->id];
	entered = guard_enter_once();
	if (lock_take(&heap_lock)) {
		id = table_add(table, 1);
		lock_drop(&heap_lock);
	}
	guard_leave_once(entered);
	if (!id)
		return NULL;
	t->by_arena[a->id] = table_at(table, id);
	t->by_arena[a->id]->arena = a->id;
	return t->by_arena[a->id];
}

static void *take_directly(struct arena *a, unsigned class)
{
	void *p = NULL;

	if (arena_take(a, class, &p, 1))
		__atomic_fetch_add(&a->record->direct,
				   (int64_t)class_bytes[class],
				   __ATOMIC_RELAXED);
	return p;
}

void *cache_take(struct thread_heap *t, struct arena *a, unsigned class,
		 struct place *place)
{
	struct registry_cache *c = t ? cache_of(t, a) : NULL;
	struct registry_magazine *m;

	if (!c)
		return take_directly(a, class);
	m = &c->magazine[class];
	if (!m->n) {
		tick(t);
		refill(t, c, a, class, place);
	}
	if (!m->n)
		return take_directly(a, class);
	return ((void **)m->items)[--m->n];
}

static void give_directly(struct arena *a, unsigned class, void *p)
{
	arena_give(a, class, &p, 1);
	__atomic_fetch_sub(&a->record->direct, (int64_t)class_bytes[class],
			   __ATOMIC_RELAXED);
}

void cache_give(struct thread_heap *t, struct arena *a, unsigned class, void *p)
{
	struct registry_cache *c = t ? cache_of(t, a) : NULL;
	struct registry_magazine *m;

	if (!c) {
		give_directly(a, class, p);
		return;
	}
	m = &c->magazine[class];
	if (m->n >= m->cap && !magazine_grow(t, m, class)) {
		if (!m->cap) {
			give_directly(a, class, p);
			return;
		}
		tick(t);
		spill(c, a, class, m->cap / 2);
	}
	((void **)m->items)[m->n] = p;
	IN_ORDER();
	m->n++;
	if (a != arena_shared)
		t->by_window[window_of(p)] = c;
}

/* Threads' heaps ---------------------------------------------------------- */

static void heap_empty(struct thread_heap *t)
{
	for (unsigned i = 1; i < ARENAS_MAX; i++) {
		struct registry_cache *c = t->by_arena[i];

		for (unsigned class = 1; c && class < HEAP_CLASSES; class ++)
			if (c->magazine[class].n)
				spill(c, arena_get(i), class,
				      c->magazine[class].n);
	}
}

/*
 * A thread ends.  Others of its destructors may still allocate, so this one
 * has itself called again while it can.
 */
static void heap_end(void *arg)
{
	struct thread_heap *t = arg;
	int err = errno;
	bool entered;

	if (++t->ends < ROUNDS) {
		pthread_setspecific(at_exit, t);
		return;
	}
	ended = true;
	thread_heap = &no_heap;
	heap_empty(t);
	jemalloc_thread_end();
	entered = guard_enter_once();
	if (lock_take(&heap_lock)) {
		t->next_free = free_heaps;
		free_heaps = t;
		lock_drop(&heap_lock);
	}
	guard_leave_once(entered);
	errno = err;
}

static struct thread_heap *heap_new(void)
{
	struct thread_heap *t = free_heaps;

	if (t) {
		free_heaps = t->next_free;
		t->ends = 0;
		return t;
	}
	t = mem_map(sizeof(*t));
	if (!t)
		return NULL;
	t->next = all_heaps;
	all_heaps = t;
	return t;
}

struct thread_heap *thread_heap_get(void)
{
	struct thread_heap *t = thread_heap;
	bool entered;

	if (t != &no_heap) {
		if (t->generation !=
		    __atomic_load_n(&modules_generation, __ATOMIC_ACQUIRE)) {
			t->generation = __atomic_load_n(&modules_generation,
							__ATOMIC_ACQUIRE);
			memset(t->slot, 0, sizeof(t->slot));
		}
		return t;
	}
	if (ended)
		return NULL;
	t = NULL;
	entered = guard_enter_once();
	if (lock_take(&heap_lock)) {
		t = heap_new();
		lock_drop(&heap_lock);
	}
	guard_leave_once(entered);
	if (!t)
		return NULL;
	thread_heap = t;
	pthread_setspecific(at_exit, t); /* may allocate: by now it can */
	return t;
}

bool thread_heap_ended(void)
{
	return ended;
}

int caches_init(void)
{
	return -pthread_key_create(&at_exit, heap_end);
}

void caches_trim(void)
{
	if (thread_heap != &no_heap)
		heap_empty(thread_heap);
	for (unsigned i = 1; i < ARENAS_MAX; i++)
		if (arena_get(i))
			arena_decay(arena_get(i), true);
}

void caches_fork_child(void)
{
	free_heaps = NULL;
	for (struct thread_heap *t = all_heaps; t; t = t->next) {
		if (t == thread_heap)
			continue;
		t->next_free = free_heaps;
		free_heaps = t;
	}
}
