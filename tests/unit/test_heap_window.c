/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Windows: whose an address is, what is in the way, and their maps.
 */
#include "test_heap_fixture.h"

#include "track/region.h"

#include <pthread.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static struct window one = {.arena = 1};
static struct window two = {.arena = 2};
static struct window tagged = {.arena = 3, .tagged = true};

static void start(void)
{
	shim_start("naming=registry");
	guard_ready = true;
	cr_assert_geq(personality(0), 0); /* a debugger may have it fixed */
	window_init();
}

/* Every window the same as in other runs: blocks begin at once. */
static void start_predictably(void)
{
	shim_start("naming=registry");
	guard_ready = true;
	cr_assert_geq(personality(ADDR_NO_RANDOMIZE), 0);
	window_init();
}

static char *grow(struct window *w, size_t size, size_t alignment)
{
	return window_grow(w, NULL, size, alignment, site_unknown);
}

/* Somebody else's page at AT. */
static char *foreign(uintptr_t at)
{
	char *p = mmap((void *)at, PAGE, PROT_READ | PROT_WRITE,
		       ANON | MAP_FIXED_NOREPLACE, -1, 0);

	cr_assert_eq(p, (char *)at);
	memset(p, 0x5a, PAGE);
	return p;
}

static void assert_untouched(const char *p)
{
	for (size_t i = 0; i < PAGE; i++)
		cr_assert_eq(p[i], 0x5a);
}

Test(window, nothing_is_in_one_before_there_is_one)
{
	int local;

	cr_assert_geq(window_of(NULL), (size_t)WINDOWS);
	cr_assert_geq(window_of(&local), (size_t)WINDOWS);
	cr_assert_geq(window_of((void *)start), (size_t)WINDOWS);
	for (unsigned bit = 4; bit < 47; bit++)
		cr_assert_geq(window_of((void *)(UINT64_C(1) << bit)),
			      (size_t)WINDOWS);
}

/* What another process finds; its first block is BLOCK. */
static uintptr_t of_a_child(bool block)
{
	uintptr_t found = 0;
	int fds[2];

	cr_assert_eq(pipe(fds), 0);
	if (!fork()) {
		window_init();
		found = block ? (uintptr_t)grow(&one, PAGE, PAGE) : window_base;
		_exit(write(fds[1], &found, sizeof(found)) != sizeof(found));
	}
	cr_assert_eq(read(fds[0], &found, sizeof(found)), sizeof(found));
	close(fds[0]);
	close(fds[1]);
	wait(NULL);
	return found;
}

static uintptr_t base_of_a_child(void)
{
	uintptr_t base = of_a_child(false);

	cr_assert_eq(base % WINDOW_BYTES, 0);
	/* CLISP's heap is below, wherever it ends */
	cr_assert_geq(base, UINT64_C(32) << 40);
	cr_assert_lt(base + WINDOWS * WINDOW_BYTES, UINT64_C(0x550000000000));
	return base;
}

static uintptr_t offset_of_a_child(void)
{
	return of_a_child(true) % WINDOW_BYTES;
}

static unsigned different(uintptr_t (*of)(void), unsigned n)
{
	uintptr_t seen[64];
	unsigned found = 0;

	for (unsigned i = 0; i < n; i++) {
		uintptr_t one_more = of();
		unsigned k = 0;

		while (k < found && seen[k] != one_more)
			k++;
		if (k == found)
			seen[found++] = one_more;
	}
	return found;
}

/* 64 of almost 600: less than 40 different ones are never seen. */
Test(window, the_base_is_drawn_anew, .init = start)
{
	cr_assert_gt(different(base_of_a_child, 64), 40);
}

Test(window, the_base_is_drawn_without_random_bytes_too, .init = start)
{
	fault_set(SYS_getrandom, -ENOSYS, 0, -1);
	cr_assert_gt(different(base_of_a_child, 16), 1);
}

/* 64 of 2^21: two pairs of the same are seen once in 10^6 times. */
Test(window, where_blocks_begin_is_drawn_anew, .init = start)
{
	cr_assert_geq(different(offset_of_a_child, 64), 63);
}

