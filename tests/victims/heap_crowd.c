/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * heap_crowd LIBRARY THREADS OWNERS: every thread asks in every owner's name
 * for blocks of several sizes, frees them and stays.  Prints how many KiB of
 * anonymous memory that left behind.
 */
#include "owners_load.h"

#include <pthread.h>

#define WARM_BLOCKS 4096
#define STACK_BYTES (64UL << 10)

static pthread_barrier_t asked, looked;

static size_t anonymous_kib(void)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	char *line;

	CHECK(n > 0);
	close(fd);
	text[n] = '\0';
	line = strstr(text, "RssAnon:");
	CHECK(line);
	return strtoul(line + 8, NULL, 10);
}

static void *member(void *arg)
{
	for (unsigned i = 0; i < nowners; i++)
		for (size_t size = 16; size <= 1024; size *= 2)
			owners[i]->put(owners[i]->get(size));
	pthread_barrier_wait(&asked);
	pthread_barrier_wait(&looked);
	return arg;
}

/* Each owner is worth an arena. */
static void warm_up(const struct owner_calls *o)
{
	static void *p[WARM_BLOCKS];

	for (unsigned i = 0; i < WARM_BLOCKS; i++)
		CHECK((p[i] = o->get(1000)));
	for (unsigned i = 0; i < WARM_BLOCKS; i++)
		o->put(p[i]);
}

int main(int argc, char **argv)
{
	unsigned long threads;
	pthread_attr_t attr;
	pthread_t thread;
	size_t before;

	victim_begin();
	CHECK(argc == 4);
	threads = strtoul(argv[2], NULL, 0);
	nowners = (unsigned)strtoul(argv[3], NULL, 0);
	CHECK(threads && nowners && nowners < OWNERS_MAX);
	owners_load(argv[1]);
	for (unsigned i = 0; i < nowners; i++)
		warm_up(owners[i]);
	CHECK(!pthread_barrier_init(&asked, NULL, (unsigned)threads + 1));
	CHECK(!pthread_barrier_init(&looked, NULL, (unsigned)threads + 1));
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstacksize(&attr, STACK_BYTES));
	before = anonymous_kib();
	for (unsigned long i = 0; i < threads; i++)
		CHECK(!pthread_create(&thread, &attr, member, NULL));
	pthread_barrier_wait(&asked);
	printf("%zd\n", (ssize_t)(anonymous_kib() - before));
	fflush(stdout);
	pthread_barrier_wait(&looked);
	return 0;
}
