/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that touches TOUCHED bytes of its stack, made in the way that the
 * argument says: its start routine is `worker`.
 */
#include "victim.h"

#include <pthread.h>
#include <semaphore.h>

#define TOUCHED (300 * 1024)

static sem_t there;
static const char *way;

NOINLINE static void use_stack(void)
{
	volatile char room[TOUCHED];

	for (size_t i = 0; i < sizeof(room); i += PAGE)
		room[i] = 1;
	NO_TAIL_CALL();
}

static void *worker(void *arg)
{
	use_stack();
	sem_post(&there);
	if (!strcmp(way, "exit"))
		pthread_exit(arg);
	if (!strcmp(way, "return"))
		return arg;
	for (;;)
		pause();
	return NULL;
}

static void *early_worker(void *arg)
{
	use_stack();
	return arg;
}

static pthread_t make(void)
{
	static void *stack;
	pthread_attr_t attr;
	pthread_t thread;
	void *result;

	CHECK(pthread_attr_init(&attr) == 0);
	if (!strcmp(way, "detached"))
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (!strcmp(way, "user")) {
		stack = anon(256);
		CHECK(pthread_attr_setstack(&attr, stack, 256 * PAGE) == 0);
	}
	if (!strcmp(way, "cached")) {
		CHECK(!pthread_create(&thread, NULL, early_worker, NULL));
		CHECK(!pthread_join(thread, &result));
	}
	if (!strcmp(way, "size"))
		pthread_attr_setstacksize(&attr, 1024 * 1024);
	if (!strcmp(way, "noguard"))
		pthread_attr_setguardsize(&attr, 0);
	CHECK(!pthread_create(&thread, &attr, worker, &there));
	return thread;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	void *result = NULL;

	victim_begin();
	way = argc > 1 ? argv[1] : "";
	sem_init(&there, 0, 0);
	thread = make();
	sem_wait(&there);
	if (!strcmp(way, "exit") || !strcmp(way, "return")) {
		CHECK(!pthread_join(thread, &result));
		CHECK(result == &there);
	}
	if (!strcmp(way, "cancel")) {
		CHECK(!pthread_cancel(thread));
		CHECK(!pthread_join(thread, &result));
		CHECK(result == PTHREAD_CANCELED);
	}
	victim_wait();
	return 0;
}
