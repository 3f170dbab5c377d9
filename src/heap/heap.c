/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc and its family; see heap.h.
 */
#include "heap/heap.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/table.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "heap/arena.h"
#include "heap/cache.h"
#include "heap/class.h"
#include "heap/early.h"
#include "heap/owner.h"
#include "heap/window.h"
#include "track/registry.h"
#include "track/site.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define ROOM_BYTES ((size_t)64 << 20)

enum heap_state heap_state;

/* A slot that has nothing sends its callers here. */
static struct registry_cache no_cache;

static void slot_fill(struct thread_heap *t, struct slot *s, uintptr_t pc,
		      const struct caller *c)
{
	t->conflicts += s->pc != 0;
	s->pc = 0;
	s->caller = c;
	s->cache = &no_cache;
	s->step = caller_wraps(c) ? unwind_fast(c->rule)
				  : (struct cfi_rule){.base = CFI_NONE};
	s->pc = pc;
}

/* Who stands behind PC.  T may be NULL. */
static const struct caller *caller_of(struct thread_heap *t, uintptr_t pc)
{
	const struct caller *c;
	struct slot *s;

	if (!t)
		return caller_find(pc);
	s = slot_of(pc);
	if (s->pc == pc)
		return s->caller;
	c = caller_find(pc);
	if (c->pc == pc)
		slot_fill(t, s, pc, c);
	return c;
}

/*
 * Whether C, who has no name and whose frame is at START, is part of a wrapper:
 * called by one of the same module.  So is what sqlite3Malloc() calls in a
 * stripped file.
 */
static bool is_part(struct thread_heap *t, const struct unwind_start *start,
		    const struct caller *c)
{
	struct unwind_start frame = *start;
	const struct caller *above;

	if (!unwind_step(&frame))
		return false;
	above = caller_of(t, frame.pc);
	return caller_wraps(above) && above->place->owner == c->place->owner;
}

static bool is_wrapper(struct thread_heap *t, const struct unwind_start *frame,
		       const struct caller *c)
{
	struct slot *s = slot_of(frame->pc);

	if (__atomic_load_n(&c->undecided, __ATOMIC_ACQUIRE))
		caller_decide(c, is_part(t, frame, c));
	if (!caller_wraps(c))
		return false;
	if (s->pc == frame->pc)
		s->step = unwind_fast(c->rule);
	return true;
}

/* The first who is no wrapper; where all are, the first; *PC: where he is. */
static struct place *asked_by(struct thread_heap *t,
			      const struct unwind_start *start, uintptr_t *pc)
{
	struct unwind_start frame = *start;
	const struct caller *first = caller_of(t, frame.pc);
	const struct caller *c = first;

	for (int i = 0; i < CACHE_WRAPPERS_MAX; i++) {
		if (!is_wrapper(t, &frame, c)) {
			*pc = frame.pc;
			return c->place;
		}
		if (!unwind_step(&frame))
			break;
		c = caller_of(t, frame.pc);
	}
	*pc = start->pc;
	return first->place;
}

/* From now on PC's blocks of A are found at once. */
static void remember(struct thread_heap *t, uintptr_t pc, struct arena *a)
{
	struct slot *s = slot_of(pc);

	if (s->pc == pc && !caller_wraps(s->caller) && a != arena_shared &&
	    t->by_arena[a->id])
		s->cache = t->by_arena[a->id];
}

static void charge(void *p, struct place *place, size_t bytes)
{
	*window_tag(p) = place->account;
	place_holds(place, (int64_t)bytes);
}

/* The class of the blocks of SIZE bytes at multiples of ALIGNMENT; 0: none. */
static unsigned class_aligned(size_t size, size_t alignment)
{
	size_t bytes;

	if (alignment > PAGE_BYTES || size > CLASS_MAX_BYTES)
		return 0;
	if (alignment <= HEAP_ALIGN)
		return class_of(size);
	bytes = ahj_nallocx(size ? size : 1, JE_ALIGN(alignment));
	if (bytes < alignment || bytes > CLASS_MAX_BYTES / 4)
		return 0;
	return class_of(bytes);
}

