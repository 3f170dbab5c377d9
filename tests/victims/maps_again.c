/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * maps_again [PAGES]: unmaps ranges in order to map them anew, by pieces, as
 * who makes a ring buffer does: nobody else has taken a piece meanwhile.  This
 * process has one thread, and does nothing else between the calls.
 */
#include "victim.h"

#include <fcntl.h>
#include <stdlib.h>

#define RINGS 300
#define RW (PROT_READ | PROT_WRITE)

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static char *place(size_t len)
{
	char *p =
		mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED && !munmap(p, len));
	return p;
}

static void map_at(char *at, size_t len, int flags, int fd)
{
	CHECK(mmap(at, len, RW, flags | MAP_FIXED_NOREPLACE, fd, 0) == at);
}

static void ring(size_t len)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);
	char *p = place(2 * len);

	CHECK(fd >= 0 && !ftruncate(fd, (off_t)len));
	map_at(p, len, MAP_SHARED, fd);
	map_at(p + len, len, MAP_SHARED, fd);
	p[0] = 1;
	CHECK(p[len] == 1 && !close(fd));
}

static void pieces(size_t len)
{
	char *p = place(len);

	for (size_t at = 0; at < len; at += PAGE)
		map_at(p + at, PAGE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (size_t at = PAGE; at < len; at += 2 * PAGE)
		CHECK(!mprotect(p + at, PAGE, PROT_READ));
}

static void moves(size_t len)
{
	char *from = place(4 * len);
	char *to = from + len;

	map_at(from, len, MAP_SHARED | MAP_ANONYMOUS, -1);
	CHECK(mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	map_at(from, len, MAP_SHARED | MAP_ANONYMOUS, -1);
	map_at(to + len, 2 * len, MAP_SHARED | MAP_ANONYMOUS, -1);
}

int main(int argc, char **argv)
{
	size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : 64;

	victim_begin();
	for (size_t i = 0; i < RINGS; i++) {
		size_t len = (1 + i % most) * PAGE;

		ring(len);
		if (i % 4 == 0)
			pieces(len);
		if (i % 4 == 2)
			moves(len);
	}
	return 0;
}
