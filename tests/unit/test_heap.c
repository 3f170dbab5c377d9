/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap as malloc's family has it: results, errno, content, books.
 */
#include "test_heap_fixture.h"

#include "env/real.h"

#include <pthread.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline, noclone, no_icf, used))
#define HERE ((uintptr_t)here + 1)

static NOINLINE void here(void)
{
	__asm__ volatile("nop; nop; nop; nop");
}

static void start(void)
{
	heap_started("naming=registry");
}

TestSuite(heap, .timeout = 120);

static void *get(size_t size, size_t alignment, bool zero)
{
	struct unwind_start caller = asker(HERE);

	return heap_alloc(size, alignment, zero, &caller);
}

static void *resize(void *p, size_t size)
{
	struct unwind_start caller = asker(HERE);

	return heap_realloc(p, size, &caller);
}

static bool all(const char *p, size_t size, char c)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != c)
			return false;
	return true;
}

/* Results ----------------------------------------------------------------- */

Test(heap, every_size_has_room_and_alignment, .init = start)
{
	for (size_t size = 0; size < 80000; size += 1 + size / 100) {
		char *p = get(size, HEAP_ALIGN, false);
		size_t room = heap_usable(p);

		cr_assert_not_null(p);
		cr_assert_eq((uintptr_t)p % HEAP_ALIGN, 0);
		cr_assert_geq(room, size ? size : 1);
		cr_assert(heap_owns(p));
		memset(p, 1, room);
		if (size % 3)
			heap_free(p);
	}
}

Test(heap, blocks_of_no_bytes_are_different, .init = start)
{
	char *p = get(0, HEAP_ALIGN, false);
	char *q = get(0, HEAP_ALIGN, true);

	cr_assert(p && q && p != q);
	heap_free(p);
	heap_free(q);
	heap_free(NULL);
	cr_assert_eq(live_all(), 0);
}

Test(heap, alignments, .init = start)
{
	static const size_t sizes[] = {0, 1, 100, 4096, 9000, 40000};

	for (size_t alignment = 1; alignment <= GIB; alignment *= 2)
		for (unsigned i = 0; i < 6; i++) {
			char *p = get(sizes[i], alignment, i % 2);

			cr_assert_not_null(p);
			cr_assert_eq((uintptr_t)p % alignment, 0);
			cr_assert_geq(heap_usable(p), sizes[i]);
			cr_assert(!(i % 2) || all(p, sizes[i], 0));
			memset(p, 1, sizes[i]);
			heap_free(p);
		}
	cr_assert_eq(live_all(), 0);
}

Test(heap, aligned_blocks_are_apart, .init = start)
{
	char *had[100];

	for (unsigned i = 0; i < 100; i++) {
		had[i] = get(48, (size_t)16 << i % 8, false);
		memset(had[i], (int)i, heap_usable(had[i]));
	}
	for (unsigned i = 0; i < 100; i++)
		cr_assert(all(had[i], heap_usable(had[i]), (char)i));
}

Test(heap, zero_where_it_was_used_before, .init = start)
{
	for (size_t size = 1; size < 3 * MIB; size = size * 3 / 2 + 1)
		for (unsigned i = 0; i < 4; i++) {
			char *p = get(size, HEAP_ALIGN, true);

			cr_assert(all(p, size, 0), "%zu bytes", size);
			memset(p, 0xff, heap_usable(p));
			heap_free(p);
		}
}

Test(heap, what_cannot_be_is_enomem, .init = start)
{
	static const size_t sizes[] = {PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
				       SIZE_MAX, SIZE_MAX - 4096,
				       WINDOW_BYTES << 10};

	for (unsigned i = 0; i < 5; i++)
		for (unsigned zero = 0; zero < 2; zero++) {
			errno = 0;
			cr_assert_null(get(sizes[i], HEAP_ALIGN, zero));
			cr_assert_eq(errno, ENOMEM);
			errno = 0;
			cr_assert_null(get(sizes[i], PAGE, zero));
			cr_assert_eq(errno, ENOMEM);
		}
	errno = 0;
	cr_assert_null(get(16, (size_t)1 << 62, false));
	cr_assert_eq(errno, ENOMEM);
	cr_assert_not_null(get(16, HEAP_ALIGN, false));
	cr_assert_eq(live_all(), 16);
}

