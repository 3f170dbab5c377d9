/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lowers RLIMIT_NOFILE to the argument and maps, makes threads and forks: all
 * of that needs no descriptor.
 */
#include "victim.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void *worker(void *arg)
{
	munmap(touch(anon(3), 3), 3 * PAGE);
	return arg;
}

int main(int argc, char **argv)
{
	rlim_t most = argc > 1 ? (rlim_t)atol(argv[1]) : 3;
	struct rlimit limit = {most, most};
	pthread_t thread;
	int status;
	pid_t pid;

	victim_begin();
	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < 500; i++)
		touch(anon(3), 3);
	for (int i = 0; i < 20; i++) {
		CHECK(!pthread_create(&thread, NULL, worker, NULL));
		CHECK(!pthread_join(thread, NULL));
	}
	pid = fork();
	if (!pid)
		_exit(touch(anon(1), 1) == NULL);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	return 0;
}
