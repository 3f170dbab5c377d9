/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_churn FORKS: threads make memory that is mapped twice, write it, and let
 * go of it, all the time, so that a descriptor's number is soon another
 * object's; others fork.  What a child has of the one that stays is right.
 */
#include "fork_help.h"

#include <pthread.h>
#include <stdatomic.h>

#define MAKERS 3
#define FORKERS 2
#define TWIN_PAGES 16
#define GIVEN_UP_S 100
#define CHECKED 16 /* one child in so many looks at all */

static struct twin stays;
static atomic_bool stop;

static void *make(void *unused)
{
	for (unsigned n = 0; !stop; n++) {
		struct twin twin;

		twin_make(&twin, TWIN_PAGES);
		if (n % 3 == 0) {
			CHECK(!close(twin.fd));
			twin.fd = -1;
		}
		for (size_t i = 0; i < TWIN_PAGES; i++)
			twin.one[i * WORDS] = VALUE_BEFORE + i;
		if (twin.two[WORDS] != VALUE_BEFORE + 1)
			wrong("%#lx by an alias", twin.two[WORDS]);
		twin_end(&twin);
	}
	return unused;
}

static void *forks(void *arg)
{
	for (unsigned long n = *(unsigned long *)arg; n--;) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid && n % CHECKED)
			_exit(0);
		if (!pid) {
			whoami = "child";
			twin_see(&stays, VALUE_BEFORE, "as forked");
			twin_write(stays.two, TWIN_PAGES, VALUE_CHILD);
			twin_see(&stays, VALUE_CHILD, "after the child wrote");
			_exit(0);
		}
		talk_reap(pid);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t maker[MAKERS], forker[FORKERS];
	unsigned long n;

	victim_begin();
	CHECK(argc == 2);
	n = strtoul(argv[1], NULL, 10);
	alarm(GIVEN_UP_S);
	twin_make(&stays, TWIN_PAGES);
	twin_before(&stays);
	for (int i = 0; i < MAKERS; i++)
		CHECK(!pthread_create(&maker[i], NULL, make, NULL));
	for (int i = 0; i < FORKERS; i++)
		CHECK(!pthread_create(&forker[i], NULL, forks, &n));
	for (int i = 0; i < FORKERS; i++)
		CHECK(!pthread_join(forker[i], NULL));
	stop = true;
	for (int i = 0; i < MAKERS; i++)
		CHECK(!pthread_join(maker[i], NULL));
	twin_see(&stays, VALUE_BEFORE, "at last");
	return 0;
}
