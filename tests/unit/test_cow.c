/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a child gets of memory with aliases: its own, at the same addresses,
 * behind the same descriptors, and nothing of it when it is meant to be shared.
 */
#include "test_cow_fixture.h"

#include "base/sys.h"

#include <sys/resource.h>

#define PAGES 16

static char *one;
static char *two;
static int fd;

static void start(void)
{
	cow_started("naming=registry");
}

static void group_of(int of)
{
	fd = of;
	one = shared_map(fd, 0, PAGES, RW);
	two = shared_map(fd, 0, PAGES, RW);
	memset(one, 'p', 3 * PAGE);
}

/* In the child: is it its own, and do the two addresses agree? */
static int own_pages(void)
{
	if (two[0] != 'p' || two[3 * PAGE - 1] != 'p' || two[3 * PAGE])
		return 1;
	one[5] = 'c';
	two[9 * PAGE] = 'd';
	return two[5] == 'c' && one[9 * PAGE] == 'd' ? 0 : 2;
}

static void parent_is_untouched(void)
{
	cr_assert_eq(one[5], 'p');
	cr_assert_eq(two[5], 'p');
	cr_assert_eq(one[9 * PAGE], 0);
	cr_assert_eq(two[0], 'p');
}

static void group_becomes_private(int of)
{
	group_of(of);
	fork_and_see(own_pages);
	parent_is_untouched();
}

Test(cow, a_memfd, .init = start)
{
	group_becomes_private(memfd_of(PAGES, 0));
}

Test(cow, a_memfd_without_descriptor, .init = start)
{
	group_of(memfd_of(PAGES, 0));
	close(fd);
	fork_and_see(own_pages);
	parent_is_untouched();
}

Test(cow, an_unlinked_file_on_tmpfs, .init = start)
{
	group_becomes_private(unlinked_of("/dev/shm", PAGES));
}

Test(cow, an_unlinked_file_on_disk, .init = start)
{
	group_becomes_private(unlinked_of("/tmp", PAGES));
}

Test(cow, shared_anonymous_memory, .init = start)
{
	one = shared_map(-1, 0, PAGES, RW);
	two = alias_map(one, PAGES);
	memset(one, 'p', 3 * PAGE);
	fork_and_see(own_pages);
	parent_is_untouched();
}

static int own_pages_and_grandchild(void)
{
	struct course c = {.child = own_pages};
	int status = forked(&c);

	if (c.nothing || status)
		return 10;
	return two[5] == 'p' && two[9 * PAGE] == 0 ? own_pages() : 11;
}

Test(cow, a_child_of_a_child, .init = start)
{
	group_of(memfd_of(PAGES, 0));
	fork_and_see(own_pages_and_grandchild);
	parent_is_untouched();
}

Test(cow, a_child_of_a_child_of_anonymous_memory, .init = start)
{
	one = shared_map(-1, 0, PAGES, RW);
	two = alias_map(one, PAGES);
	memset(one, 'p', 3 * PAGE);
	fork_and_see(own_pages_and_grandchild);
	parent_is_untouched();
}

/* What it is like ---------------------------------------------------------- */

/* Sealed against being executed: such seals bring all the others elsewhere. */
Test(cow, a_memfd_that_is_not_to_be_executed, .init = start)
{
	group_becomes_private(memfd_of(PAGES, MFD_NOEXEC_SEAL));
}

static int sealed(void)
{
	if (fcntl(fd, F_GET_SEALS) !=
	    (F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL))
		return 20;
	return own_pages();
}

/* The seals come after the child's own mappings that may be written. */
Test(cow, seals)
{
	cow_started("naming=registry,private=test");
	group_of(memfd_of(PAGES, 0));
	cr_assert_eq(fcntl(fd, F_ADD_SEALS,
			   F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL),
		     0);
	fork_and_see(sealed);
	parent_is_untouched();
}

static void grow(void)
{
	cr_assert_eq(ftruncate(fd, 64 * PAGE), 0);
	one[40 * PAGE] = 'p';
}

