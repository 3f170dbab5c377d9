/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory before the heap is there, and how it is treated afterwards.
 */
#include "heap/early.h"
#include "test_heap_fixture.h"

#include <limits.h>
#include <pthread.h>
#include <sys/syscall.h>

#define HERE ((uintptr_t)module_less + 1)

static void module_less(void)
{
}

static bool all(const char *p, size_t size, char c)
{
	for (size_t i = 0; i < size; i++)
		if (p[i] != c)
			return false;
	return true;
}

Test(early, zeroed_aligned_and_apart)
{
	static char *had[400];
	static size_t sizes[400];

	for (unsigned i = 0; i < 400; i++) {
		size_t alignment = (size_t)1 << i % 13;

		sizes[i] = i * 37 % 5000;
		had[i] = early_alloc(sizes[i], alignment);
		cr_assert_not_null(had[i]);
		cr_assert_eq((uintptr_t)had[i] % HEAP_ALIGN, 0);
		cr_assert_eq((uintptr_t)had[i] % alignment, 0);
		cr_assert(all(had[i], sizes[i], 0));
		memset(had[i], (int)i, sizes[i]);
	}
	for (unsigned i = 0; i < 400; i++) {
		cr_assert(all(had[i], sizes[i], (char)i), "blocks overlap");
		cr_assert_eq(early_size(had[i]), sizes[i]);
		cr_assert(early_owns(had[i]));
		cr_assert(early_owns(had[i] + (sizes[i] ? sizes[i] - 1 : 0)));
	}
}

Test(early, owns_nothing_else)
{
	char *elsewhere =
		mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANON, -1, 0);
	int local;

	early_alloc(MIB * 3, 1);
	cr_assert_not(early_owns(NULL));
	cr_assert_not(early_owns(&local));
	cr_assert_not(early_owns(elsewhere));
	cr_assert_not(early_owns((void *)module_less));
}

Test(early, large_ones)
{
	for (size_t size = MIB / 2; size < GIB; size = size * 2 + 1) {
		char *p = early_alloc(size, PAGE);

		cr_assert_not_null(p);
		p[0] = p[size - 1] = 1;
		cr_assert(early_owns(p + size - 1));
		cr_assert_eq(early_size(p), size);
	}
	cr_assert_eq((uintptr_t)early_alloc(1, 16 * MIB) % (16 * MIB), 0);
}

Test(early, what_cannot_be)
{
	fault_set(SYS_mmap, 0, UINT_MAX, 0); /* counts */
	cr_assert_null(early_alloc(SIZE_MAX, 1));
	cr_assert_null(early_alloc(SIZE_MAX - 100, PAGE));
	cr_assert_null(early_alloc(PTRDIFF_MAX, 1));
	cr_assert_eq(fault_count(), 0, "and nothing is mapped for it");
	cr_assert_null(early_alloc((size_t)1 << 47, 1));
	cr_assert_eq(fault_count(), 1);
	fault_none();
	cr_assert_not_null(early_alloc(2 * MIB, 1), "it goes on");
}

/* Threads' last destructors may want any number of blocks over the years. */
Test(early, does_not_run_out_before_memory_does)
{
	for (unsigned i = 0; i < 1024; i++)
		cr_assert_not_null(early_alloc(256 * KIB, 1), "%u", i);
	for (unsigned i = 0; i < 200; i++)
		cr_assert_not_null(early_alloc(3 * MIB, 1), "%u", i);
	cr_assert_not_null(early_alloc(100, 1));
}

Test(early, without_memory)
{
	unsigned n = 0;

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	while (early_alloc(KIB, 1))
		cr_assert_lt(n++, 64u);
	cr_assert_gt(n, 8u, "the first are there without a system call");
	fault_none();
	cr_assert_not_null(early_alloc(KIB, 1));
}

#define CUTS 300000

static pthread_barrier_t barrier;

static void *cut(void *arg)
{
	char mark = (char)(uintptr_t)arg;
	static __thread char *mine[CUTS];

	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < CUTS; i++) {
		mine[i] = early_alloc(16, 1);
		if (!mine[i] || mine[i][0])
			return arg;
		mine[i][0] = mark;
	}
	for (unsigned i = 0; i < CUTS; i++)
		if (mine[i][0] != mark || mine[i][1])
			return arg;
	return NULL;
}

Test(early, at_once)
{
	pthread_t threads[4];

	pthread_barrier_init(&barrier, NULL, 4);
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, cut, (void *)(i + 1));
	for (unsigned i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
}

/* Through the heap -------------------------------------------------------- */

Test(early, serves_the_heap_before_it_starts)
{
	struct unwind_start caller = asker(HERE);
	char *p = heap_alloc(100, HEAP_ALIGN, false, &caller);
	char *aligned = heap_alloc(100, 4 * PAGE, true, &caller);

	cr_assert(early_owns(p) && early_owns(aligned));
	cr_assert(heap_owns(p));
	cr_assert_eq((uintptr_t)aligned % (4 * PAGE), 0);
	cr_assert_eq(heap_usable(p), 100);
	errno = 0;
	cr_assert_null(heap_alloc(SIZE_MAX, HEAP_ALIGN, false, &caller));
	cr_assert_eq(errno, ENOMEM);
	p = heap_realloc(p, 200, &caller);
	cr_assert(early_owns(p));
	heap_free(p);
	heap_free(aligned);
}

Test(early, blocks_move_into_the_heap)
{
	struct unwind_start caller = asker(HERE);
	char *grows = heap_alloc(100, HEAP_ALIGN, false, &caller);
	char *shrinks = heap_alloc(100000, HEAP_ALIGN, false, &caller);
	char *to;

	memset(grows, 'g', 100);
	memset(shrinks, 's', 100000);
	heap_started("naming=registry");
	to = heap_realloc(grows, 10000, &caller);
	cr_assert(!early_owns(to) && arena_at(to));
	cr_assert(all(to, 100, 'g'));
	to = heap_realloc(shrinks, 50, &caller);
	cr_assert(!early_owns(to) && arena_at(to));
	cr_assert(all(to, 50, 's'));
	cr_assert_eq(live_all(), (int64_t)(class_bytes[class_of(10000)] +
					   class_bytes[class_of(50)]));
}

Test(early, freeing_one_does_nothing)
{
	struct unwind_start caller = asker(HERE);
	char *p = heap_alloc(100, HEAP_ALIGN, false, &caller);
	char *q;

	memset(p, 'p', 100);
	heap_started("naming=registry");
	errno = 5;
	heap_free(p);
	cr_assert_eq(errno, 5);
	cr_assert_eq(live_all(), 0);
	cr_assert(all(p, 100, 'p'));
	q = ask(100, HERE);
	cr_assert_not(early_owns(q));
	cr_assert_not(cache_push(p), "it is in no magazine");
}

Test(early, a_realloc_without_memory_keeps_the_block)
{
	struct unwind_start caller = asker(HERE);
	char *p = heap_alloc(100, HEAP_ALIGN, false, &caller);

	memset(p, 'p', 100);
	heap_started("naming=registry");
	errno = 0;
	cr_assert_null(heap_realloc(p, (size_t)1 << 60, &caller));
	cr_assert_eq(errno, ENOMEM);
	cr_assert(all(p, 100, 'p'));
	cr_assert_eq(heap_usable(p), 100);
}