Test(window, where_blocks_begin_differs_by_window, .init = start)
{
	char *p = grow(&one, PAGE, PAGE);
	char *q = grow(&two, PAGE, PAGE);
	char *r = grow(&tagged, PAGE, PAGE);

	cr_assert((uintptr_t)p % WINDOW_BYTES != (uintptr_t)q % WINDOW_BYTES ||
		  (uintptr_t)q % WINDOW_BYTES != (uintptr_t)r % WINDOW_BYTES);
}

Test(window, nothing_is_drawn_where_addresses_are_not, .init = start)
{
	cr_assert_geq(personality(ADDR_NO_RANDOMIZE), 0);
	cr_assert_eq(different(base_of_a_child, 8), 1);
	cr_assert_eq(different(offset_of_a_child, 8), 1);
}

Test(window, owner_is_in_the_address, .init = start)
{
	for (unsigned i = 0; i < 20; i++) {
		struct window *w = i % 2 ? &one : &two;
		char *p = grow(w, 16 * PAGE, PAGE);

		cr_assert_not_null(p);
		memset(p, 1, 16 * PAGE);
		cr_assert_eq(window_arena(window_of(p)), w->arena);
		cr_assert_eq(window_arena(window_of(p + 16 * PAGE - 1)),
			     w->arena);
	}
	cr_assert_geq(window_of((char *)window_base - 1), (size_t)WINDOWS);
	cr_assert_eq(window_of((char *)window_base), 0);
	cr_assert_eq(window_of((char *)window_base + WINDOWS * WINDOW_BYTES),
		     WINDOWS);
	cr_assert_eq(window_arena(WINDOWS - 1), 0, "nobody's");
}

Test(window, memory_is_zero_and_aligned, .init = start)
{
	for (size_t alignment = PAGE; alignment <= GIB; alignment *= 2) {
		char *p = grow(&one, 4 * PAGE, alignment);

		cr_assert_not_null(p);
		cr_assert_eq((uintptr_t)p % alignment, 0);
		for (size_t i = 0; i < 4 * PAGE; i++)
			cr_assert_eq(p[i], 0);
		memset(p, 1, 4 * PAGE);
	}
}

Test(window, grows_upwards_without_gaps, .init = start)
{
	char *p = grow(&one, MIB, PAGE);
	char *next = p + MIB;

	cr_assert_eq(window_grow(&one, next, PAGE, PAGE, 0), next);
	cr_assert_eq(grow(&one, MIB, PAGE), next + PAGE);
}

Test(window, there_or_nowhere, .init = start)
{
	char *p = grow(&one, MIB, PAGE);

	cr_assert_null(window_grow(&one, p, PAGE, PAGE, 0), "is taken");
	cr_assert_null(window_grow(&one, p + 2 * MIB, PAGE, PAGE, 0));
	foreign((uintptr_t)p + MIB);
	cr_assert_null(window_grow(&one, p + MIB, PAGE, PAGE, 0));
	cr_assert_eq(window_of(grow(&two, PAGE, PAGE)), window_of(p) + 1,
		     "no window is given up for it");
}

/* A byte a page, of this page alone. */
Test(window, each_page_has_a_class, .init = start)
{
	size_t pages = 64 * MIB / PAGE;
	char *p = grow(&one, 64 * MIB, PAGE);

	for (size_t i = 0; i < pages; i++)
		cr_assert_eq(*window_class(p + i * PAGE), 0);
	for (size_t i = 0; i < pages; i++)
		*window_class(p + i * PAGE) = (uint8_t)(i % 251 + 1);
	for (size_t i = 0; i < pages; i++) {
		cr_assert_eq(*window_class(p + i * PAGE), i % 251 + 1);
		cr_assert_eq(*window_class(p + i * PAGE + PAGE - 1),
			     i % 251 + 1);
	}
	cr_assert_eq(resident(p, 64 * MIB), 0, "maps lie in the blocks");
}

