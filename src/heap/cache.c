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
#include "track/stack.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#define CAP_MAX 128
#define CAP_BYTES (64 << 10) /* a magazine's blocks, together */
#define CAP_MIN 8
#define SLAB_BYTES ((size_t)16 << 10)
#define SLOTS_FIRST 256
#define WARM_MAX 4 /* heaps of ended threads that keep their blocks */
#define TICKS 256  /* batches between looks at the clock */
#define DECAY_NS UINT64_C(100000000) /* between arenas */
#define DECAYS_MAX 8		     /* at once, after a pause */

/* In which of a thread's rounds of destructors its heap ends: the last. */
#ifdef __SANITIZE_THREAD__
#define ROUNDS (PTHREAD_DESTRUCTOR_ITERATIONS - 1) /* which is its own */
#else
#define ROUNDS PTHREAD_DESTRUCTOR_ITERATIONS
#endif

static struct thread_heap no_heap;
__thread struct thread_heap *thread_heap
	__attribute__((tls_model("initial-exec"))) = &no_heap;
__thread unsigned thread_calls __attribute__((tls_model("initial-exec"))) =
	CALLS;
static struct slot no_slot;
__thread struct slots thread_slots
	__attribute__((tls_model("initial-exec"))) = {&no_slot, 0};
static __thread struct {
	bool armed; /* its end will be seen */
	bool begun; /* its beginning was */
	bool ended;
	uint8_t ends; /* times it was about to end */
} life __attribute__((tls_model("initial-exec")));

static struct thread_heap *all_heaps;
static struct thread_heap *free_heaps;
static struct thread_heap *warm_heaps;
static unsigned warm;
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
	t->slab_left -= bytes;
	IN_ORDER();
	t->slab += bytes;
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
	uint32_t cap = m->cap ? m->cap * 2 : CAP_MIN;
	uint32_t old_cap;
	void **items;
	void **old;

	if (cap > cap_max(class))
		return false;
	items = items_new(t, cap);
	if (!items)
		return false;
	memcpy(items, (void *)m->items, m->n * sizeof(*items));
	old = (void **)m->items;
	old_cap = m->cap;
	m->items = (uintptr_t)items;
	IN_ORDER();
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
	uint32_t rest = m->n - n;

	/* a child of fork that finds it half done has lost them, no more */
	memcpy(oldest, items, n * sizeof(*items));
	m->n = 0;
	IN_ORDER();
	memmove(items, items + n, rest * sizeof(*items));
	IN_ORDER();
	m->n = rest;
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
	place_took(place, a, n * class_bytes[class]);
}

static void tick(struct thread_heap *t);

/* What T keeps of A, made if need be; NULL: no memory. */
static struct registry_cache *cache_of(struct thread_heap *t, struct arena *a)
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

