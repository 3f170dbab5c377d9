/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arenas: batches, large blocks, pages that go back, fork.
 */
#include "test_heap_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define BATCH 64

static struct arena *a;

static void start(void)
{
	heap_started("naming=registry");
	a = arena_for("a");
	cr_assert_not_null(a);
}

TestSuite(arena, .init = start, .timeout = 60);

/* A stamp of its own in the first and the last bytes of each block. */
static void stamp(void **items, unsigned n, size_t bytes, unsigned char seed)
{
	for (unsigned i = 0; i < n; i++) {
		memset(items[i], seed + (int)i, 16);
		memset((char *)items[i] + bytes - 8, seed + (int)i, 8);
	}
}

static bool stamped(void **items, unsigned n, size_t bytes, unsigned char seed)
{
	for (unsigned i = 0; i < n; i++) {
		unsigned char *p = items[i];

		if (p[0] != (unsigned char)(seed + i) || p[15] != p[0] ||
		    p[bytes - 8] != p[0] || p[bytes - 1] != p[0])
			return false;
	}
	return true;
}

Test(arena, batches_of_each_class)
{
	static void *items[HEAP_CLASSES][BATCH];
	int64_t before = arena_total;
	int64_t bytes = 0;

	for (unsigned class = 1; class_bytes[class]; class ++) {
		cr_assert_eq(arena_take(a, class, items[class], BATCH), BATCH);
		bytes += (int64_t)BATCH * class_bytes[class];
		cr_assert_eq(arena_total - before, bytes);
		for (unsigned i = 0; i < BATCH; i++) {
			void *p = items[class][i];

			cr_assert_eq((uintptr_t)p % HEAP_ALIGN, 0);
			cr_assert_eq(arena_at(p), a);
			cr_assert_eq(*window_class(p), class);
		}
		stamp(items[class], BATCH, class_bytes[class],
		      (unsigned char)class);
	}
	for (unsigned class = 1; class_bytes[class]; class ++)
		cr_assert(stamped(items[class], BATCH, class_bytes[class],
				  (unsigned char)class),
			  "blocks overlap");
	for (unsigned class = 1; class_bytes[class]; class ++)
		arena_give(a, class, items[class], BATCH);
	cr_assert_eq(arena_total, before);
}

Test(arena, what_is_given_back_is_taken_again)
{
	void *items[BATCH];
	uintptr_t top = 0;

	for (unsigned turn = 0; turn < 1000; turn++) {
		unsigned class = 1 + turn % 30;

		cr_assert_eq(arena_take(a, class, items, BATCH), BATCH);
		memset(items[0], 1, class_bytes[class]);
		arena_give(a, class, items, BATCH);
		if (turn == 100)
			top = a->window.top;
	}
	cr_assert_eq(a->window.top, top, "1000 batches of 64 grew it");
}

Test(arena, memory_is_its_own)
{
	struct arena *b = arena_for("b");
	void *of_a[BATCH], *of_b[BATCH];

	for (unsigned class = 1; class_bytes[class]; class ++) {
		cr_assert_eq(arena_take(a, class, of_a, BATCH), BATCH);
		arena_give(a, class, of_a, BATCH);
		cr_assert_eq(arena_take(b, class, of_b, BATCH), BATCH);
		for (unsigned i = 0; i < BATCH; i++)
			cr_assert_eq(arena_at(of_b[i]), b,
				     "another's memory is handed out");
		arena_give(b, class, of_b, BATCH);
	}
}

Test(arena, is_recorded_and_there_are_enough)
{
	struct arena *last = a;
	struct arena *next;
	unsigned n = a->id;

	cr_assert_str_eq(owner_of(a), "test");
	cr_assert_eq(arena_shared->id, ARENA_SHARED_ID);
	cr_assert_eq(arena_shared->record->flags, ARENA_SHARED);
	while ((next = arena_for("more"))) {
		cr_assert_eq(next->id, last->id + 1);
		cr_assert_eq(arenas[next->id], next);
		last = next;
		n++;
	}
	cr_assert_eq(n, ARENAS_MAX - 1);
	cr_assert_not_null(arena_take_large(last, MIB, 1, false, false));
}

/* jemalloc's own records cannot be reached out of a block. */
Test(arena, nothing_but_blocks_is_in_its_windows)
{
	struct arena *b = arena_for("b");
	void *block;

	cr_assert_eq(b->window.mapped, 0);
	cr_assert_eq(arena_take(b, 1, &block, 1), 1);
	cr_assert_eq(arena_at(block), b);
	cr_assert_eq((uintptr_t)block & ~(PAGE - 1),
		     b->window.top - b->window.mapped);
}

/* Large blocks ------------------------------------------------------------ */

Test(arena, large_blocks)
{
	int64_t before = arena_total;

	for (size_t size = CLASS_MAX_BYTES + 1; size <= 64 * MIB;
	     size = size * 2 + 13) {
		char *p = arena_take_large(a, size, 1, false, false);

		cr_assert_not_null(p);
		cr_assert_eq(arena_at(p), a);
		cr_assert_eq(*window_class(p), 0);
		cr_assert_geq(arena_total - before, (int64_t)size);
		cr_assert_eq(a->record->direct, arena_total - before);
		p[0] = p[size - 1] = 1;
		cr_assert_geq(arena_give_large(a, p), size);
		cr_assert_eq(arena_total, before);
	}
}

