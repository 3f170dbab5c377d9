/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap ROW: one measure of malloc and its family, by whichever allocator is
 * preloaded.  Prints nanoseconds an operation, the median of several slices:
 * of processor time with one thread, which others on the machine disturb less,
 * and of elapsed time with several, which waiting for each other is part of.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIVE_SLOTS 1000
#define LARGE_SLOTS 8
#define RING_SLOTS 1024
#define PAGE_BYTES 4096
#define THREAD_BLOCKS 200
#define THREADS_AT_ONCE 2
#define SLICES_MAX 9

/*
 * The compiler must take p for used, by whom it cannot know: it may leave out
 * a malloc whose block only free sees.
 */
static inline void *escaped(void *p)
{
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static inline void *touched(void *p)
{
	if (!p)
		abort();
	*(volatile char *)p = 1;
	return escaped(p);
}

/* The upper bits are the random ones. */
static inline uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 32;
}

static inline size_t small_bytes(uint64_t random)
{
	return 16 + (random & 255);
}

static inline size_t below(uint64_t random, size_t limit)
{
	return (size_t)((random >> 16) * limit >> 16);
}

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void in_two_threads(void *(*first)(void *), void *(*second)(void *),
			   void *arg)
{
	pthread_t other;

	if (pthread_create(&other, NULL, second, arg)) {
		fputs("heap: no thread\n", stderr);
		exit(1);
	}
	first(arg);
	pthread_join(other, NULL);
}

/* A block is replaced by another, at a random place among those that live. */
static void pair(unsigned long n)
{
	void *slots[LIVE_SLOTS];
	uint64_t state = 1;

	for (int i = 0; i < LIVE_SLOTS; i++)
		slots[i] = touched(malloc(small_bytes(next_random(&state))));
	while (n--) {
		uint64_t random = next_random(&state);
		size_t i = below(random, LIVE_SLOTS);

		free(slots[i]);
		slots[i] = touched(malloc(small_bytes(random)));
	}
	for (int i = 0; i < LIVE_SLOTS; i++)
		free(slots[i]);
}

static void *pair_thread(void *arg)
{
	pair(*(unsigned long *)arg);
	return NULL;
}

static void pair_threads(unsigned long n)
{
	in_two_threads(pair_thread, pair_thread, &n);
}

static void same(unsigned long n)
{
	while (n--)
		free(touched(malloc(64)));
}

static void small_calloc(unsigned long n)
{
	void *slots[LIVE_SLOTS] = {NULL};
	uint64_t state = 1;

	while (n--) {
		uint64_t random = next_random(&state);
		size_t i = below(random, LIVE_SLOTS);

		free(slots[i]);
		slots[i] = touched(calloc(1, small_bytes(random)));
	}
	for (int i = 0; i < LIVE_SLOTS; i++)
		free(slots[i]);
}

static struct {
	_Alignas(64) _Atomic unsigned long produced;
	_Alignas(64) _Atomic unsigned long consumed;
	_Alignas(64) void *slots[RING_SLOTS];
} ring;

static void *produce(void *arg)
{
	unsigned long n = *(unsigned long *)arg;
	uint64_t state = 1;

	for (unsigned long i = 0; i < n; i++) {
		void *p = touched(malloc(small_bytes(next_random(&state))));

		while (i - atomic_load_explicit(&ring.consumed,
						memory_order_acquire) ==
		       RING_SLOTS)
			sched_yield();
		ring.slots[i % RING_SLOTS] = p;
		atomic_store_explicit(&ring.produced, i + 1,
				      memory_order_release);
	}
	return NULL;
}

static void *consume(void *arg)
{
	unsigned long n = *(unsigned long *)arg;

	for (unsigned long i = 0; i < n; i++) {
		while (atomic_load_explicit(&ring.produced,
					    memory_order_acquire) == i)
			sched_yield();
		free(touched(ring.slots[i % RING_SLOTS]));
		atomic_store_explicit(&ring.consumed, i + 1,
				      memory_order_release);
	}
	return NULL;
}

static void producer_consumer(unsigned long n)
{
	atomic_store(&ring.produced, 0);
	atomic_store(&ring.consumed, 0);
	in_two_threads(produce, consume, &n);
}

/*
 * Each buffer in turn, from 16 bytes to 16 MiB, half as much again each time,
 * and anew.  A single one may lie at the end of the heap and never move.
 */
