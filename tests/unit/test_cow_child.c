/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a child sees of a copy beside its pages: descriptors, protection,
 * mappings that it did not get; and what other threads may do meanwhile.
 */
#include "../asleep.h"
#include "test_cow_fixture.h"

#include "base/procmaps.h"
#include "base/sys.h"

#include <pthread.h>

#define PAGES 64
#define FDS 8

static char *one;
static char *two;
static int fd;

static void start(void)
{
	cow_started("naming=registry");
	fd = memfd_of(PAGES, 0);
	one = shared_map(fd, 0, PAGES, RW);
	two = shared_map(fd, 0, PAGES, RW);
	one[0] = 'p';
}

/* Descriptors -------------------------------------------------------------- */

static int fds[FDS];
static struct stat before[FDS];
static int flags[FDS];
static int own[FDS];
static off_t offset[FDS];

static int reopened(int how)
{
	char path[64];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, how);
	cr_assert_geq(again, 0);
	return again;
}

static void descriptors(void)
{
	fds[0] = fd;
	fds[1] = dup(fd);
	fds[2] = reopened(O_RDONLY);
	fds[3] = reopened(O_WRONLY | O_APPEND);
	fds[4] = fcntl(fd, F_DUPFD_CLOEXEC, 500);
	fds[5] = reopened(O_RDWR | O_CLOEXEC);
	fds[6] = reopened(O_PATH);
	fds[7] = memfd_of(1, 0); /* of another object */
	lseek(fd, 123, SEEK_SET);
	lseek(fds[2], 77, SEEK_SET);
	lseek(fds[5], 123, SEEK_SET); /* as fd's, and not the same */
	for (int i = 0; i < FDS; i++) {
		cr_assert_eq(fstat(fds[i], &before[i]), 0);
		flags[i] = fcntl(fds[i], F_GETFL);
		own[i] = fcntl(fds[i], F_GETFD);
		offset[i] = lseek(fds[i], 0, SEEK_CUR);
	}
}

static int one_descriptor(int i)
{
	struct stat now;

	if (fstat(fds[i], &now) || fcntl(fds[i], F_GETFD) != own[i] ||
	    fcntl(fds[i], F_GETFL) != flags[i] ||
	    lseek(fds[i], 0, SEEK_CUR) != offset[i])
		return 10 + i;
	if ((now.st_ino == before[i].st_ino) != (i == 7))
		return 20 + i;
	return now.st_size == before[i].st_size ? 0 : 30 + i;
}

static int all_descriptors(void)
{
	char c = 0;

	for (int i = 0; i < FDS; i++)
		if (one_descriptor(i))
			return one_descriptor(i);
	lseek(fd, 200, SEEK_SET);
	if (lseek(fds[1], 0, SEEK_CUR) != 200 ||
	    lseek(fds[4], 0, SEEK_CUR) != 200 ||
	    lseek(fds[5], 0, SEEK_CUR) != 123)
		return 40;
	if (pwrite(fds[5], "w", 1, 5) != 1 || one[5] != 'w')
		return 41;
	two[6] = 'm';
	return pread(fds[2], &c, 1, 6) == 1 && c == 'm' ? 0 : 42;
}

Test(cow_child, descriptors_lead_to_the_copy, .init = start)
{
	descriptors();
	fork_and_see(all_descriptors);
	cr_assert_eq(lseek(fd, 0, SEEK_CUR), 123);
	cr_assert(one[5] == 0 && one[6] == 0);
}

static unsigned open_now(void)
{
	unsigned n = 0;

	for (int i = 0; i < 1024; i++)
		n += fcntl(i, F_GETFD) >= 0;
	return n;
}

static unsigned open_before;

static int none_more(void)
{
	return open_now() == open_before ? 0 : 1;
}

Test(cow_child, no_descriptor_is_left_in_either, .init = start)
{
	struct course c = {.late = true, .child = none_more};

	descriptors();
	open_before = open_now();
	for (int i = 0; i < 5; i++)
		fork_and_see(none_more);
	cr_assert_eq(forked(&c), 0);
	cr_assert_eq(open_now(), open_before);
}

