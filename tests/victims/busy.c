/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that map, remap and unmap without a pause, for ever. */
#include "victim.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define KEPT 64
#define THREADS 3

static atomic_uint full;

NOINLINE static void *site_busy(size_t pages)
{
	void *p = touch(anon(pages), pages);

	NO_TAIL_CALL();
	return p;
}

static void *worker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	void *kept[KEPT] = {0};
	size_t pages[KEPT] = {0};

	for (unsigned n = 0;; n++) {
		unsigned i = (unsigned)rand_r(&seed) % KEPT;

		if (kept[i])
			munmap(kept[i], pages[i] * PAGE);
		pages[i] = 1 + (size_t)rand_r(&seed) % 30;
		kept[i] = site_busy(pages[i]);
		if (pages[i] > 20)
			munmap((char *)kept[i] + 7 * PAGE, PAGE);
		if (n == 4 * KEPT)
			full++;
	}
	return NULL;
}

int main(void)
{
	pthread_t thread;

	victim_begin();
	for (uintptr_t i = 0; i < THREADS; i++)
		CHECK(!pthread_create(&thread, NULL, worker, (void *)i));
	while (full < THREADS)
		sched_yield();
	victim_wait();
	return 0;
}
