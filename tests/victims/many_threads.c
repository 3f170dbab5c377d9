/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 200 threads at once that map, remap, unmap and make threads of their own;
 * every page keeps what was written to it.
 */
#include "victim.h"

#include <pthread.h>

#define THREADS 200
#define ROUNDS 20

static void *short_lived(void *arg)
{
	return arg;
}

static void *worker(void *arg)
{
	long me = (long)arg;
	pthread_t thread;

	for (long i = 0; i < ROUNDS; i++) {
		volatile long *p = anon(3);

		p[0] = me * ROUNDS + i;
		p = mremap((void *)p, 3 * PAGE, 7 * PAGE, MREMAP_MAYMOVE);
		CHECK(p != MAP_FAILED);
		CHECK(p[0] == me * ROUNDS + i && !p[5 * PAGE / 8]);
		CHECK(!munmap((void *)p, 7 * PAGE));
	}
	CHECK(!pthread_create(&thread, NULL, short_lived, NULL));
	CHECK(!pthread_join(thread, NULL));
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread[THREADS];
	void *result;

	victim_begin();
	for (long i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread[i], NULL, worker, (void *)i));
	for (long i = 0; i < THREADS; i++) {
		CHECK(!pthread_join(thread[i], &result));
		CHECK(result == (void *)i);
	}
	if (argc > 1)
		victim_wait();
	return 0;
}