static int grown(void)
{
	struct stat st;

	if (fstat(fd, &st) || st.st_size != 64 * (off_t)PAGE)
		return 1;
	if (two[40 * PAGE] != 'p')
		return 2;
	two[60 * PAGE] = 'p';
	return one[60 * PAGE] == 'p' ? 0 : 3;
}

Test(cow, it_grows_while_handlers_run, .init = start)
{
	struct course c = {.late = true, .between = grow, .child = grown};

	fd = memfd_of(PAGES, 0);
	one = shared_map(fd, 0, 64, RW);
	two = shared_map(fd, 0, 64, RW);
	cr_assert_eq(forked(&c), 0);
}

static int extended(void)
{
	return two[0] == 'p' && two[10 * PAGE] == 'x' ? 0 : 1;
}

/* Nobody saw it grow, and nobody can be asked any more. */
Test(cow, written_beyond_its_end_and_closed, .init = start)
{
	be_nobody();
	fd = memfd_of(1, 0);
	one = shared_map(fd, 0, PAGES, RW);
	two = shared_map(fd, 0, PAGES, RW);
	one[0] = 'p';
	cr_assert_eq(pwrite(fd, "x", 1, 10 * PAGE), 1);
	close(fd);
	fork_and_see(extended);
}

/* SIGXFSZ is for what the program writes. */
Test(cow, a_limit_on_the_size_of_files, .init = start)
{
	struct rlimit limit = {PAGE, RLIM_INFINITY};

	group_of(memfd_of(PAGES, 0));
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	fork_and_see(own_pages);
	parent_is_untouched();
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(limit.rlim_cur, PAGE);
}

Test(cow, a_limit_that_cannot_be_lifted, .init = start)
{
	struct rlimit limit = {PAGE, PAGE};
	struct course c = {.child = own_pages};

	group_of(memfd_of(PAGES, 0));
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	cr_assert_eq(forked(&c), -ENOMEM);
	parent_is_untouched();
}

static int through_descriptor(void)
{
	char c = 0;

	if (pread(fd, &c, 1, 10 * PAGE) != 1 || c != 'x')
		return 1;
	return lseek(fd, 0, SEEK_CUR) == 7 && two[0] == 'p' ? 0 : 2;
}

/* A descriptor is all that is left, and the file may not be opened again. */
Test(cow, a_file_of_a_user_that_the_process_was, .init = start)
{
	if (geteuid())
		cr_skip("only root can become another");
	group_of(unlinked_of("/tmp", PAGES));
	cr_assert_eq(pwrite(fd, "x", 1, 10 * PAGE), 1);
	cr_assert_eq(lseek(fd, 7, SEEK_SET), 7);
	munmap(one + 8 * PAGE, 8 * PAGE);
	munmap(two + 8 * PAGE, 8 * PAGE);
	be_nobody();
	fork_and_see(through_descriptor);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 7);
}

static int on_disk(void)
{
	return two[0] == 'p' && one[2 * PAGE] == 'p' ? 0 : 1;
}

/* What is not in memory may be in the file. */
Test(cow, pages_that_were_written_back_and_dropped, .init = start)
{
	be_nobody();
	group_of(unlinked_of("/tmp", PAGES));
	msync(one, PAGES * PAGE, MS_SYNC);
	madvise(one, PAGES * PAGE, MADV_DONTNEED);
	madvise(two, PAGES * PAGE, MADV_DONTNEED);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
	fork_and_see(on_disk);
}

static int huge(void)
{
	return one[0] == 'p' && two[0] == 'p' && one[1] == 0 ? 0 : 1;
}

static int huge_and_grandchild(void)
{
	struct course c = {.child = huge};
	int status = forked(&c);

	return c.nothing ? 10 : status ? 11 : 0;
}