Test(arena, large_blocks_are_zero_if_asked)
{
	for (unsigned turn = 0; turn < 8; turn++) {
		char *p = arena_take_large(a, MIB, 1, true, false);

		for (size_t i = 0; i < MIB; i++)
			cr_assert_eq(p[i], 0);
		memset(p, 0xff, MIB);
		arena_give_large(a, p);
	}
}

static void take_aligned(size_t size, size_t alignment)
{
	char *p = arena_take_large(a, size, alignment, false, false);
	unsigned class;
	void *block = p;

	cr_assert_not_null(p, "%zu at %zu", size, alignment);
	cr_assert_eq((uintptr_t)p % alignment, 0);
	cr_assert_eq(arena_at(p), a);
	memset(p, 1, size);
	class = *window_class(p);
	cr_assert(!class || class_bytes[class] >= size);
	if (class)
		arena_give(a, class, &block, 1);
	else
		cr_assert_geq(arena_give_large(a, p), size);
}

Test(arena, alignments_up_to_a_gigabyte)
{
	for (size_t alignment = 16; alignment <= GIB; alignment *= 2) {
		take_aligned(1, alignment);
		take_aligned(5000, alignment);
		take_aligned(100000, alignment);
	}
}

Test(arena, what_cannot_be)
{
	int64_t before = arena_total;

	cr_assert_null(arena_take_large(a, PTRDIFF_MAX, 1, false, false));
	cr_assert_null(arena_take_large(a, SIZE_MAX, 1, false, false));
	cr_assert_null(arena_take_large(a, WINDOW_BYTES, 1, false, false));
	cr_assert_null(arena_take_large(a, 16, (size_t)1 << 62, false, false));
	cr_assert_eq(arena_total, before);
	cr_assert_not_null(arena_take_large(a, MIB, 1, false, false));
}

Test(arena, is_resized_in_place_or_left)
{
	int64_t before = arena_total;
	char *p = arena_take_large(a, 8 * MIB, 1, false, false);
	size_t bytes;

	memset(p, 7, MIB);
	bytes = arena_resize_large(a, p, MIB);
	cr_assert(bytes >= MIB && bytes < 2 * MIB);
	cr_assert_eq(arena_total - before, (int64_t)bytes);
	bytes = arena_resize_large(a, p, 4 * MIB);
	cr_assert_geq(bytes, 4 * MIB, "what is behind it was its own");
	cr_assert_eq(arena_total - before, (int64_t)bytes);
	for (size_t i = 0; i < MIB; i++)
		cr_assert_eq(p[i], 7);
	memset(p, 8, bytes);
	cr_assert_eq(arena_resize_large(a, p, 8 * GIB), bytes, "is left");
	cr_assert_eq(arena_give_large(a, p), bytes);
	cr_assert_eq(arena_total, before);
}

/* Giving back ------------------------------------------------------------- */

#define MUCH (64 * MIB)

/* Pages of A's blocks that are there. */
static size_t pages_there(void)
{
	uintptr_t from = a->window.start + WINDOW_CLASSES_BYTES;

	return resident((void *)from, a->window.top - from);
}

static void use_and_give_back(void)
{
	unsigned class = class_of(KIB);
	size_t n = MUCH / KIB;
	void **items = mmap(NULL, n * sizeof(*items), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(arena_take(a, class, items, (unsigned)n), n);
	for (size_t i = 0; i < n; i++)
		memset(items[i], 1, KIB);
	cr_assert_geq(pages_there(), MUCH / PAGE);
	arena_give(a, class, items, (unsigned)n);
}

Test(arena, all_free_pages_go_back)
{
	char *large = arena_take_large(a, MIB, 1, false, false);

	memset(large, 1, MIB);
	use_and_give_back();
	arena_decay(a, true);
	cr_assert_lt(pages_there(), MUCH / PAGE / 16);
	cr_assert_geq(pages_there(), MIB / PAGE, "but those in use");
	for (size_t i = 0; i < MIB; i++)
		cr_assert_eq(large[i], 1);
}

static void decay_after(ssize_t ms)
{
	char name[64];

	snprintf(name, sizeof(name), "arena.%u.dirty_decay_ms", a->je);
	cr_assert_eq(ahj_mallctl(name, NULL, NULL, &ms, sizeof(ms)), 0);
	snprintf(name, sizeof(name), "arena.%u.muzzy_decay_ms", a->je);
	cr_assert_eq(ahj_mallctl(name, NULL, NULL, &ms, sizeof(ms)), 0);
}

Test(arena, free_pages_go_back_as_time_tells)
{
	size_t before;

	decay_after(300);
	use_and_give_back();
	before = pages_there();
	cr_assert_gt(before, MUCH / PAGE / 2, "not at once");
	for (int i = 0; i < 20 && pages_there() >= before / 8; i++) {
		usleep(50000);
		arena_decay(a, false);
	}
	cr_assert_lt(pages_there(), before / 8);
}

#define ROOM (GIB)
#define LARGE (600 * MIB)

static size_t now_mapped(void)
{
	char line[64] = "";
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	cr_assert_gt(read(fd, line, sizeof(line) - 1), 0);
	close(fd);
	return strtoul(line, NULL, 10) * PAGE;
}

static bool can_map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && !munmap(p, size);
}

