/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What threads keep: magazines, and what becomes of them.
 */
#include "test_heap_fixture.h"

#include "heap/early.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

static struct arena *a;
static struct place *place;

static void start(void)
{
	heap_started("naming=registry");
	a = arena_for("a");
	place = caller_find((uintptr_t)start + 1)->place;
}

TestSuite(cache, .init = start, .timeout = 120);

static void *take(unsigned class)
{
	return cache_take(thread_heap_get(), a, class, place);
}

static void give(unsigned class, void *p)
{
	cache_give(thread_heap_get(), a, class, p);
}

/* Bytes of A that the program and the threads have. */
static int64_t out_of_a(void)
{
	return arena_total;
}

static void *in_thread(void *(*f)(void *), void *arg)
{
	pthread_t thread;
	void *result;

	cr_assert_eq(pthread_create(&thread, NULL, f, arg), 0);
	pthread_join(thread, &result);
	return result;
}

/* Magazines --------------------------------------------------------------- */

#define MANY 4096

Test(cache, blocks_of_each_class_are_apart)
{
	static void *had[MANY];
	unsigned n = 0;

	for (unsigned class = 1; class_bytes[class]; class ++)
		for (unsigned i = 0; i < 100; i++) {
			had[n] = take(class);
			cr_assert_not_null(had[n]);
			cr_assert_eq(*window_class(had[n]), class);
			memset(had[n], (int)n, class_bytes[class]);
			n++;
		}
	for (unsigned i = 0; i < n; i++) {
		unsigned char *p = had[i];
		unsigned class = *window_class(p);

		cr_assert_eq(p[0], (unsigned char)i);
		cr_assert_eq(p[class_bytes[class] - 1], (unsigned char)i);
		give(class, p);
	}
	cr_assert_eq(live_of(a), 0);
}

Test(cache, the_last_given_is_the_first_taken)
{
	void *p = take(5);

	for (unsigned i = 0; i < 100; i++) {
		give(5, p);
		cr_assert_eq(take(5), p);
	}
}

/* Batches: an arena is asked far less often than a thread is. */
Test(cache, takes_and_gives_in_batches)
{
	static void *had[MANY];
	unsigned asked = 0;
	unsigned told = 0;

	for (unsigned i = 0; i < MANY; i++) {
		int64_t before = out_of_a();

		had[i] = take(4);
		asked += out_of_a() != before;
	}
	for (unsigned i = 0; i < MANY; i++) {
		int64_t before = out_of_a();

		give(4, had[i]);
		told += out_of_a() != before;
	}
	cr_assert_lt(asked, MANY / 16);
	cr_assert_lt(told, MANY / 16);
	cr_assert_eq(live_of(a), 0);
}

/* A thread that gives back all it had keeps little of it. */
Test(cache, keeps_no_more_than_so_many)
{
	for (unsigned class = 1; class_bytes[class]; class ++) {
		static void *had[MANY];
		int64_t before = out_of_a();
		int64_t kept;

		for (unsigned i = 0; i < MANY; i++)
			had[i] = take(class);
		for (unsigned i = 0; i < MANY; i++)
			give(class, had[i]);
		kept = out_of_a() - before;
		cr_assert_leq(kept, 512 * (int64_t)KIB, "%u keeps %ld bytes",
			      class_bytes[class], kept);
	}
}

Test(cache, trimmed_it_keeps_nothing)
{
	static void *had[MANY];

	for (unsigned i = 0; i < MANY; i++)
		had[i] = take(1 + i % 20);
	for (unsigned i = 0; i < MANY; i++)
		give(1 + i % 20, had[i]);
	cr_assert_gt(out_of_a(), 0);
	caches_trim();
	cr_assert_eq(out_of_a(), 0);
	cr_assert_not_null(take(1), "and goes on");
}

/* As malloc and free do, inline. */
Test(cache, push_and_pop)
{
	uintptr_t pc = module_load(1);
	void *p;

	while (arena_at(p = ask(KIB, pc)) == arena_shared)
		;
	p = ask(100, pc);
	cr_assert_neq(arena_at(p), arena_shared);
	heap_free(p);
	cr_assert_eq(cache_pop(100, pc), p);
	cr_assert(cache_push(p));
	cr_assert_eq(cache_pop(112, pc), p, "of one class");
	cr_assert(cache_push(p));
	cr_assert_null(cache_pop(100, pc + 1), "of another caller");
	cr_assert_null(cache_pop(CLASS_MAX_BYTES + 1, pc));
	cr_assert_neq(cache_pop(200, pc), p, "of another class");
}

Test(cache, nothing_else_is_pushed)
{
	int local;

	heap_free(ask(100, (uintptr_t)start + 1));
	cr_assert_not(cache_push(NULL));
	cr_assert_not(cache_push(&local));
	cr_assert_not(cache_push((void *)start));
	cr_assert_not(cache_push(arena_take_large(a, MIB, 1, false, false)));
	cr_assert_not(cache_push(ask(100, (uintptr_t)start + 1)),
		      "the shared arena's are counted");
}