Test(heap, errno_is_left, .init = start)
{
	void *p;

	errno = 77;
	p = get(100, HEAP_ALIGN, false);
	p = resize(p, 10 * MIB);
	heap_free(p);
	p = get(20 * MIB, PAGE, true);
	heap_usable(p);
	heap_free(p);
	heap_trim();
	cr_assert_eq(errno, 77);
}

/* realloc ----------------------------------------------------------------- */

Test(heap, realloc_keeps_content, .init = start)
{
	for (size_t from = 1; from < 3 * MIB; from = from * 5 / 2 + 3)
		for (size_t to = 1; to < 3 * MIB; to = to * 5 / 2 + 5) {
			size_t less = from < to ? from : to;
			char *p = get(from, HEAP_ALIGN, false);

			memset(p, 'c', from);
			p = resize(p, to);
			cr_assert_not_null(p);
			cr_assert_geq(heap_usable(p), to);
			cr_assert(all(p, less, 'c'), "%zu to %zu", from, to);
			memset(p, 'd', to);
			heap_free(p);
		}
	cr_assert_eq(live_all(), 0);
}

Test(heap, realloc_of_its_class_stays, .init = start)
{
	char *p = get(100, HEAP_ALIGN, false);

	cr_assert_eq(resize(p, 112), p);
	cr_assert_eq(resize(p, 97), p);
	cr_assert_neq(resize(p, 113), p);
}

Test(heap, realloc_of_nothing_and_to_nothing, .init = start)
{
	char *p = resize(NULL, 100);

	cr_assert_geq(heap_usable(p), 100);
	cr_assert_null(resize(p, 0));
	cr_assert_eq(live_all(), 0);
}

Test(heap, realloc_that_cannot_be_leaves_the_block, .init = start)
{
	static const size_t sizes[] = {100, 100000};

	for (unsigned i = 0; i < 2; i++) {
		char *p = get(sizes[i], HEAP_ALIGN, false);

		memset(p, 'k', sizes[i]);
		errno = 0;
		cr_assert_null(resize(p, SIZE_MAX));
		cr_assert_eq(errno, ENOMEM);
		errno = 0;
		cr_assert_null(resize(p, WINDOW_BYTES << 10));
		cr_assert_eq(errno, ENOMEM);
		cr_assert(all(p, sizes[i], 'k'));
		heap_free(p);
	}
	cr_assert_eq(live_all(), 0);
}

/* Where it must move, it moves to the arena of who asks now. */
Test(heap, realloc_across_owners, .init = start)
{
	uintptr_t one = module_load(1);
	uintptr_t two = module_load(2);
	struct unwind_start other = asker(two);
	char *p;

	ask(MIB, one);
	ask(MIB, two);
	p = ask(1000, one);
	memset(p, 'x', 1000);
	p = heap_realloc(p, 5000, &other);
	cr_assert_str_eq(owner_of(arena_at(p)), "libowner_2.so");
	cr_assert(all(p, 1000, 'x'));
	other = asker(one);
	p = heap_realloc(p, 500, &other);
	cr_assert_str_eq(owner_of(arena_at(p)), "libowner_1.so");
	cr_assert(all(p, 500, 'x'));
	heap_free(p);
	cr_assert_eq(live_all(), 2 * MIB);
}

/* Others' blocks ---------------------------------------------------------- */

Test(heap, blocks_of_libc_are_its, .init = start)
{
	char *p = malloc(100);
	int local = 0;

	memset(p, 'l', 100);
	cr_assert_not(heap_owns(p));
	cr_assert_not(heap_owns(&local));
	cr_assert_not(heap_owns(NULL));
	cr_assert_geq(heap_usable(p), 100);
	cr_assert_eq(heap_usable(NULL), 0);
	p = resize(p, 10000);
	cr_assert_not(heap_owns(p));
	cr_assert(all(p, 100, 'l'));
	heap_free(p);
	cr_assert_eq(live_all(), 0);
}