/* What is asked for. */
struct request {
	size_t size;
	size_t alignment;
	bool zero;
	bool grows;	/* and may do so again */
	unsigned class; /* 0: none fits */
};

static void *take(struct thread_heap *t, struct arena *a, struct place *place,
		  const struct request *r)
{
	size_t size = r->size ? r->size : 1;
	void *p = r->class ? cache_take(t, a, r->class, place)
			   : arena_take_large(a, size, r->alignment, r->zero,
					      r->grows);

	if (!p)
		return NULL;
	if (!r->class)
		place_took(place, a, size);
	if (a == arena_shared)
		charge(p, place,
		       r->class ? class_bytes[r->class] : arena_bytes_large(p));
	return r->class && r->zero ? real.memset(p, 0, r->size) : p;
}

/* Of its own arena, else what others have in reserve, whosever it is. */
static void *take_anywhere(struct thread_heap *t, struct place *place,
			   const struct request *r)
{
	void *p = take(t, place_arena(place), place, r);

	for (unsigned i = 1; !p && i < ARENAS_MAX && arena_get(i); i++)
		p = take(t, arena_get(i), place, r);
	return p;
}

/*
 * The kernel gives no more.  What caches keep may do, or what lies free in
 * pieces until it is given back.
 */
static void *take_at_last(struct thread_heap *t, struct place *place,
			  const struct request *r)
{
	void *p = take_anywhere(t, place, r);

	if (p)
		return p;
	caches_flush();
	p = take_anywhere(t, place, r);
	if (p)
		return p;
	caches_trim();
	return take_anywhere(t, place, r);
}

static void *alloc(size_t size, size_t alignment, bool zero, bool grows,
		   const struct unwind_start *caller)
{
	struct request r = {size, alignment, zero, grows,
			    class_aligned(size, alignment)};
	struct thread_heap *t = thread_heap_get();
	uintptr_t pc;
	struct place *place = asked_by(t, caller, &pc);
	struct arena *a = place_arena(place);
	void *p = take(t, a, place, &r);

	if (!p)
		return take_at_last(t, place, &r);
	if (t && r.class)
		remember(t, pc, a);
	return p;
}

static void *libc_alloc(size_t size, size_t alignment, bool zero)
{
	void *p = NULL;

	/* what libc gives is libc's: also to a thread that ended here */
	if (heap_state == HEAP_EARLY || !real.malloc || !real.calloc ||
	    !real.memalign) {
		p = early_alloc(size, alignment);
		if (!p)
			errno = ENOMEM;
		return p;
	}
	if (alignment > HEAP_ALIGN) {
		p = real.memalign(alignment, size);
		return p && zero ? real.memset(p, 0, size) : p;
	}
	return zero ? real.calloc(1, size) : real.malloc(size);
}

/* No window takes it; libc may, where there is so much memory. */
static bool is_huge(size_t size, size_t alignment)
{
	return size > WINDOW_BLOCK_MAX || alignment > WINDOW_BLOCK_MAX - size;
}

static __attribute__((noinline)) void *
heap_take(size_t size, size_t alignment, bool zero, bool grows,
	  const struct unwind_start *caller)
{
	int err = errno;
	void *p = NULL;

	if (heap_state != HEAP_RUNS || is_huge(size, alignment))
		return libc_alloc(size, alignment, zero);
	if (thread_heap_ended())
		p = libc_alloc(size, alignment, zero);
	else
		p = alloc(size, alignment, zero, grows, caller);
	errno = p ? err : ENOMEM;
	return p;
}

/* It is time to look at the clock. */
static __attribute__((noinline)) void *
alloc_late(size_t size, size_t alignment, bool zero,
	   const struct unwind_start *caller)
{
	caches_tick();
	return heap_alloc(size, alignment, zero, caller);
}