static void grow(unsigned long n, int count)
{
	char *buffers[2] = {NULL};
	size_t bytes = 16;

	for (unsigned long done = 0; done < n; done += (unsigned)count) {
		for (int i = 0; i < count; i++) {
			buffers[i] = escaped(realloc(buffers[i], bytes));
			if (!buffers[i])
				abort();
			touched(buffers[i] + bytes - 1);
		}
		bytes += bytes / 2;
		if (bytes <= 16 << 20)
			continue;
		bytes = 16;
		for (int i = 0; i < count; i++) {
			free(buffers[i]);
			buffers[i] = NULL;
		}
	}
	for (int i = 0; i < count; i++)
		free(buffers[i]);
}

static void realloc_alone(unsigned long n)
{
	grow(n, 1);
}

static void realloc_by_turns(unsigned long n)
{
	grow(n, 2);
}

static void large(unsigned long n)
{
	void *slots[LARGE_SLOTS] = {NULL};
	uint64_t state = 1;

	while (n--) {
		uint64_t random = next_random(&state);
		size_t i = random % LARGE_SLOTS;
		size_t pages = 16 + below(random, 1024 - 16 + 1);

		free(slots[i]);
		slots[i] = touched(malloc(pages * PAGE_BYTES));
	}
	for (int i = 0; i < LARGE_SLOTS; i++)
		free(slots[i]);
}

static void *short_thread(void *arg)
{
	void *blocks[THREAD_BLOCKS];
	uint64_t state = (uint64_t)(uintptr_t)arg;

	for (int i = 0; i < THREAD_BLOCKS; i++) {
		uint64_t random = next_random(&state);
		size_t bytes = small_bytes(random) << (random >> 8 & 3);

		blocks[i] = touched(malloc(bytes));
	}
	for (int i = 0; i < THREAD_BLOCKS; i++)
		free(blocks[i]);
	return NULL;
}

static void short_threads(unsigned long n)
{
	for (; n >= THREADS_AT_ONCE; n -= THREADS_AT_ONCE)
		in_two_threads(short_thread, short_thread, &n);
}

/*
 * Nothing is freed until all are there; each block points to the next.  At the
 * end a larger block is asked for: to put neighbours together may have been
 * put off until then.
 */
static void growth(unsigned long n)
{
	void *first = NULL, **last = &first;
	uint64_t state = 1;

	while (n--) {
		void **p = touched(malloc(16 + next_random(&state) % 64));

		*p = NULL;
		*last = p;
		last = p;
	}
	while (first) {
		void *next = *(void **)first;

		free(first);
		first = next;
	}
	free(touched(malloc(16 * PAGE_BYTES)));
}

/* A single slice has no warming up. */
static const struct row {
	const char *name;
	void (*run)(unsigned long n);
	clockid_t clock;
	unsigned long operations;
	int slices;
} rows[] = {
	{"pair", pair, CLOCK_PROCESS_CPUTIME_ID, 2000000, 7},
	{"pair-threads", pair_threads, CLOCK_MONOTONIC, 2000000, 7},
	{"same", same, CLOCK_PROCESS_CPUTIME_ID, 4000000, 7},
	{"calloc", small_calloc, CLOCK_PROCESS_CPUTIME_ID, 1000000, 7},
	{"ring", producer_consumer, CLOCK_MONOTONIC, 200000, 5},
	{"realloc", realloc_alone, CLOCK_PROCESS_CPUTIME_ID, 350, 3},
	{"realloc-turns", realloc_by_turns, CLOCK_PROCESS_CPUTIME_ID, 350, 3},
	{"large", large, CLOCK_PROCESS_CPUTIME_ID, 20000, 5},
	{"threads", short_threads, CLOCK_MONOTONIC, 1000, 7},
	{"growth", growth, CLOCK_PROCESS_CPUTIME_ID, 2000000, 1},
};

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double measure(const struct row *row)
{
	double slices[SLICES_MAX];

	if (row->slices > 1)
		row->run(row->operations / 4);
	for (int i = 0; i < row->slices; i++) {
		double start = now_ns(row->clock);

		row->run(row->operations);
		slices[i] =
			(now_ns(row->clock) - start) / (double)row->operations;
	}
	qsort(slices, (size_t)row->slices, sizeof(slices[0]), compare);
	return slices[row->slices / 2];
}

int main(int argc, char **argv)
{
	size_t n = sizeof(rows) / sizeof(rows[0]);

	for (size_t i = 0; argc == 2 && i < n; i++)
		if (!strcmp(argv[1], rows[i].name)) {
			printf("%.2f\n", measure(&rows[i]));
			return 0;
		}
	fputs("usage: heap", stderr);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "%c%s", i ? '|' : ' ', rows[i].name);
	fputs("\n", stderr);
	return 2;
}
