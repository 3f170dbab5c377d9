/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of descriptors: each that is open, none that is not.
 */
#include "base/fdlist.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FDS 4096

static unsigned char seen[FDS];

static void see(int fd, void *arg)
{
	unsigned *n = arg;

	cr_assert(fd >= 0 && fd < FDS, "%d", fd);
	seen[fd]++;
	++*n;
}

static unsigned read_list(void)
{
	unsigned n = 0;

	memset(seen, 0, sizeof(seen));
	cr_assert_eq(fdlist_read(see, &n), 0);
	return n;
}

static void agree_with_the_kernel(void)
{
	unsigned n = read_list();

	for (int fd = 0; fd < FDS; fd++) {
		bool open = fcntl(fd, F_GETFD) >= 0;

		cr_assert_eq(seen[fd], open, "%d", fd);
		n -= open;
	}
	cr_assert_eq(n, 0);
}

static void many_descriptors(void)
{
	struct rlimit limit = {FDS, FDS};

	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

Test(fdlist, as_it_is)
{
	many_descriptors();
	agree_with_the_kernel();
}

/* More than one read of the directory, with gaps. */
Test(fdlist, many, .init = many_descriptors)
{
	int fd = open("/dev/null", O_RDONLY);

	for (int i = 100; i < FDS; i += 1 + i % 3)
		cr_assert_eq(dup3(fd, i, i % 2 ? O_CLOEXEC : 0), i);
	agree_with_the_kernel();
}

Test(fdlist, one_of_its_own_is_neither_shown_nor_left, .init = many_descriptors)
{
	unsigned n = read_list();
	int fd = dup(0);

	close(fd);
	cr_assert_eq(seen[fd], 0);
	cr_assert_eq(read_list(), n);
	agree_with_the_kernel();
}

Test(fdlist, what_cannot_be_read, .init = many_descriptors)
{
	unsigned n = 0;

	fault_set(SYS_openat, -EMFILE, 0, -1);
	cr_assert_eq(fdlist_read(see, &n), -EMFILE);
	fault_set(SYS_getdents64, -ENOENT, 0, -1);
	cr_assert_eq(fdlist_read(see, &n), -ENOENT);
	fault_none();
	cr_assert_eq(n, 0);
	agree_with_the_kernel();
}

/* An open file of its own, whichever table it is found in. */
Test(fdlist, opened_anew, .init = many_descriptors)
{
	const long tids[] = {0, gettid()};
	char two[2];
	int fd = memfd_create("fdlist", MFD_CLOEXEC);

	cr_assert_eq(write(fd, "ab", 2), 2);
	for (int i = 0; i < 2; i++) {
		long again = fdlist_open(tids[i], fd, O_RDONLY);

		cr_assert_eq(read((int)again, two, 2), 2);
		cr_assert_eq(memcmp(two, "ab", 2), 0);
		cr_assert_eq(write((int)again, "c", 1), -1);
		cr_assert_eq(close((int)again), 0);
		cr_assert_eq(fdlist_open(tids[i], FDS, O_RDONLY), -ENOENT);
	}
}

/* EACH may close what it is told of. */
static void close_it(int fd, void *arg)
{
	(void)arg;
	if (fd >= 100)
		close(fd);
}

Test(fdlist, closing_while_reading, .init = many_descriptors)
{
	for (int i = 100; i < 1000; i++)
		dup2(0, i);
	for (int i = 0; i < 20; i++)
		fdlist_read(close_it, NULL);
	for (int i = 100; i < 1000; i++)
		cr_assert_eq(fcntl(i, F_GETFD), -1, "%d", i);
}