void *heap_alloc(size_t size, size_t alignment, bool zero,
		 const struct unwind_start *caller)
{
	void *p = NULL;

	if (__builtin_expect(!thread_calls, 0))
		return alloc_late(size, alignment, zero, caller);
	if (alignment <= HEAP_ALIGN)
		p = cache_pop_through(size, caller);
	if (!p)
		return heap_take(size, alignment, zero, false, caller);
	return zero ? real.memset(p, 0, size) : p;
}

/* The arena that P is of; NULL: it is not ours. */
static struct arena *arena_of(const void *p)
{
	size_t window = window_of(p);
	uint8_t id = window < WINDOWS ? window_arena(window) : 0;

	return id ? arena_get(id) : NULL;
}

bool heap_owns(const void *p)
{
	return arena_of(p) || early_owns(p);
}

/* As libc does: the program's next step would be worse. */
static _Noreturn void end_for(const char *what, const void *p)
{
	struct log_line line;

	log_begin(&line);
	fmt_str(&line.f, "free(): ");
	fmt_str(&line.f, what);
	fmt_str(&line.f, ": 0x");
	fmt_hex(&line.f, (uintptr_t)p);
	log_die(&line);
}

static void give(struct arena *a, void *p)
{
	unsigned class = window_class_get(p);
	uint16_t account = a == arena_shared ? *window_tag(p) : 0;
	size_t bytes = class_bytes[class];

	if ((uintptr_t)p & (HEAP_ALIGN - 1))
		end_for("not a block", p);
	thread_ready();
	if (!class)
		bytes = arena_give_large(a, p);
	else if (!cache_give(thread_heap_get(), a, class, p))
		end_for("freed before", p);
	account_holds(account, -(int64_t)bytes);
}

void heap_free(void *p)
{
	struct arena *a = arena_of(p);
	int err = errno;

	if (a)
		give(a, p);
	else if (p && !early_owns(p) && real.free)
		real.free(p);
	errno = err;
}

/* Bytes of P, which is an arena's. */
static size_t size_of(void *p)
{
	unsigned class = window_class_get(p);

	return class ? class_bytes[class] : arena_bytes_large(p);
}

size_t heap_usable(void *p)
{
	struct arena *a = arena_of(p);

	if (a) {
		thread_ready();
		return size_of(p);
	}
	if (early_owns(p))
		return early_size(p);
	return p && real.malloc_usable_size ? real.malloc_usable_size(p) : 0;
}

/* Whether P was made fit for SIZE where it is; *HAD: bytes it had before. */
static bool resized(struct arena *a, void *p, size_t size, size_t *had)
{
	size_t now;

	*had = size_of(p);
	if (window_class_get(p))
		return size <= CLASS_MAX_BYTES &&
		       class_bytes[class_of(size)] == *had;
	if (size <= CLASS_MAX_BYTES)
		return false;
	now = arena_resize_large(a, p, size);
	if (a == arena_shared)
		account_holds(*window_tag(p), (int64_t)now - (int64_t)*had);
	*had = now;
	return now >= size;
}

static void *move(void *p, size_t had, size_t size,
		  const struct unwind_start *caller)
{
	void *to = size <= CLASS_MAX_BYTES
			   ? heap_alloc(size, HEAP_ALIGN, false, caller)
			   : heap_take(size, HEAP_ALIGN, false, size > had,
				       caller);

	if (!to)
		return NULL;
	real.memcpy(to, p, had < size ? had : size);
	heap_free(p);
	return to;
}

