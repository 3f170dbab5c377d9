/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc_limits as|data SIZE: under a limit of 48 MiB more than now, blocks of
 * SIZE bytes until there are none: NULL and ENOMEM.  When they are freed there
 * are as many again, and the program goes on.
 */
#include "victim.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#define MIB ((size_t)1 << 20)
#define ROOM (48 * MIB)

/* Blocks are a list through themselves: counting needs no memory. */
struct block {
	struct block *next;
	size_t size;
};

static struct block *blocks;
static pthread_barrier_t barrier;

static size_t now_kib(const char *field)
{
	char line[256];
	size_t kib = 0;
	FILE *file = fopen("/proc/self/status", "re");

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, field, strlen(field)))
			kib = strtoul(line + strlen(field), NULL, 10);
	fclose(file);
	CHECK(kib);
	return kib;
}

static void limit(const char *what)
{
	bool as = !strcmp(what, "as");
	struct rlimit to;

	to.rlim_cur = now_kib(as ? "VmSize:" : "VmData:") * 1024 + ROOM;
	to.rlim_max = to.rlim_cur;
	CHECK(!setrlimit(as ? RLIMIT_AS : RLIMIT_DATA, &to));
}

/* Each way to ask in turn. */
static struct block *take(size_t size, unsigned n)
{
	void *p = NULL;
	int error;

	switch (n % 4) {
	case 0:
		return malloc(size);
	case 1:
		return calloc(1, size);
	case 2:
		return realloc(NULL, size);
	default:
		error = posix_memalign(&p, 64, size);
		errno = error ? error : errno;
		return error ? NULL : p;
	}
}

static unsigned fill_up(size_t size)
{
	struct block *b;
	unsigned n = 0;

	for (;;) {
		errno = 0;
		b = take(size, n);
		if (!b)
			break;
		((char *)b)[size - 1] = 1;
		b->next = blocks;
		b->size = size;
		blocks = b;
		n++;
	}
	CHECK(errno == ENOMEM);
	return n;
}

/* With no memory left everything still answers, and nothing is lost. */
static void while_full(size_t size)
{
	struct block *kept = blocks;
	size_t huge = ROOM * 2;

	CHECK(kept);
	for (unsigned i = 0; i < 50; i++) {
		errno = 0;
		CHECK(!realloc(kept, huge) && errno == ENOMEM);
		errno = 0;
		CHECK(!calloc(2, ROOM) && errno == ENOMEM);
		errno = 0;
		CHECK(!aligned_alloc(4096, huge) && errno == ENOMEM);
		CHECK(kept->size == size);
	}
	printf("full\n"); /* may want a buffer */
	fflush(stdout);
}

static void give_back(void)
{
	while (blocks) {
		struct block *next = blocks->next;

		free(blocks);
		blocks = next;
	}
}

/* Started before there is a limit: its stack is not what is tried. */
static void *other_thread(void *size)
{
	pthread_barrier_wait(&barrier);
	free(malloc((uintptr_t)size));
	give_back();
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	unsigned first;
	size_t size;

	victim_begin();
	CHECK(argc == 3);
	size = strtoul(argv[2], NULL, 10);
	CHECK(size >= sizeof(struct block));
	setvbuf(stdout, NULL, _IOLBF, 0);
	CHECK(!pthread_barrier_init(&barrier, NULL, 2));
	CHECK(!pthread_create(&thread, NULL, other_thread, (void *)size));
	limit(argv[1]);
	first = fill_up(size);
	CHECK(first * size >= ROOM / 8); /* a block costs more than its size */
	while_full(size);
	give_back();
	CHECK(fill_up(size) >= first / 2);
	give_back();
	CHECK(fill_up(size * 2) >= first / 8);
	give_back();
	fill_up(size);
	pthread_barrier_wait(&barrier);
	CHECK(!pthread_join(thread, NULL));
	CHECK(!blocks && fill_up(size) >= first / 2);
	give_back();
	return 0;
}