/* Two bytes for every sixteen, of these alone. */
Test(window, each_block_has_a_tag, .init = start)
{
	char *p = grow(&tagged, 4 * MIB, PAGE);
	size_t n = 4 * MIB / 16;

	for (size_t i = 0; i < n; i++)
		*window_tag(p + i * 16) = (uint16_t)(i * 7);
	for (size_t i = 0; i < n; i++)
		cr_assert_eq(*window_tag(p + i * 16), (uint16_t)(i * 7));
	for (size_t i = 0; i < 4 * MIB / PAGE; i++)
		cr_assert_eq(*window_class(p + i * PAGE), 0);
	cr_assert_eq(resident(p, 4 * MIB), 0, "tags lie in the blocks");
}

Test(window, what_is_in_the_way_is_left_and_gone_around, .init = start)
{
	char *p = grow(&one, MIB, PAGE);
	char *theirs = foreign((uintptr_t)p + MIB + 4 * PAGE);
	char *q = grow(&one, MIB, PAGE);

	cr_assert_not_null(q);
	cr_assert_neq(window_of(q), window_of(p));
	cr_assert_eq(window_arena(window_of(q)), 1);
	cr_assert_eq(window_arena(window_of(p)), 1);
	memset(q, 1, MIB);
	assert_untouched(theirs);
}

Test(window, so_it_is_where_a_map_would_lie, .init = start_predictably)
{
	char *blocks = (char *)window_base + WINDOW_CLASSES_BYTES;
	char *classes = foreign((uintptr_t)window_class(blocks));
	char *tags = foreign((uintptr_t)window_tag(blocks + WINDOW_BYTES));
	char *p = grow(&tagged, MIB, PAGE);

	cr_assert_not_null(p);
	cr_assert_eq(window_of(p), 2);
	memset(p, 1, MIB);
	*window_class(p + MIB - 1) = 1;
	*window_tag(p + MIB - 16) = 1;
	assert_untouched(classes);
	assert_untouched(tags);
}

/* So much that a machine which runs tests has it. */
#define PIECE (GIB / 2)

/* Grow ONE by pieces as long as they are of window NUMBER; returns another. */
static char *fill(size_t number, unsigned *n)
{
	char *p;

	for (*n = 0; (p = grow(&one, PIECE, PAGE)) && window_of(p) == number;
	     ++*n)
		cr_assert_leq((uintptr_t)(p + PIECE) % WINDOW_BYTES,
			      WINDOW_TAGS_AT);
	return p;
}

Test(window, a_full_one_is_followed_by_another, .init = start)
{
	unsigned n;
	char *p = fill(0, &n);

	cr_assert_geq(n, (WINDOW_TAGS_AT - 8 * GIB) / PIECE - 1);
	cr_assert_not_null(p);
	cr_assert_eq(window_of(p), 1);
	cr_assert_eq(window_arena(1), 1);
	p[0] = p[PIECE - 1] = 1;
	*window_class(p + PIECE - 1) = 1;
}

/* What no window has room for opens none. */
Test(window, too_large_for_any, .init = start)
{
	char *p = grow(&one, PAGE, PAGE);

	for (unsigned i = 0; i < 2; i++) {
		cr_assert_null(grow(&one, WINDOW_BYTES, PAGE));
		cr_assert_null(grow(&one, WINDOW_TAGS_AT, PAGE));
		cr_assert_null(grow(&one, SIZE_MAX - PAGE + 1, PAGE));
		cr_assert_null(grow(&one, PAGE, WINDOW_BYTES));
		cr_assert_null(grow(&one, PAGE, WINDOW_BYTES * 2));
		cr_assert_null(grow(&one, PAGE, (size_t)1 << 63));
		cr_assert_null(grow(&two, PAGE, WINDOW_BYTES));
	}
	cr_assert_eq(grow(&one, PAGE, PAGE), p + PAGE, "it goes on");
	cr_assert_eq(window_of(grow(&two, PAGE, PAGE)), window_of(p) + 1);
}

Test(window, the_largest_alignment, .init = start)
{
	char *p = grow(&one, PAGE, WINDOW_BLOCK_MAX);
	char *q = grow(&one, PAGE, WINDOW_BLOCK_MAX);

	cr_assert(p && q, "one a window");
	cr_assert_eq((uintptr_t)p % WINDOW_BLOCK_MAX, 0);
	cr_assert_eq(window_of(q), window_of(p) + 1);
}

static bool kernel_trusts(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && !munmap(p, size);
}

