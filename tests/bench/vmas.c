/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vmas COUNT: maps COUNT single pages that cannot merge, touches each, prints
 * its PID, and waits until its stdin ends.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0;
	char c;

	for (long i = 0; i < count; i++) {
		char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (p == MAP_FAILED) {
			perror("vmas: mmap");
			return 1;
		}
		*p = 1;
		/* neighbours differ */
		if (i & 1 && mprotect(p, 4096, PROT_READ)) {
			perror("vmas: mprotect");
			return 1;
		}
	}
	printf("%d\n", (int)getpid());
	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}