static void close_and_open(void)
{
	close(fds[2]);
	cr_assert_eq(dup2(fds[7], fds[1]), fds[1]);
}

static int closed_stays_closed(void)
{
	struct stat now;

	if (fcntl(fds[2], F_GETFD) != -1)
		return 1;
	return fstat(fds[1], &now) || now.st_ino != before[7].st_ino ? 2 : 0;
}

/* By another thread, when all had been found. */
Test(cow_child, what_became_of_a_descriptor_counts, .init = start)
{
	struct course c = {.frozen = close_and_open,
			   .child = closed_stays_closed};

	descriptors();
	cr_assert_eq(forked(&c), 0);
}

/* Mappings ----------------------------------------------------------------- */

#define LINES_MOST 64

struct line {
	uintptr_t start;
	uintptr_t end;
	uint64_t offset;
	unsigned prot;
};

struct lines {
	size_t n;
	struct line at[LINES_MOST];
};

static struct lines lines_before;

static void shared_line(const struct procmap_vma *vma, void *arg)
{
	struct lines *l = arg;

	if (!vma->shared || l->n == LINES_MOST)
		return;
	l->at[l->n++] = (struct line){
		vma->start,
		vma->end,
		vma->offset,
		(vma->readable ? PROT_READ : 0U) |
			(vma->writable ? PROT_WRITE : 0U) |
			(vma->executable ? PROT_EXEC : 0U),
	};
}

static struct lines lines_now(void)
{
	struct lines l;

	memset(&l, 0, sizeof(l));
	procmaps_read(shared_line, &l);
	return l;
}

static int same_lines(void)
{
	struct lines now = lines_now();

	return memcmp(&now, &lines_before, sizeof(now)) ? 1 : 0;
}

Test(cow_child, every_mapping_is_as_it_was, .init = start)
{
	mprotect(one + 3 * PAGE, PAGE, PROT_NONE);
	mprotect(one + 5 * PAGE, 2 * PAGE, PROT_READ);
	mprotect(two + 20 * PAGE, 4 * PAGE, PROT_READ | PROT_EXEC);
	munmap(two + 30 * PAGE, PAGE);
	shared_map(fd, 9, 1, PROT_NONE);
	shared_map(fd, 10, 3, PROT_EXEC);
	lines_before = lines_now();
	cr_assert_gt(lines_before.n, 8);
	fork_and_see(same_lines);
	lines_before.n = 0;
}

static int hidden(void)
{
	mprotect(one, PAGES * PAGE, PROT_READ);
	return one[7 * PAGE] == 'h' && one[0] == 'p' ? 0 : 1;
}

/* What no address may be read through is copied nevertheless. */
Test(cow_child, memory_that_nobody_may_read)
{
	cow_started("naming=registry");
	be_nobody();
	one = shared_map(-1, 0, PAGES, RW);
	two = alias_map(one, PAGES);
	one[0] = 'p';
	one[7 * PAGE] = 'h';
	mprotect(one, PAGES * PAGE, PROT_NONE);
	mprotect(two, PAGES * PAGE, PROT_NONE);
	fork_and_see(hidden);
	mprotect(one, PAGES * PAGE, PROT_READ);
	cr_assert_eq(one[0], 'p');
}

static int not_there(void)
{
	const struct share *s;
	unsigned char in;

	if (!mincore(two, PAGE, &in) || errno != ENOMEM)
		return 1;
	s = share_at_or_above((uintptr_t)two);
	return one[0] == 'p' && (!s || s->start != (uintptr_t)two) ? 0 : 2;
}

Test(cow_child, what_a_child_is_not_to_have_it_has_not, .init = start)
{
	madvise(two, PAGES * PAGE, MADV_DONTFORK);
	fork_and_see(not_there);
}

/* Failures in the child ---------------------------------------------------- */

static long failing;
static unsigned passed;

static void fail_in_child(void)
{
	dup2(open("/dev/null", O_WRONLY), 2);
	fault_set(failing, -ENOMEM, passed, -1);
}

/* It ends before it has run with half of a copy. */
static void child_ends(long nr, unsigned steps)
{
	struct course c = {.born = fail_in_child};

	failing = nr;
	for (passed = 0; passed < steps; passed++)
		cr_assert_eq(forked(&c), 127 << 8, "%u", passed);
	cr_assert_eq(forked(&c), 0, "that were all");
}