/* As libc's malloc has it: an absurd size is refused. */
Test(window, what_the_kernel_does_not_trust_is_refused, .init = start)
{
	char *p = grow(&one, PAGE, PAGE);
	struct sysinfo info;
	size_t all;

	cr_assert_eq(sysinfo(&info), 0);
	all = (info.totalram + info.totalswap) * info.mem_unit + GIB;
	all &= ~(GIB - 1);
	if (all > WINDOW_BLOCK_MAX || kernel_trusts(all))
		cr_skip_test("it trusts us with what a window takes");
	for (unsigned i = 0; i < WINDOWS * 2; i++)
		cr_assert_null(grow(&one, all, PAGE));
	cr_assert_eq(grow(&one, PAGE, PAGE), p + PAGE);
}

Test(window, there_are_so_many, .init = start_predictably)
{
	unsigned n;

	for (size_t i = 1; i < WINDOWS; i++)
		foreign(window_base + i * WINDOW_BYTES + PAGE);
	cr_assert_null(fill(0, &n));
	cr_assert_eq(n, (WINDOW_TAGS_AT - WINDOW_CLASSES_BYTES) / PIECE);
	cr_assert_null(grow(&two, PAGE, PAGE));
}

/* The region map knows whose each page is; maps are the shim's own. */
Test(window, is_recorded, .init = start)
{
	uint32_t site = site_brk; /* some */
	char *p = window_grow(&one, NULL, MIB, PAGE, site);

	guard_enter();
	region_lock_take();
	cr_assert_eq(region_at((uintptr_t)p)->site, site);
	cr_assert_geq(region_at((uintptr_t)p)->end, (uintptr_t)p + MIB);
	cr_assert(region_at((uintptr_t)window_class(p))->flags & REGION_OWN);
	region_lock_drop();
	guard_leave();
	cr_assert_eq(anonshim_registry->flags & REGISTRY_INEXACT, 0);
}

Test(window, no_memory_costs_no_window, .init = start)
{
	char *p = grow(&one, MIB, PAGE);

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	for (unsigned i = 0; i < WINDOWS * 2; i++)
		cr_assert_null(grow(&one, MIB, PAGE));
	fault_none();
	cr_assert_eq(grow(&one, MIB, PAGE), p + MIB);
}

/* Old kernels take MAP_FIXED_NOREPLACE for a hint, and map elsewhere. */
Test(window, a_kernel_that_maps_elsewhere, .init = start)
{
	char *elsewhere = mmap(NULL, MIB, PROT_READ | PROT_WRITE, ANON, -1, 0);

	fault_set(SYS_mmap, (long)elsewhere, 0, 1);
	cr_assert_not_null(grow(&one, MIB, PAGE));
	fault_none();
	cr_assert_neq(mincore(elsewhere, PAGE, (unsigned char[1]){0}), 0,
		      "what it mapped is unmapped");
	cr_assert_eq(errno, ENOMEM);
}

/* Space that is given up --------------------------------------------------- */

/* Counts address space, and takes none away. */
static void limit(int what)
{
	struct rlimit to = {.rlim_cur = (rlim_t)1 << 46,
			    .rlim_max = to.rlim_cur};

	cr_assert_eq(setrlimit(what, &to), 0);
}

static bool mapped(char *p)
{
	return !mincore(p, PAGE, (unsigned char[1]){0});
}

static bool is_known(char *p)
{
	bool known;

	guard_enter();
	region_lock_take();
	known = region_at((uintptr_t)p) != NULL;
	region_lock_drop();
	guard_leave();
	return known;
}