Test(heap, off)
{
	char *p;

	shim_start("naming=registry,heap=off");
	guard_ready = true;
	cr_assert_eq(heap_start(), 0);
	cr_assert_eq(heap_state, HEAP_IS_OFF);
	p = get(100, HEAP_ALIGN, true);
	cr_assert(p && !heap_owns(p) && all(p, 100, 0));
	heap_free(resize(p, 1000));
	p = get(100, 4 * PAGE, true);
	cr_assert(p && !heap_owns(p) && all(p, 100, 0));
	cr_assert_eq((uintptr_t)p % (4 * PAGE), 0);
	heap_free(p);
	heap_trim();
	cr_assert_eq(heap_totals().held, 0);
	cr_assert_eq(heap_totals().mapped, 0);
}

/* From then on libc serves; what is ours is still ours. */
Test(heap, left_later, .init = start)
{
	char *p = get(100, HEAP_ALIGN, false);
	char *q;

	memset(p, 'p', 100);
	heap_leave();
	q = get(100, HEAP_ALIGN, false);
	cr_assert(!heap_owns(q) && heap_owns(p));
	p = resize(p, 1000);
	cr_assert(!heap_owns(p) && all(p, 100, 'p'));
	heap_free(p);
	heap_free(q);
}

/* Books ------------------------------------------------------------------- */

Test(heap, totals_are_what_is_held, .init = start)
{
	void *had[300];
	size_t held = 0;

	for (unsigned i = 0; i < 300; i++) {
		had[i] = get(i * i, HEAP_ALIGN, false);
		held += heap_usable(had[i]);
		cr_assert_eq(heap_totals().held, held);
		cr_assert_geq(heap_totals().mapped, held);
	}
	for (unsigned i = 0; i < 300; i++) {
		held -= heap_usable(had[i]);
		heap_free(had[i]);
		cr_assert_eq(heap_totals().held, held);
	}
	cr_assert_eq(held, 0);
}

/* Also where something lies in a window's way. */
Test(heap, totals_count_every_window, .init = start)
{
	size_t held = 0;

	for (unsigned i = 0; i < 4; i++) {
		void *p = get(40 * MIB, HEAP_ALIGN, false);

		held += heap_usable(p);
		cr_assert_neq(mmap((void *)arena_at(p)->window.top, PAGE,
				   PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
				   0),
			      MAP_FAILED);
	}
	cr_assert_eq(heap_totals().held, held);
	cr_assert_geq(heap_totals().mapped, held);
}

Test(heap, trimmed_memory_goes_back, .init = start)
{
	static char *had[3000];
	size_t before;
	size_t after;
	struct arena *a;
	uintptr_t blocks;

	for (unsigned i = 0; i < 3000; i++) {
		had[i] = get(4000, HEAP_ALIGN, false);
		memset(had[i], 1, 4000);
	}
	a = arena_at(had[2999]);
	blocks = a->window.start + WINDOW_CLASSES_BYTES;
	before = resident((void *)blocks, a->window.top - blocks);
	for (unsigned i = 0; i < 3000; i++)
		heap_free(had[i]);
	heap_trim();
	after = resident((void *)blocks, a->window.top - blocks);
	cr_assert_gt(before, 2900);
	cr_assert_lt(after, before / 16);
}

/* Anything at any time ---------------------------------------------------- */

#define THREADS 4
#define LIVE 500
#define OPERATIONS 100000
#define SHELF 64

struct held {
	unsigned char *p;
	size_t size;
	unsigned char mark;
};

/* Where threads leave blocks for each other. */
static struct held *shelf[SHELF];
static uintptr_t pcs[4];

/* First and last bytes and a few between: looking at all takes too long. */
static bool intact(const struct held *h)
{
	for (size_t i = 0; i < h->size; i += i < 64 ? 1 : 251)
		if (h->p[i] != h->mark)
			return false;
	return !h->size || h->p[h->size - 1] == h->mark;
}

