/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that map in a loop and are cancelled, asynchronously or in calls
 * that are cancellation points; the program maps on afterwards.
 */
#include "victim.h"

#include <pthread.h>
#include <signal.h>

static volatile int began;
static int async;

static void *worker(void *arg)
{
	pthread_setcanceltype(async ? PTHREAD_CANCEL_ASYNCHRONOUS
				    : PTHREAD_CANCEL_DEFERRED,
			      NULL);
	for (;;) {
		void *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		began = 1;
		*(volatile char *)p = 1;
		munmap(p, 2 * PAGE);
		if (!async)
			pthread_testcancel();
	}
	return arg;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	pthread_t thread;
	sigset_t set;
	void *result;

	victim_begin();
	async = argc > 2;
	for (int i = 0; i < rounds; i++) {
		began = 0;
		CHECK(!pthread_create(&thread, NULL, worker, NULL));
		while (!began)
			sched_yield();
		usleep((unsigned)(i * 7 % 100));
		CHECK(!pthread_cancel(thread));
		CHECK(!pthread_join(thread, &result));
		CHECK(result == PTHREAD_CANCELED);
		munmap(touch(anon(2), 2), 2 * PAGE);
	}
	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int i = 1; i < 32; i++)
		CHECK(sigismember(&set, i) == 0);
	return 0;
}