static void leaves_and_returns(void)
{
	char *p = grow(&one, 8 * MIB, PAGE);

	memset(p, 1, 8 * MIB);
	cr_assert(window_leave(&one, p + 2 * MIB, 4 * MIB));
	cr_assert(mapped(p + 2 * MIB - PAGE) && mapped(p + 6 * MIB));
	cr_assert_not(mapped(p + 2 * MIB) || mapped(p + 6 * MIB - PAGE));
	cr_assert(is_known(p) && is_known(p + 6 * MIB));
	cr_assert_not(is_known(p + 2 * MIB) || is_known(p + 6 * MIB - PAGE));
	cr_assert_eq(one.mapped, 4 * MIB);
	cr_assert_eq(grow(&one, PAGE, PAGE), p + 8 * MIB);

	cr_assert(window_return(&one, p + 3 * MIB, MIB, site_brk));
	for (size_t i = 0; i < MIB; i++)
		cr_assert_eq(p[3 * MIB + i], 0);
	memset(p + 3 * MIB, 1, MIB);
	cr_assert(is_known(p + 3 * MIB));
	cr_assert_not(mapped(p + 3 * MIB - PAGE) || mapped(p + 4 * MIB));
	cr_assert_eq(one.mapped, 5 * MIB + PAGE);
	cr_assert_eq(anonshim_registry->flags & REGISTRY_INEXACT, 0);
}

Test(window, leaves_address_space_that_is_limited, .init = start)
{
	limit(RLIMIT_AS);
	leaves_and_returns();
}

Test(window, leaves_data_that_is_limited, .init = start)
{
	limit(RLIMIT_DATA);
	leaves_and_returns();
}

Test(window, leaves_nothing_that_is_not_limited, .init = start)
{
	char *p = grow(&one, 8 * MIB, PAGE);

	limit(RLIMIT_STACK);
	cr_assert_not(window_counts());
	cr_assert_not(window_leave(&one, p, 8 * MIB));
	cr_assert(mapped(p));
	limit(RLIMIT_AS);
	cr_assert(window_counts());
	cr_assert_not(window_leave(&one, p, MIB - PAGE), "nor what is little");
	cr_assert(mapped(p));
}

/* A filter of the program's may kill for asking. */
Test(window, leaves_nothing_when_confined, .init = start)
{
	char *p = grow(&one, 8 * MIB, PAGE);
	unsigned before;

	limit(RLIMIT_AS);
	guard_ready = false;
	fault_set(SYS_prlimit64, -EPERM, 0, -1);
	before = fault_count();
	cr_assert_not(window_counts());
	cr_assert_not(window_leave(&one, p, 8 * MIB));
	cr_assert_eq(fault_count(), before, "it asked");
	cr_assert(mapped(p));
}

Test(window, holes_are_few, .init = start)
{
	char *p = grow(&one, GIB, PAGE);
	unsigned left = 0;

	limit(RLIMIT_AS);
	for (size_t at = 0; at < GIB; at += 2 * MIB)
		left += window_leave(&one, p + at, MIB);
	cr_assert_eq(left, 0);
	for (size_t at = 0; at < GIB; at += 8 * MIB)
		left += window_leave(&one, p + at, 4 * MIB);
	cr_assert_eq(left, GIB / (8 * MIB));
}

Test(window, what_is_in_the_way_stays_when_it_returns, .init = start)
{
	char *p = grow(&one, 8 * MIB, PAGE);
	char *theirs;

	limit(RLIMIT_AS);
	cr_assert(window_leave(&one, p, 4 * MIB));
	theirs = foreign((uintptr_t)p + MIB);
	cr_assert_not(window_return(&one, p, 4 * MIB, site_brk));
	cr_assert(window_return(&one, p, MIB, site_brk));
	assert_untouched(theirs);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert_not(window_return(&one, p + 2 * MIB, MIB, site_brk));
}

#define THREADS 4
#define EACH 2000

static pthread_barrier_t barrier;

/* As jemalloc does, which asks for one arena in many threads. */
static void *grow_much(void *arg)
{
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < EACH; i++) {
		struct window *w = i % 4 ? &one : &two;
		char *p = grow(w, (1 + i % 5) * PAGE, PAGE);

		if (!p || window_arena(window_of(p)) != w->arena || p[0] ||
		    window_of(p) > 1)
			return arg;
		p[0] = 1;
		*window_class(p) = w->arena;
	}
	return NULL;
}

static void grow_at_once(void)
{
	pthread_t threads[THREADS];

	pthread_barrier_init(&barrier, NULL, THREADS);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, grow_much, (void *)(i + 1));
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
}

Test(window, at_once, .init = start)
{
	grow_at_once();
}

/* Where recording has ended the region map's lock keeps nobody apart. */
Test(window, at_once_unrecorded, .init = start)
{
	guard_ready = false;
	grow_at_once();
}
