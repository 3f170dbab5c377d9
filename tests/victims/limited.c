/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps page by page up to RLIMIT_AS, gives it all back, and does it again:
 * prints whether the two rounds were alike, and what the last call said.
 */
#include "victim.h"

#include <sys/resource.h>

#define MOST 4096

static void *got[MOST];

static int fill_up(void)
{
	int n = 0;

	while (n < MOST &&
	       (got[n] = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) !=
		       MAP_FAILED) {
		touch(got[n], 16);
		n++;
	}
	return n;
}

static void give_back(int n)
{
	while (n--)
		CHECK(!munmap(got[n], 16 * PAGE));
}

int main(void)
{
	int first, second, err;

	victim_begin();
	first = fill_up();
	err = errno;
	give_back(first);
	second = fill_up();
	printf("full %d, errno %d\n", first < MOST, err);
	printf("alike %d\n", second >= first - 2 && second <= first + 2);
	printf("some %d\n", first > 2);
	return 0;
}
