/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints what of its surroundings a program can see: descriptors, signal
 * mask and handlers, environment, limits, personality; after having mapped
 * memory and run a thread, whose mask it prints too.
 */
#include "victim.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;

static void print_mask(const char *who)
{
	struct sigaction action;
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	for (int i = 1; i < 65; i++) {
		if (sigismember(&set, i) == 1)
			printf("%s blocks %d\n", who, i);
		if (i != 32 && i != 33 && !sigaction(i, NULL, &action) &&
		    action.sa_handler != SIG_DFL)
			printf("%s handles %d\n", who, i);
	}
}

static void *worker(void *arg)
{
	munmap(touch(anon(3), 3), 3 * PAGE);
	print_mask("thread");
	return arg;
}

static void print_descriptors(void)
{
	for (int i = 0; i < 1024; i++)
		if (fcntl(i, F_GETFD) >= 0)
			printf("descriptor %d flags %d\n", i,
			       fcntl(i, F_GETFD));
}

int main(void)
{
	pthread_t thread;
	sigset_t set;

	victim_begin();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 100; i++)
		munmap(touch(anon(3), 3), 3 * PAGE);
	CHECK(!pthread_create(&thread, NULL, worker, NULL));
	pthread_join(thread, NULL);
	print_mask("main");
	print_descriptors();
	for (char **e = environ; *e; e++)
		if (strncmp(*e, "LD_PRELOAD=", 11) &&
		    strncmp(*e, "ANONSHIM_OPTIONS=", 17) &&
		    strncmp(*e, "VICTIM_SHIM=", 12) &&
		    strncmp(*e, "SABOTAGE=", 9))
			printf("environment %s\n", *e);
	printf("dumpable %d\n", prctl(PR_GET_DUMPABLE));
	printf("children %d\n", prctl(PR_GET_CHILD_SUBREAPER, &(int){0}));
	return 0;
}
