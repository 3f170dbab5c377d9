/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon(3); then maps PAGES pages in site_daemon, writes its PID to the file
 * that the argument names, and waits.
 */
#include "victim.h"

#include <fcntl.h>

NOINLINE static void *site_daemon(void)
{
	void *p = touch(anon(PAGES), PAGES);

	NO_TAIL_CALL();
	return p;
}

int main(int argc, char **argv)
{
	int fd;

	victim_begin();
	CHECK(argc > 2);
	CHECK(daemon(1, 0) == 0);
	alarm(LIFE_SECONDS);
	CHECK(site_daemon());
	fd = open(argv[1], O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0);
	dprintf(fd, "%d\n", (int)getpid());
	CHECK(rename(argv[1], argv[2]) == 0);
	for (;;)
		pause();
}
