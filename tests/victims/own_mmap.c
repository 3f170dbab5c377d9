/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Defines mmap itself, as sanitizers and tracers do, straight into the
 * kernel: the shim sees neither its own nor libc's calls of it.
 */
#include "victim.h"

#include <pthread.h>

static int calls;

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	calls++;
	return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

static void *worker(void *arg)
{
	return touch(arg, 1);
}

int main(void)
{
	pthread_t thread;
	char *p;

	victim_begin();
	p = touch(anon(PAGES), PAGES);
	CHECK(calls > 0);
	p = mremap(p, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && p[PAGE] == 2);
	CHECK(!pthread_create(&thread, NULL, worker, p));
	CHECK(!pthread_join(thread, NULL));
	CHECK(!munmap(p, 2 * PAGES * PAGE));
	touch(anon(PAGES), PAGES);
	victim_wait();
	return 0;
}
