/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a heap's pages cost, by whichever allocator is preloaded.
 *
 * heap_pages fork MIB LIBRARY...: a heap of MIB, in small blocks that the
 * LIBRARYs' owner_malloc() asks for in turn.  Prints milliseconds of a fork,
 * an exit of the child at once, and the wait for it; the median of several.
 *
 * heap_pages freed BLOCK_BYTES: 1 GiB in such blocks, all touched.  Prints
 * "freed" once they are freed, and, when it has gone on for 12 s with some
 * small blocks now and then, MiB resident.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OWNERS_MAX 16
#define FORKS 15
#define PAGE_BYTES 4096
#define FREED_BYTES (1ul << 30)
#define TICKS 1200
#define TICK_NS 10000000
#define TICK_BLOCKS 1000

typedef void *owner_function(size_t bytes);

static void fail(const char *what)
{
	fprintf(stderr, "heap_pages: %s\n", what);
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static owner_function *load(const char *library)
{
	void *module = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	owner_function *function;

	if (!module)
		fail(dlerror());
	function = (owner_function *)dlsym(module, "owner_malloc");
	if (!function)
		fail(dlerror());
	return function;
}

static void fill(owner_function **owners, int n, size_t total_bytes)
{
	uint32_t random = 1;

	for (size_t filled = 0; filled < total_bytes;) {
		random = random * 1664525 + 1013904223;
		for (int i = 0; i < n; i++) {
			size_t bytes = 16 + (random >> 24) * (i + 1);
			char *p = owners[i](bytes);

			if (!p)
				fail("no memory");
			memset(p, 1, bytes);
			filled += bytes;
		}
	}
}

static double fork_ms(void)
{
	double start = now_ms();
	pid_t pid = fork();

	if (pid < 0)
		fail("cannot fork");
	if (!pid)
		_exit(0);
	if (waitpid(pid, NULL, 0) != pid)
		fail("cannot wait");
	return now_ms() - start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int time_forks(size_t mib, char **libraries, int n)
{
	owner_function *owners[OWNERS_MAX];
	double times[FORKS];

	if (n < 1 || n > OWNERS_MAX)
		return 2;
	for (int i = 0; i < n; i++)
		owners[i] = load(libraries[i]);
	fill(owners, n, mib << 20);
	fork_ms();
	for (int i = 0; i < FORKS; i++)
		times[i] = fork_ms();
	qsort(times, FORKS, sizeof(times[0]), compare);
	printf("%.3f\n", times[FORKS / 2]);
	return 0;
}

/* Without stdio, whose buffers are of the heap. */
static double resident_mib(void)
{
	char text[128] = "";
	unsigned long pages = 0;
	int fd = open("/proc/self/statm", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0 ||
	    sscanf(text, "%*u %lu", &pages) != 1)
		fail("cannot read /proc/self/statm");
	close(fd);
	return (double)pages * PAGE_BYTES / (1 << 20);
}

static void fill_and_free(size_t block_bytes)
{
	void *first = NULL, **last = &first;

	for (size_t i = 0; i < FREED_BYTES / block_bytes; i++) {
		void **p = malloc(block_bytes);

		if (!p)
			fail("no memory");
		for (size_t at = 0; at < block_bytes; at += PAGE_BYTES)
			((volatile char *)p)[at] = 1;
		*p = NULL;
		*last = p;
		last = p;
	}
	while (first) {
		void *next = *(void **)first;

		free(first);
		first = next;
	}
}

/* Enough of a size at a time that thread caches do not serve them all. */
static void go_on(void)
{
	const struct timespec tick = {0, TICK_NS};
	void *blocks[TICK_BLOCKS];

	for (int i = 0; i < TICKS; i++) {
		for (int j = 0; j < TICK_BLOCKS; j++)
			blocks[j] = malloc((size_t)(16 + i % 16 * 16));
		for (int j = 0; j < TICK_BLOCKS; j++) {
			__asm__ volatile("" : : "r"(blocks[j]) : "memory");
			free(blocks[j]);
		}
		nanosleep(&tick, NULL);
	}
}

static int watch_freed(size_t block_bytes)
{
	if (block_bytes < sizeof(void *))
		return 2;
	fill_and_free(block_bytes);
	puts("freed");
	fflush(stdout);
	go_on();
	printf("%.1f\n", resident_mib());
	return 0;
}

int main(int argc, char **argv)
{
	int status = 2;

	if (argc > 3 && !strcmp(argv[1], "fork"))
		status = time_forks(strtoul(argv[2], NULL, 10), argv + 3,
				    argc - 3);
	else if (argc == 3 && !strcmp(argv[1], "freed"))
		status = watch_freed(strtoul(argv[2], NULL, 10));
	if (status == 2)
		fputs("usage: heap_pages fork MIB LIBRARY...\n"
		      "       heap_pages freed BLOCK_BYTES\n",
		      stderr);
	return status;
}
