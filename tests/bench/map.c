/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * map bare|touched PAIRS [THREADS]: a loop of mmap and munmap, in each thread;
 * with a page of each mapping written to, or none.  Prints nanoseconds a pair:
 * of processor time with one thread, which others on the machine disturb less,
 * and of elapsed time with several, which waiting for each other is part of.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define MAPPING_BYTES 65536
#define THREADS_MAX 256

static unsigned long pairs;
static int touch;
static pthread_barrier_t start_line;

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void map_pairs(unsigned long n)
{
	for (unsigned long i = 0; i < n; i++) {
		char *p = mmap(NULL, MAPPING_BYTES, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			perror("map: mmap");
			exit(1);
		}
		if (touch)
			*(volatile char *)p = 1;
		munmap(p, MAPPING_BYTES);
	}
}

static void *thread(void *arg)
{
	map_pairs(pairs / 10 + 1);
	pthread_barrier_wait(&start_line);
	map_pairs(pairs);
	return arg;
}

static double run_threads(unsigned threads)
{
	pthread_t ids[THREADS_MAX];
	double start;

	pthread_barrier_init(&start_line, NULL, threads + 1);
	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, thread, NULL)) {
			fputs("map: no thread\n", stderr);
			exit(1);
		}
	pthread_barrier_wait(&start_line);
	start = now_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(ids[i], NULL);
	return now_ns(CLOCK_MONOTONIC) - start;
}

static double run_alone(void)
{
	double start;

	map_pairs(pairs / 10 + 1);
	start = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	map_pairs(pairs);
	return now_ns(CLOCK_PROCESS_CPUTIME_ID) - start;
}

int main(int argc, char **argv)
{
	unsigned threads = argc > 3 ? (unsigned)atoi(argv[3]) : 1;

	if (argc < 3 || !threads || threads > THREADS_MAX) {
		fputs("usage: map bare|touched PAIRS [THREADS]\n", stderr);
		return 2;
	}
	touch = !strcmp(argv[1], "touched");
	pairs = strtoul(argv[2], NULL, 10);
	printf("%.1f\n", (threads > 1 ? run_threads(threads) : run_alone()) /
				 (double)pairs);
	return 0;
}