/* Callers that meet in a slot have blocks of their own owners still. */
Test(cache, slots_in_conflict)
{
	uintptr_t one = module_load(1);
	uintptr_t two = module_load(2);
	struct arena *of_one, *of_two;

	ask(MIB, one);
	ask(MIB, two);
	of_one = arena_at(ask(100, one));
	of_two = arena_at(ask(100, two));
	cr_assert(of_one != of_two && of_one != arena_shared &&
		  of_two != arena_shared);
	for (unsigned i = 0; i < SLOTS_MAX / 2; i++) {
		void *p = ask(100, one + i);
		void *q = ask(100, two + i);

		cr_assert_eq(arena_at(p), of_one);
		cr_assert_eq(arena_at(q), of_two);
		drop(i % 2 ? p : q);
	}
	for (unsigned i = 0; i < SLOTS_MAX / 2; i++) {
		cr_assert_eq(arena_at(ask(100, one + i)), of_one);
		cr_assert_eq(arena_at(ask(100, two + i)), of_two);
	}
}

/* Threads ----------------------------------------------------------------- */

static void *use_all_classes(void *arg)
{
	static __thread void *had[2000];

	for (unsigned i = 0; i < 2000; i++)
		had[i] = ask(1 + i * 17 % CLASS_MAX_BYTES, (uintptr_t)arg);
	for (unsigned i = 0; i < 2000; i++)
		drop(had[i]);
	return NULL;
}

Test(cache, a_thread_that_ends_gives_all_back)
{
	uintptr_t pc = module_load(1);

	for (unsigned i = 0; i < 3; i++) {
		in_thread(use_all_classes, (void *)pc);
		caches_flush();
		cr_assert_eq(out_of_a(), 0, "its magazines hold blocks");
		cr_assert_eq(live_all(), 0);
	}
	for (unsigned i = 1; i < ARENAS_MAX && arenas[i]; i++)
		cr_assert_eq(live_of(arenas[i]), 0);
}

Test(cache, heaps_of_threads_are_used_again)
{
	const struct registry_table *caches =
		&anonshim_registry->table[REGISTRY_CACHES];
	uintptr_t pc = module_load(1);
	uint64_t count;
	uint64_t regions;

	in_thread(use_all_classes, (void *)pc);
	in_thread(use_all_classes, (void *)pc);
	count = caches->count;
	regions = anonshim_registry->counters.regions;
	for (unsigned i = 0; i < 300; i++)
		in_thread(use_all_classes, (void *)pc);
	cr_assert_eq(caches->count, count);
	cr_assert_leq(anonshim_registry->counters.regions, regions + 16);
}

static void *ask_one(void *arg)
{
	return ask(100, (uintptr_t)arg);
}

static void *drop_one(void *arg)
{
	drop(arg);
	return NULL;
}

/* A block's memory is its arena's again, whoever frees it. */
Test(cache, freed_by_another_thread)
{
	uintptr_t pc = module_load(1);

	ask(MIB, pc);
	for (unsigned i = 0; i < 500; i++) {
		void *p = i % 2 ? in_thread(ask_one, (void *)pc) : ask(100, pc);

		if (i % 2)
			drop(p);
		else
			in_thread(drop_one, p);
		cr_assert_eq(live_all(), MIB);
	}
	caches_trim();
	cr_assert_eq(arena_total, (int64_t)MIB);
}

/* Producer and consumer: one only asks, one only frees. */
#define RING 256
#define PASSES 100000

static void *ring[RING];