Test(cow_child, no_memory_in_the_child, .init = start)
{
	descriptors();
	child_ends(SYS_mmap, 2);
	child_ends(SYS_dup3, 7);
}

static int unreached(void)
{
	return 99;
}

/* The map's lock could not be had. */
Test(cow_child, a_plan_that_was_not_carried_out, .init = start)
{
	struct cow_plan *plan;
	int status;
	pid_t pid;

	guard_enter();
	cr_assert_eq(cow_reserve(&plan, true), 0);
	cr_assert_eq(cow_freeze(plan, false), -EAGAIN);
	cr_assert_eq(cow_error(plan), -EAGAIN);
	pid = fork();
	if (!pid) {
		cow_child(plan);
		_exit(unreached());
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 127 << 8);
	cow_parent(plan);
	cow_free(plan);
	guard_leave();
}

/* Other threads ------------------------------------------------------------ */

#define ORDERED 4096 /* pages, for the copy to take a while */

static volatile bool stop;

/* The first never lags behind the last by more than one. */
static void *write_in_order(void *arg)
{
	uint64_t *first = (uint64_t *)one;
	uint64_t *last = (uint64_t *)(two + (ORDERED - 1) * PAGE);

	for (uint64_t i = 1; !stop; i++) {
		__atomic_store_n(first, i, __ATOMIC_RELEASE);
		__atomic_store_n(last, i, __ATOMIC_RELEASE);
	}
	return arg;
}

static int in_order(void)
{
	uint64_t first = *(uint64_t *)two;
	uint64_t last = *(uint64_t *)(one + (ORDERED - 1) * PAGE);

	return first == last || first == last + 1 ? 0 : 1;
}

static bool writers_can_be_held(void)
{
	long uffd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (uffd >= 0)
		close((int)uffd);
	return uffd >= 0;
}

Test(cow_child, writers_are_held, .init = start, .timeout = 60)
{
	struct course c = {.late = true, .child = in_order};
	pthread_t writer;
	uint64_t at;

	if (!writers_can_be_held())
		cr_skip("no userfaultfd");
	fd = memfd_of(ORDERED, 0);
	one = shared_map(fd, 0, ORDERED, RW);
	two = shared_map(fd, 0, ORDERED, RW);
	memset(one, 0, ORDERED * PAGE);
	pthread_create(&writer, NULL, write_in_order, NULL);
	for (int i = 0; i < 30; i++) {
		cr_assert_eq(forked(&c), 0);
		at = *(volatile uint64_t *)one;
		while (*(volatile uint64_t *)one == at)
			sched_yield(); /* it goes on */
	}
	stop = true;
	pthread_join(writer, NULL);
}

static volatile bool written;
static volatile pid_t descriptor_writer;

static void *write_by_descriptor(void *arg)
{
	descriptor_writer = gettid();
	written = cow_write(SYS_pwrite64, fd, (long)"w", 1, 5) == 1;
	return arg;
}

/* Another's plan that comes to nothing meanwhile lets nobody go on. */
Test(cow_child, writes_by_descriptor_wait, .init = start, .timeout = 60)
{
	struct cow_plan *plan;
	struct cow_plan *other;
	pthread_t writer;

	guard_enter();
	life_fork_prepare();
	cr_assert_eq(cow_reserve_locked(&plan, true), 0);
	cr_assert_eq(cow_reserve_locked(&other, true), 0);
	pthread_create(&writer, NULL, write_by_descriptor, NULL);
	pthread_join(writer, NULL);
	cr_assert(written);
	written = false;
	descriptor_writer = 0;
	cr_assert_eq(cow_freeze(plan, true), 0);
	cow_free(other);
	pthread_create(&writer, NULL, write_by_descriptor, NULL);
	while (!descriptor_writer)
		sched_yield();
	await_asleep(descriptor_writer);
	cr_assert(!written);
	cow_parent(plan);
	pthread_join(writer, NULL);
	cr_assert(written);
	cow_free(plan);
	life_fork_parent();
	guard_leave();
}