void *heap_realloc(void *p, size_t size, const struct unwind_start *caller)
{
	struct arena *a = arena_of(p);
	size_t had;

	if (!p)
		return heap_alloc(size, HEAP_ALIGN, false, caller);
	if (!a && !early_owns(p))
		return real.realloc ? real.realloc(p, size) : NULL;
	if (!size) {
		heap_free(p);
		return NULL;
	}
	if (size > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	if (!a)
		return move(p, early_size(p), size, caller);
	thread_ready();
	return resized(a, p, size, &had) ? p : move(p, had, size, caller);
}

void heap_trim(void)
{
	int err = errno;

	if (heap_state == HEAP_RUNS) {
		thread_ready();
		caches_trim();
	}
	errno = err;
}

/* Numbers of one moment each, as the tool sees them: races are no matter. */
__attribute__((no_sanitize("thread"))) static int64_t cached(void)
{
	const struct registry_table *t =
		&anonshim_registry->table[REGISTRY_CACHES];
	int64_t bytes = 0;

	for (uint64_t i = 1; i < t->count; i++) {
		const struct registry_cache *c = table_at(t, i);

		for (unsigned class = 1; class < HEAP_CLASSES; class ++)
			bytes += (int64_t)c->magazine[class].n *
				 class_bytes[class];
	}
	return bytes;
}

struct heap_totals heap_totals(void)
{
	struct heap_totals totals = {0, 0};
	int64_t held = __atomic_load_n(&arena_total, __ATOMIC_RELAXED);

	if (heap_state != HEAP_RUNS)
		return totals;
	held -= cached();
	totals.held = held > 0 ? (size_t)held : 0;
	for (unsigned i = 1; i < ARENAS_MAX; i++)
		if (arena_get(i))
			totals.mapped += __atomic_load_n(
				&arena_get(i)->window.mapped, __ATOMIC_RELAXED);
	return totals;
}

static uint32_t shared_site(void)
{
	uint32_t site = 0;

	if (lock_take(&registry_lock)) {
		site = site_of_owner(KIND_HEAP, "small owners", "");
		lock_drop(&registry_lock);
	}
	return site;
}

static int shared_make(void)
{
	guard_enter();
	if (lock_take(&heap_lock)) {
		arena_shared = arena_make(shared_site(), true);
		lock_drop(&heap_lock);
	}
	guard_leave();
	return arena_shared ? 0 : -ENOMEM;
}

void heap_leave(void)
{
	heap_state = HEAP_IS_OFF;
}

/* Where address space is short, what arenas keep in reserve is too much. */
static bool room(void)
{
	long p = sys_mmap(NULL, ROOM_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return !sys_failed(p) && !sys_munmap((void *)p, ROOM_BYTES);
}

int heap_start(void)
{
	int result;

	if (CONFIG_NUMBER(heap) == HEAP_OFF) {
		heap_leave();
		return 0;
	}
	if (!room()) {
		heap_leave();
		return -ENOMEM;
	}
	jemalloc_start();
	class_init();
	memcpy(anonshim_registry->class_bytes, class_bytes,
	       sizeof(class_bytes));
	window_init();
	result = owners_init();
	if (!result)
		result = arenas_init();
	if (!result)
		result = caches_init();
	if (!result)
		result = shared_make();
	if (result)
		heap_leave();
	else
		heap_state = HEAP_RUNS;
	return result;
}

/* The thread that forks alone holds heap_lock: what is held is for it. */
void heap_fork_prepare(void)
{
	if (heap_state != HEAP_RUNS)
		return;
	guard.fork_heap = lock_take(&heap_lock);
	if (guard.fork_heap)
		arenas_hold();
	jemalloc_fork_prepare();
}

void heap_fork_parent(void)
{
	if (heap_state != HEAP_RUNS)
		return;
	jemalloc_fork_parent();
	if (!guard.fork_heap)
		return;
	arenas_release();
	lock_drop(&heap_lock);
}

void heap_fork_child(void)
{
	if (heap_state != HEAP_RUNS)
		return;
	jemalloc_fork_child();
	arenas_fork_child();
	caches_fork_child();
	lock_reset(&window_lock);
	lock_reset(&heap_lock);
}
