/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As many forks as the argument says while threads map without a pause; every
 * child maps, and must neither hang nor fail.  "raw" and "_Fork" as second
 * argument: the forks that run no handlers.
 */
#include "victim.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#define CHILD_SECONDS 60

static volatile int stop;
static int status_of_worker;

static void *worker(void *arg)
{
	while (!stop) {
		char *p = anon(8);

		p = mremap(p, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
		CHECK(p != MAP_FAILED);
		CHECK(!munmap(p + 2 * PAGE, PAGE));
		CHECK(!munmap(p, 16 * PAGE));
	}
	return arg;
}

static void child(void)
{
	alarm(CHILD_SECONDS);
	for (int i = 0; i < 3; i++) {
		char *p = touch(anon(4), 4);

		CHECK(!munmap(p, 4 * PAGE));
	}
	_exit(0);
}

static pid_t make_child(const char *how)
{
	if (!strcmp(how, "_Fork"))
		return _Fork();
	if (!strcmp(how, "raw"))
		return (pid_t)syscall(SYS_fork);
	return fork();
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 100;
	const char *how = argc > 2 ? argv[2] : "fork";
	pthread_t thread[3];
	int status;

	victim_begin();
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_create(&thread[i], NULL, worker, NULL));
	for (int i = 0; i < rounds; i++) {
		pid_t pid = make_child(how);

		CHECK(pid >= 0);
		if (!pid)
			child();
		CHECK(waitpid(pid, &status, 0) == pid);
		CHECK(status == 0);
	}
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(thread[i], NULL);
	return status_of_worker;
}