static bool fill(struct held *h, uint64_t *state)
{
	if (!h->p || heap_usable(h->p) < h->size)
		return false;
	h->mark = (unsigned char)draw(state);
	memset(h->p, h->mark, h->size);
	return true;
}

static size_t some_size(uint64_t *state)
{
	switch (draw(state) % 16) {
	case 0:
		return (size_t)(draw(state) % (200 * KIB));
	case 1:
	case 2:
		return (size_t)(draw(state) % (9 * KIB));
	default:
		return (size_t)(draw(state) % 400);
	}
}

static bool make(struct held *h, uint64_t *state)
{
	struct unwind_start caller = asker(pcs[draw(state) % 4]);
	size_t alignment = (size_t)1 << draw(state) % 14;

	h->size = some_size(state);
	switch (draw(state) % 8) {
	case 0:
		h->p = heap_alloc(h->size, alignment, false, &caller);
		return (uintptr_t)h->p % alignment == 0 && fill(h, state);
	case 1:
		h->p = heap_alloc(h->size, HEAP_ALIGN, true, &caller);
		h->mark = 0;
		return h->p && intact(h) && fill(h, state);
	default:
		h->p = ask(h->size, caller.pc);
		return fill(h, state);
	}
}

static bool change(struct held *h, uint64_t *state)
{
	struct unwind_start caller = asker(pcs[draw(state) % 4]);
	size_t size = some_size(state) + 1;
	size_t less = size < h->size ? size : h->size;

	h->p = heap_realloc(h->p, size, &caller);
	h->size = less;
	if (!h->p || !intact(h))
		return false;
	h->size = size;
	return fill(h, state);
}

/* H's block for one that another thread left. */
static void swap(struct held *h, uint64_t *state)
{
	struct held *mine = malloc(sizeof(*mine));
	struct held *theirs;

	*mine = *h;
	theirs = __atomic_exchange_n(&shelf[draw(state) % SHELF], mine,
				     __ATOMIC_ACQ_REL);
	*h = theirs ? *theirs : (struct held){NULL, 0, 0};
	free(theirs);
}

static bool step(struct held *h, uint64_t *state)
{
	unsigned what = (unsigned)(draw(state) % 16);

	if (h->p && !intact(h))
		return false;
	if (!h->p)
		return make(h, state);
	if (what < 2)
		return change(h, state);
	if (what < 5) {
		swap(h, state);
		return true;
	}
	drop(h->p);
	h->p = NULL;
	return true;
}

static void *operate(void *arg)
{
	struct held *had = calloc(LIVE, sizeof(*had));
	uint64_t state = (uintptr_t)arg;
	void *wrong = NULL;

	for (unsigned i = 0; i < OPERATIONS && !wrong; i++)
		if (!step(&had[draw(&state) % LIVE], &state))
			wrong = arg;
	for (unsigned i = 0; i < LIVE; i++)
		drop(had[i].p);
	free(had);
	return wrong;
}

static void random_operations(unsigned n)
{
	pthread_t threads[THREADS];

	pcs[0] = HERE;
	for (unsigned i = 1; i < 4; i++)
		pcs[i] = module_load(i);
	for (uintptr_t i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, operate, (void *)(i + 1));
	for (unsigned i = 0; i < n; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong, "a block is not what it was");
	}
	for (unsigned i = 0; i < SHELF; i++)
		if (shelf[i]) {
			cr_assert(!shelf[i]->p || intact(shelf[i]));
			drop(shelf[i]->p);
		}
	cr_assert_eq(live_all(), 0);
	cr_assert_eq(live_accounts(NULL), 0);
	cr_assert_eq(heap_totals().held, 0);
}

Test(heap, random_operations_of_one, .init = start)
{
	random_operations(1);
}

Test(heap, random_operations_at_once, .init = start)
{
	random_operations(THREADS);
}

Test(heap, random_operations_by_site)
{
	heap_started("naming=registry,heap=site");
	random_operations(THREADS);
}