static void *produce(void *arg)
{
	uint64_t state = 5;

	for (unsigned i = 0; i < PASSES; i++) {
		unsigned char *p =
			ask(16 + draw(&state) % 2000, (uintptr_t)arg);

		memset(p, (int)i, 16);
		while (__atomic_load_n(&ring[i % RING], __ATOMIC_ACQUIRE))
			sched_yield();
		__atomic_store_n(&ring[i % RING], p, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *consume(void *arg)
{
	for (unsigned i = 0; i < PASSES; i++) {
		unsigned char *p;

		while (!(
			p = __atomic_load_n(&ring[i % RING], __ATOMIC_ACQUIRE)))
			sched_yield();
		__atomic_store_n(&ring[i % RING], NULL, __ATOMIC_RELEASE);
		if (p[0] != (unsigned char)i || p[15] != (unsigned char)i)
			return p;
		drop(p);
	}
	return arg;
}

Test(cache, one_asks_and_one_frees)
{
	uintptr_t pc = module_load(1);
	pthread_t producer, consumer;
	void *right;

	pthread_create(&producer, NULL, produce, (void *)pc);
	pthread_create(&consumer, NULL, consume, NULL);
	pthread_join(producer, NULL);
	pthread_join(consumer, &right);
	cr_assert_null(right, "a block was used twice");
	cr_assert_eq(live_all(), 0);
	caches_flush();
	cr_assert_eq(out_of_a(), 0);
	cr_assert_lt(heap_totals().mapped, 64 * MIB, "it is used again");
}

/* The last destructors ---------------------------------------------------- */

static pthread_key_t key;
static unsigned runs;
static unsigned after_ours;

static void destructor(void *arg)
{
	char *p = ask(1000, (uintptr_t)arg);

	runs++;
	if (!p)
		return;
	memset(p, 1, 1000);
	after_ours += !heap_owns(p);
	drop(p);
	pthread_setspecific(key, arg);
}

static void *with_destructor(void *arg)
{
	pthread_setspecific(key, arg);
	use_all_classes(arg);
	return NULL;
}

/* libc calls them four times; blocks asked for later still are served. */
Test(cache, destructors_ask_too)
{
	uintptr_t pc = module_load(1);

	pthread_key_create(&key, destructor);
	for (unsigned i = 0; i < 50; i++)
		in_thread(with_destructor, (void *)pc);
	cr_assert_eq(runs, 50 * PTHREAD_DESTRUCTOR_ITERATIONS);
	cr_assert_eq(live_all(), 0);
	caches_flush();
	cr_assert_eq(out_of_a(), 0);
	/* a round sooner for a thread whose beginning was not seen */
	cr_assert_eq(after_ours, 100, "but in the last it is the heap's");
}

/* Fork -------------------------------------------------------------------- */

#define THREADS 4

static bool stop;
static unsigned churning;

static void *churn(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	unsigned char *had[64] = {NULL};
	unsigned char of[64];

	__atomic_fetch_add(&churning, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		unsigned k = (unsigned)(draw(&state) % 64);

		if (had[k] && (had[k][0] != of[k] || had[k][15] != of[k]))
			return arg;
		drop(had[k]);
		had[k] = ask(16 + draw(&state) % (k ? 20000 : MIB),
			     (uintptr_t)arg);
		if (!had[k])
			return arg;
		of[k] = (unsigned char)draw(&state);
		memset(had[k], of[k], 16);
	}
	for (unsigned k = 0; k < 64; k++)
		drop(had[k]);
	return NULL;
}

static pid_t heap_fork(void)
{
	pid_t pid;

	guard_enter();
	heap_fork_prepare();
	pid = fork();
	if (pid)
		heap_fork_parent();
	else
		heap_fork_child();
	guard_leave();
	return pid;
}

/* In the child, the same work by new threads; what was kept is there. */
static int child(uintptr_t pc, unsigned char **kept, unsigned n)
{
	pthread_t threads[THREADS];
	int status = 0;

	alarm(30);
	for (unsigned i = 0; i < n; i++)
		if (kept[i][0] != 9 || kept[i][999] != 9)
			return 2;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(pc + i));
	for (unsigned i = 0; i < 3000; i++) {
		unsigned char *p = ask(16 + i * 7 % 30000, pc);

		if (!p)
			return 3;
		memset(p, 8, 16);
		drop(p);
	}
	for (unsigned i = 0; i < n; i++)
		drop(kept[i]);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		if (wrong)
			status = 4;
	}
	caches_trim();
	return status;
}

Test(cache, goes_on_in_a_child_of_fork)
{
	uintptr_t pc = module_load(1);
	unsigned char *kept[200];
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < 200; i++) {
		kept[i] = ask(1000, pc);
		memset(kept[i], 9, 1000);
	}
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(pc + i));
	/* a sanitizer's malloc, which new threads call, survives no fork */
	while (__atomic_load_n(&churning, __ATOMIC_ACQUIRE) < THREADS)
		sched_yield();
	for (unsigned i = 0; i < 150; i++) {
		pid_t pid = heap_fork();
		int status;

		if (!pid)
			_exit(child(pc, kept, 200));
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_assert_eq(status, 0, "child %u: %x", i, (unsigned)status);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
	for (unsigned i = 0; i < 200; i++)
		drop(kept[i]);
	cr_assert_eq(live_all(), 0);
}

static pthread_barrier_t barrier;

static void *hold_and_wait(void *arg)
{
	void *p = ask(100, (uintptr_t)arg);

	drop(p);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

/* Of threads that did not come along nothing is lost but their own blocks. */
Test(cache, a_child_uses_the_heaps_of_other_threads)
{
	uintptr_t pc = module_load(1);
	const struct registry_table *caches =
		&anonshim_registry->table[REGISTRY_CACHES];
	pthread_t threads[THREADS];
	int status;
	pid_t pid;

	ask(MIB, pc);
	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, hold_and_wait, (void *)pc);
	pthread_barrier_wait(&barrier);
	pid = heap_fork();
	if (!pid) {
		uint64_t count = caches->count;

		alarm(30);
		pthread_barrier_init(&barrier, NULL, THREADS + 1);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, hold_and_wait,
				       (void *)pc);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		_exit(caches->count != count || live_all() != (int64_t)MIB);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	pthread_barrier_wait(&barrier);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}