bool cache_give(struct thread_heap *t, struct arena *a, unsigned class, void *p)
{
	struct registry_cache *c = t ? cache_of(t, a) : NULL;
	struct registry_magazine *m;

	if (!c) {
		give_directly(a, class, p);
		return true;
	}
	m = &c->magazine[class];
	if (is_on_top(m, p))
		return false;
	if (m->n >= m->cap && !magazine_grow(t, m, class)) {
		if (!m->cap) {
			give_directly(a, class, p);
			return true;
		}
		tick(t);
		spill(c, a, class, m->cap / 2);
	}
	((void **)m->items)[m->n] = p;
	IN_ORDER();
	m->n++;
	if (a != arena_shared)
		t->by_window[window_of(p)] = c;
	return true;
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

/* Changed under the lock, and looked at without. */
static void warm_add(int n)
{
	__atomic_store_n(&warm, warm + (unsigned)n, __ATOMIC_RELAXED);
}

/* One off LIST, and with it WARM what it keeps. */
static struct thread_heap *pop(struct thread_heap **list)
{
	struct thread_heap *t = *list;

	if (t) {
		*list = t->next_free;
		warm_add(-(int)t->warm);
		t->warm = false;
	}
	return t;
}

static void push(struct thread_heap *t, bool is_warm)
{
	struct thread_heap **list = is_warm ? &warm_heaps : &free_heaps;

	t->warm = is_warm;
	warm_add(is_warm);
	t->next_free = *list;
	*list = t;
}

static bool heaps_lock(bool *entered)
{
	*entered = guard_enter_once();
	if (lock_take(&heap_lock))
		return true;
	guard_leave_once(*entered);
	return false;
}

static void heaps_unlock(bool entered)
{
	lock_drop(&heap_lock);
	guard_leave_once(entered);
}

/* Empty a heap that an ended thread left warm.  False: there is none. */
static bool cool_one(void)
{
	struct thread_heap *t;
	bool entered;

	if (!__atomic_load_n(&warm, __ATOMIC_RELAXED) || !heaps_lock(&entered))
		return false;
	t = pop(&warm_heaps);
	heaps_unlock(entered);
	if (!t)
		return false;
	heap_empty(t);
	if (heaps_lock(&entered)) {
		push(t, false);
		heaps_unlock(entered);
	}
	return true;
}

/* The next thread is likely to want what the last one had. */
static bool leave_warm(struct thread_heap *t)
{
	bool entered;
	bool left = false;

	if (!heaps_lock(&entered))
		return false;
	if (warm < WARM_MAX) {
		push(t, true);
		left = true;
	}
	heaps_unlock(entered);
	return left;
}

/*
 * A thread ends.  Others of its destructors may still allocate, so this one
 * has itself called again while it can; where it may have been asked for by
 * another in the first round, one round less.
 */
static void heap_end(void *arg)
{
	struct thread_heap *t = thread_heap;
	int err = errno;
	bool entered;

	if (++life.ends + !life.begun < ROUNDS) {
		pthread_setspecific(at_exit, arg);
		return;
	}
	life.ended = true;
	thread_heap = &no_heap;
	thread_slots = (struct slots){&no_slot, 0};
	if (t != &no_heap && !leave_warm(t)) {
		heap_empty(t);
		if (heaps_lock(&entered)) {
			push(t, false);
			heaps_unlock(entered);
		}
	}
	jemalloc_thread_end();
	errno = err;
}

/* pthread_setspecific() may allocate: by then it can. */
static void arm(void)
{
	life.armed = true;
	pthread_setspecific(at_exit, &life);
}

static void thread_begin(void)
{
	life.begun = true;
	arm();
}

void thread_ready(void)
{
	if (__builtin_expect(!life.armed, 0) && !life.ended)
		arm();
	if (__builtin_expect(guard_forked(), 0) && guard_open()) {
		guard_enter();
		guard_leave();
	}
}

/* More slots, empty ones. */
static bool slots_make(struct thread_heap *t, size_t n)
{
	struct slot *at = mem_map(n * sizeof(*at));
	struct slots old = t->slots;

	if (!at)
		return false;
	t->slab_left = 0;
	t->slots.at = at;
	IN_ORDER();
	t->slots.mask = n - 1;
	t->conflicts = 0;
	if (old.at) { /* good for magazines */
		t->slab = (char *)old.at;
		IN_ORDER();
		t->slab_left = (old.mask + 1) * sizeof(*at);
	}
	return true;
}

static struct thread_heap *heap_new(void)
{
	struct thread_heap *t = pop(warm_heaps ? &warm_heaps : &free_heaps);

	if (t)
		return t;
	t = mem_map(sizeof(*t));
	if (!t || !slots_make(t, SLOTS_FIRST))
		return NULL;
	t->next = all_heaps;
	all_heaps = t;
	return t;
}

/* Slots for other modules are void, too few become more. */
static void slots_look_after(struct thread_heap *t)
{
	uint64_t now = __atomic_load_n(&modules_generation, __ATOMIC_ACQUIRE);
	size_t n = t->slots.mask + 1;

	if (t->generation != now) {
		t->generation = now;
		memset(t->slots.at, 0, n * sizeof(*t->slots.at));
	}
	if (t->conflicts > n / 2 && n < SLOTS_MAX) {
		t->conflicts = 0;
		slots_make(t, n * 4);
		thread_slots = t->slots;
	}
}

struct thread_heap *thread_heap_get(void)
{
	struct thread_heap *t = thread_heap;
	bool entered;

	thread_ready();
	if (t != &no_heap) {
		slots_look_after(t);
		return t;
	}
	if (life.ended || !heaps_lock(&entered))
		return NULL;
	t = heap_new();
	heaps_unlock(entered);
	if (!t)
		return NULL;
	slots_look_after(t);
	thread_slots = t->slots;
	thread_heap = t;
	return t;
}

bool thread_heap_ended(void)
{
	return life.ended;
}

static void decay_next(void)
{
	static unsigned current;
	unsigned next = __atomic_load_n(&current, __ATOMIC_RELAXED) + 1;

	if (next >= ARENAS_MAX || !arena_get(next))
		next = ARENA_SHARED_ID;
	__atomic_store_n(&current, next, __ATOMIC_RELAXED);
	arena_decay(arena_get(next), false);
}

/* jemalloc looks after busy arenas only. */
static void decay_some(void)
{
	static uint64_t last;
	uint64_t now = guard_ready ? sys_now_ns() : 0; /* not in a sandbox */
	uint64_t before = __atomic_load_n(&last, __ATOMIC_RELAXED);
	uint64_t n = (now - before) / DECAY_NS;

	if (!now || !n ||
	    !__atomic_compare_exchange_n(&last, &before, now, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	cool_one();
	for (unsigned i = 0; i < n && i < DECAYS_MAX; i++)
		decay_next();
}

static void tick(struct thread_heap *t)
{
	if (++t->ticks % TICKS == 0)
		decay_some();
}

void caches_tick(void)
{
	thread_calls = CALLS;
	if (thread_heap != &no_heap)
		decay_some();
}

int caches_init(void)
{
	stack_on_start(thread_begin);
	return -pthread_key_create(&at_exit, heap_end);
}

void caches_flush(void)
{
	if (thread_heap != &no_heap)
		heap_empty(thread_heap);
	while (cool_one()) {
	}
	arenas_flush_thread();
	for (unsigned i = 1; i < ARENAS_MAX && arena_get(i); i++)
		arena_flush(arena_get(i));
}

void caches_trim(void)
{
	caches_flush();
	for (unsigned i = 1; i < ARENAS_MAX && arena_get(i); i++)
		arena_decay(arena_get(i), true);
}

void caches_fork_child(void)
{
	free_heaps = warm_heaps = NULL;
	warm = 0;
	for (struct thread_heap *t = all_heaps; t; t = t->next)
		if (t != thread_heap)
			push(t, true);
}