/* What is free is there for others; what they give back, for the arena. */
Test(arena, address_space_goes_back_where_it_is_limited)
{
	struct rlimit to = {now_mapped() + ROOM, now_mapped() + ROOM};

	cr_assert_eq(setrlimit(RLIMIT_AS, &to), 0);
	for (unsigned turn = 0; turn < 3; turn++) {
		char *p = arena_take_large(a, LARGE, 1, false, false);

		cr_assert_not_null(p);
		p[0] = p[LARGE - 1] = 1;
		cr_assert_not(can_map(LARGE));
		arena_give_large(a, p);
		arena_decay(a, true);
		cr_assert(can_map(LARGE));
	}
}

static unsigned fill_up(size_t size, void **items, unsigned most)
{
	unsigned n = 0;

	while (n < most &&
	       (items[n] = arena_take_large(a, size, 1, false, false)))
		memset(items[n++], 1, PAGE);
	return n;
}

/* Unmapped, mapped again in other pieces, to the last. */
Test(arena, all_the_space_is_had_again)
{
	static void *items[20000];
	struct rlimit to = {now_mapped() + ROOM / 4, now_mapped() + ROOM / 4};
	unsigned n;

	cr_assert_eq(setrlimit(RLIMIT_AS, &to), 0);
	for (unsigned turn = 0; turn < 6; turn++) {
		size_t size = turn % 2 ? 100 * KIB : 3 * MIB;

		n = fill_up(size, items, 20000);
		cr_assert_geq(n * size, ROOM / 4 / 10 * 7, "%u of %zu", n,
			      size);
		while (n)
			arena_give_large(a, items[--n]);
		arena_decay(a, true);
		cr_assert(can_map(ROOM / 4 / 10 * 8));
	}
}

/* At once, and fork ------------------------------------------------------- */

#define THREADS 4
#define TURNS 20000

static bool stop;

/* Takes, stamps, looks again, gives: 0 where nobody else was in the blocks. */
static void *take_and_give(void *arg)
{
	unsigned char seed = (unsigned char)((uintptr_t)arg * 61);
	uint64_t state = (uintptr_t)arg;
	void *items[BATCH];

	for (unsigned i = 0;
	     i < TURNS && !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		unsigned class = 1 + (unsigned)(draw(&state) % 3);
		unsigned n = 1 + (unsigned)(draw(&state) % BATCH);

		n = arena_take(a, class, items, n);
		stamp(items, n, class_bytes[class], seed);
		if (!n || !stamped(items, n, class_bytes[class], seed))
			return arg;
		arena_give(a, class, items, n);
	}
	return NULL;
}

static void threads_start(pthread_t *threads)
{
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, take_and_give,
			       (void *)(i + 1));
}

static void threads_join(pthread_t *threads)
{
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong, "a block was two threads'");
	}
}

Test(arena, at_once)
{
	int64_t before = arena_total;
	pthread_t threads[THREADS];

	threads_start(threads);
	threads_join(threads);
	cr_assert_eq(arena_total, before);
}

/* Who cannot have the cache that is held goes without, and never waits. */
Test(arena, is_never_waited_for)
{
	int64_t before = arena_total;
	pthread_t threads[THREADS];

	arenas_hold();
	alarm(20);
	threads_start(threads);
	threads_join(threads);
	alarm(0);
	arenas_release();
	cr_assert_eq(arena_total, before);
}

/* 0, or what is wrong. */
static int works(void)
{
	void *items[BATCH];

	for (unsigned class = 1; class_bytes[class]; class ++) {
		if (arena_take(a, class, items, BATCH) != BATCH)
			return 1;
		stamp(items, BATCH, class_bytes[class], 3);
		if (!stamped(items, BATCH, class_bytes[class], 3))
			return 2;
		arena_give(a, class, items, BATCH);
	}
	arena_decay(a, true);
	/* let go, or a child would never use the cache again */
	return __atomic_load_n(&a->filling, __ATOMIC_RELAXED) ? 3 : 0;
}

/* With the cache held no thread is half way through it when fork comes. */
Test(arena, survives_fork)
{
	pthread_t threads[THREADS];
	int status;

	threads_start(threads);
	for (unsigned i = 0; i < 40; i++) {
		pid_t pid;

		arenas_hold();
		jemalloc_fork_prepare();
		pid = fork();
		if (!pid) {
			jemalloc_fork_child();
			arenas_release();
			alarm(20);
			_exit(works());
		}
		jemalloc_fork_parent();
		arenas_release();
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert_eq(status, 0, "child %u: %x", i, (unsigned)status);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	threads_join(threads);
	cr_assert_eq(works(), 0);
}
