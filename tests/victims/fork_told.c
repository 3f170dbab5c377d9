/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps a memfd at two addresses, then does what the argument says, and waits:
 * "once" takes one of them away, "gone" both, "idle" both but the descriptor,
 * "sealed" and "file" make it one that is shared, "abort" dumps core,
 * "named" gives both a name, which hides the memfd's in maps, "confined"
 * installs a filter that permits everything.  "reused" has two aliases of
 * anonymous memory, and then one mapping in the place of both.
 */
#include "victim.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#define BYTES (PAGES * PAGE)

static int fd = -1;
static char *low, *high;

NOINLINE static void *site_view(void)
{
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void make(const char *how)
{
	fd = strcmp(how, "file") ? memfd_create("told", MFD_ALLOW_SEALING)
				 : open("told", O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, (off_t)BYTES) == 0);
	low = touch(site_view(), PAGES);
	high = site_view();
}

static void unmap(char *p)
{
	CHECK(munmap(p, BYTES) == 0);
}

static void confine(void)
{
	static struct sock_filter filter[] = {
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
	struct sock_fprog program = {1, filter};

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		SKIP("no seccomp");
}

/* One call stack makes both, the second where an alias of the first was. */
static void reuse(void)
{
	char *p = NULL, *q = NULL;

	for (volatile int i = 0; i < 2; i++) { /* one loop, not two calls */
		p = mmap(q, BYTES, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | (q ? MAP_FIXED : 0), -1,
			 0);
		CHECK(p != MAP_FAILED);
		touch(p, PAGES);
		if (i)
			break;
		q = mremap(p, 0, BYTES, MREMAP_MAYMOVE);
		CHECK(q != MAP_FAILED);
		unmap(p);
		unmap(q);
	}
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";

	victim_begin();
	if (!strcmp(how, "reused")) {
		reuse();
		victim_wait();
	}
	make(how);
	if (!strcmp(how, "once") || !strcmp(how, "gone") ||
	    !strcmp(how, "idle"))
		unmap(high);
	if (!strcmp(how, "gone") || !strcmp(how, "idle"))
		unmap(low);
	if (!strcmp(how, "gone"))
		CHECK(close(fd) == 0);
	if (!strcmp(how, "sealed"))
		CHECK(fcntl(fd, F_ADD_SEALS, 0x10 /* FUTURE_WRITE */) == 0);
	if (!strcmp(how, "named"))
		for (int i = 0; i < 2; i++)
			prctl(0x53564d41, 0, i ? high : low, BYTES, "my view");
	if (!strcmp(how, "confined"))
		confine();
	if (!strcmp(how, "abort"))
		abort();
	victim_wait();
}
