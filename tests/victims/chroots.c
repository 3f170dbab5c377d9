/* SPDX-License-Identifier: BSD-2-Clause */
/* Goes into an empty root and maps, makes threads and forks there. */
#include "victim.h"

#include <pthread.h>
#include <sys/wait.h>

NOINLINE static void *site_chroot(void)
{
	void *p = touch(anon(PAGES), PAGES);

	NO_TAIL_CALL();
	return p;
}

static void *worker(void *arg)
{
	return touch(arg, 1);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int status;
	pid_t pid;

	victim_begin();
	CHECK(argc > 1);
	if (chroot(argv[1]) || chdir("/"))
		SKIP("chroot is not permitted");
	CHECK(site_chroot());
	CHECK(!pthread_create(&thread, NULL, worker, anon(1)));
	pthread_join(thread, NULL);
	pid = fork();
	if (!pid)
		_exit(site_chroot() == NULL);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	victim_wait();
	return 0;
}