/* Written through one address, and copied wherever that is. */
Test(cow, huge_pages, .init = start)
{
	size_t pages = (4 << 20) / PAGE;

	fd = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
	if (fd < 0 || ftruncate(fd, 4 << 20))
		cr_skip("no hugetlbfs");
	if (mmap(NULL, 4 << 20, RW, MAP_SHARED, fd, 0) == MAP_FAILED)
		cr_skip("no huge pages");
	one = shared_map(fd, 0, pages, RW);
	two = shared_map(fd, 0, pages, RW);
	*(one > two ? one : two) = 'p';
	fork_and_see(huge);
	fork_and_see(huge_and_grandchild);
	cr_assert_eq(one[1], 0);
}

/* Which of it ------------------------------------------------------------- */

static uint64_t held(int of)
{
	struct stat st;

	return fstat(of, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static uint64_t held_before;
static unsigned char touched[4096];

static int sparse(void)
{
	for (size_t i = 0; i < sizeof(touched); i++)
		if (touched[i] && (two[i * PAGE + 9] != (char)touched[i] ||
				   one[i * PAGE + 9] != (char)touched[i]))
			return 1;
	if (fd >= 0 && held(fd) != held_before)
		return 2;
	return fd >= 0 && lseek(fd, 0, SEEK_END) !=
				       (off_t)(sizeof(touched) * PAGE)
		       ? 3
		       : 0;
}

static void touch_some(size_t step)
{
	uint64_t state = step;

	for (size_t i = 0; i < sizeof(touched); i += 1 + draw(&state) % step) {
		touched[i] = (unsigned char)(1 + draw(&state) % 255);
		one[i * PAGE + 9] = (char)touched[i];
	}
}

Test(cow, holes_stay_holes, .init = start)
{
	fd = memfd_of(sizeof(touched), 0);
	one = shared_map(fd, 0, sizeof(touched), RW);
	two = shared_map(fd, 0, sizeof(touched), RW);
	for (size_t step = 1000; step; step = step * 2 / 5) {
		touch_some(step);
		held_before = held(fd);
		fork_and_see(sparse);
		cr_assert_eq(held(fd), held_before, "in the parent too");
	}
}

Test(cow, holes_without_a_descriptor, .init = start)
{
	fd = -1;
	be_nobody();
	one = shared_map(-1, 0, sizeof(touched), RW);
	two = alias_map(one, sizeof(touched));
	for (size_t step = 1000; step; step = step * 2 / 5) {
		touch_some(step);
		fork_and_see(sparse);
	}
}

/* As much as one page may be copied, and it is. */
Test(cow, up_to_max_copy)
{
	cow_started("naming=registry,max-copy=4096");
	fd = memfd_of(PAGES, 0);
	one = shared_map(fd, 0, PAGES, RW);
	two = shared_map(fd, 0, PAGES, RW);
	two[7 * PAGE] = 'p';
	fork_and_see(NULL);
}

Test(cow, more_than_max_copy)
{
	struct course c = {.child = own_pages};

	cow_started("naming=registry,max-copy=8K");
	group_of(memfd_of(PAGES, 0));
	cr_assert_eq(forked(&c), -ENOMEM);
	parent_is_untouched();
}

Test(cow, nothing_is_nothing, .init = start)
{
	int once = memfd_of(PAGES, 0);

	fork_as_ever();
	shared_map(once, 0, 4, RW);
	shared_map(once, 4, 4, RW);
	shared_map(-1, 0, 4, RW);
	fork_as_ever();
	group_of(memfd_of(PAGES, 0));
	munmap(one, PAGES * PAGE);
	munmap(two, PAGES * PAGE);
	close(fd);
	fork_as_ever();
	cr_assert_eq(share_groups, 0, "it is forgotten");
}

static int shares(void)
{
	one[5] = 'c';
	return 0;
}

/* Where /proc cannot be read children share, as they ever did. */
Test(cow, without_proc, .init = start)
{
	struct course c = {.child = shares};

	group_of(memfd_of(PAGES, 0));
	fault_set(SYS_openat, -ENOENT, 0, -1);
	cr_assert_eq(forked(&c), 0);
	cr_assert(c.nothing);
	cr_assert_eq(two[5], 'c');
}
