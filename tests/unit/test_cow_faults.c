/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every system call of a copy fails, at every place it is made: the fork is
 * refused with ENOMEM or EAGAIN, or goes on and is right, and of the parent's
 * memory, mappings and descriptors nothing has changed.
 */
#include "test_cow_fixture.h"

#include "base/fdlist.h"
#include "base/procmaps.h"
#include "base/sys.h"

#include <criterion/parameterized.h>

#define PAGES 32
#define GROUPS 4
#define HIDDEN 31 /* a page of the third */
#define PLACES_MOST 500

struct failing {
	long nr;
	int err;
	bool may_share; /* then there is nothing to copy */
};

static struct failing list[] = {
	{SYS_mmap, ENOMEM, false},	   {SYS_mmap, EPERM, false},
	{SYS_mremap, ENOMEM, false},	   {SYS_mprotect, ENOMEM, false},
	{SYS_openat, EMFILE, false},	   {SYS_openat, ENFILE, false},
	{SYS_openat, ENOMEM, false},	   {SYS_openat, EACCES, true},
	{SYS_openat, ENOENT, true},	   {SYS_read, EIO, false},
	{SYS_read, ENOMEM, false},	   {SYS_read, EINTR, false},
	{SYS_getdents64, ENOMEM, false},   {SYS_fcntl, EMFILE, false},
	{SYS_fcntl, ENOMEM, false},	   {SYS_lseek, EIO, false},
	{SYS_kcmp, EPERM, false},	   {SYS_memfd_create, EMFILE, false},
	{SYS_memfd_create, ENOMEM, false}, {SYS_memfd_create, EPERM, false},
	{SYS_memfd_create, EACCES, false}, {SYS_ftruncate, ENOMEM, false},
	{SYS_ftruncate, EFBIG, false},	   {SYS_pwrite64, ENOSPC, false},
	{SYS_pwrite64, ENOMEM, false},	   {SYS_pwrite64, EINTR, false},
	{SYS_pwrite64, EIO, false},	   {SYS_mincore, ENOMEM, false},
	{SYS_mincore, EAGAIN, false},	   {SYS_sysinfo, EFAULT, false},
	{SYS_fstatfs, ENOSYS, false},	   {SYS_newfstatat, ENOENT, false},
	{SYS_userfaultfd, EPERM, false},   {SYS_userfaultfd, ENOMEM, false},
	{SYS_ioctl, EINVAL, false},	   {SYS_ioctl, ENOMEM, false},
	{SYS_prctl, EINVAL, false},	   {SYS_process_vm_readv, EPERM, false},
	{SYS_prlimit64, EPERM, false},
};

/* What there is to copy --------------------------------------------------- */

struct group {
	char *one;
	char *two;
	int fd; /* -1: none */
};

static struct group groups[GROUPS];
static struct course course;

static void fill(const struct group *g, size_t number)
{
	for (size_t i = 0; i < PAGES; i += 3)
		memset(g->one + i * PAGE, (int)(1 + number + i), PAGE);
}

static bool is_filled(const struct group *g, size_t number)
{
	for (size_t i = 0; i < PAGES; i++) {
		char want = i % 3 ? 0 : (char)(1 + number + i);

		if (number == 2 && i == HIDDEN)
			continue;
		if (g->two[i * PAGE] != want ||
		    g->two[i * PAGE + PAGE - 1] != want)
			return false;
	}
	return true;
}

/* One page that no address may be read through. */
static void hide(const struct group *g)
{
	g->one[HIDDEN * PAGE] = 'h';
	cr_assert_eq(mprotect(g->one + HIDDEN * PAGE, PAGE, PROT_NONE), 0);
	cr_assert_eq(mprotect(g->two + HIDDEN * PAGE, PAGE, PROT_NONE), 0);
}

static bool is_hidden(const struct group *g)
{
	if (mprotect(g->two + HIDDEN * PAGE, PAGE, PROT_READ) ||
	    mprotect(g->one + HIDDEN * PAGE, PAGE, RW))
		return false;
	return g->two[HIDDEN * PAGE] == 'h';
}

static void make_groups(void)
{
	groups[0].fd = memfd_of(PAGES, 0);
	groups[1].fd = unlinked_of("/tmp", PAGES);
	groups[2].fd = -1;
	groups[3].fd = memfd_of(1, 0);
	for (size_t i = 0; i < GROUPS; i++) {
		struct group *g = &groups[i];

		g->one = shared_map(g->fd, 0, PAGES, RW);
		g->two = g->fd >= 0 ? shared_map(g->fd, 0, PAGES, RW)
				    : alias_map(g->one, PAGES);
		/* the last grows with nobody seeing it */
		if (i == 3)
			cr_assert_eq(ftruncate(g->fd, PAGES * PAGE), 0);
		fill(g, i);
	}
	hide(&groups[2]);
	close(groups[3].fd);
	groups[3].fd = -1;
	dup(groups[0].fd);
	lseek(groups[0].fd, 99, SEEK_SET);
}

/* The child's verdict. */
static int own_groups(void)
{
	struct stat now;

	if (course.nothing)
		return 0;
	for (size_t i = 0; i < GROUPS; i++) {
		const struct group *g = &groups[i];

		if (!is_filled(g, i))
			return 10 + (int)i;
		if (i == 2 && !is_hidden(g))
			return 15;
		memset(g->one, 0xcc, PAGES * PAGE);
		if ((unsigned char)g->two[PAGE] != 0xcc)
			return 20 + (int)i;
		if (g->fd < 0)
			continue;
		if (fstat(g->fd, &now) ||
		    lseek(g->fd, 0, SEEK_CUR) != (off_t)(i ? 0 : 99))
			return 30 + (int)i;
		if (pwrite(g->fd, "x", 1, 5) != 1 || g->two[5] != 'x')
			return 40 + (int)i;
	}
	return 0;
}

/* What there is of the parent --------------------------------------------- */

struct census {
	uint64_t descriptors;
	uint64_t mappings;
	unsigned open;
	unsigned mapped;
};

static uint64_t mix(uint64_t sum, uint64_t value)
{
	uint64_t state = sum ^ value;

	return draw(&state);
}

static void count_fd(int fd, void *arg)
{
	struct census *c = arg;
	struct stat st;
	uint64_t sum = (uint64_t)fd;

	cr_assert_eq(fstat(fd, &st), 0);
	sum = mix(sum, st.st_dev);
	sum = mix(sum, st.st_ino);
	sum = mix(sum, (uint64_t)st.st_size);
	sum = mix(sum, (uint64_t)fcntl(fd, F_GETFL));
	sum = mix(sum, (uint64_t)fcntl(fd, F_GETFD));
	if (S_ISREG(st.st_mode))
		sum = mix(sum, (uint64_t)lseek(fd, 0, SEEK_CUR));
	c->descriptors += sum;
	c->open++;
}

static void count_map(const struct procmap_vma *vma, void *arg)
{
	struct census *c = arg;
	uint64_t sum = mix(vma->start, vma->inode);

	if (!strcmp(vma->name, "[stack]"))
		return;
	sum = mix(sum, vma->end);
	sum = mix(sum, vma->offset);
	sum = mix(sum, (uint64_t)vma->writable * 4 + vma->readable * 2U +
			       vma->executable);
	c->mappings += sum;
	c->mapped++;
}

static struct census census_now(void)
{
	struct census c = {0};

	cr_assert_eq(fdlist_read(count_fd, &c), 0);
	cr_assert_eq(procmaps_read(count_map, &c), 0);
	return c;
}

static void expect_same(const struct census *was, const struct failing *f,
			unsigned pass)
{
	struct census now = census_now();

	cr_assert_eq(now.open, was->open, "call %ld errno %d pass %u: %u of %u",
		     f->nr, f->err, pass, now.open, was->open);
	cr_assert_eq(now.descriptors, was->descriptors,
		     "call %ld errno %d pass %u", f->nr, f->err, pass);
	cr_assert_eq(now.mapped, was->mapped,
		     "call %ld errno %d pass %u: %u of %u", f->nr, f->err, pass,
		     now.mapped, was->mapped);
	cr_assert_eq(now.mappings, was->mappings, "call %ld errno %d pass %u",
		     f->nr, f->err, pass);
	for (size_t i = 0; i < GROUPS; i++)
		cr_assert(is_filled(&groups[i], i),
			  "call %ld pass %u group %zu", f->nr, pass, i);
}

/* ------------------------------------------------------------------------- */

static void start(void)
{
	cow_started("naming=registry,log=/dev/null");
	make_groups();
	course.child = own_groups;
}

static void start_as_nobody(void)
{
	be_nobody();
	start();
}

static void expect_result(int result, const struct failing *f, unsigned pass)
{
	cr_assert(result == 0 || result == -ENOMEM || result == -EAGAIN,
		  "call %ld errno %d pass %u late %d: %d (%#x)", f->nr, f->err,
		  pass, course.late, result, (unsigned)result);
	cr_assert(!course.nothing || result || f->may_share,
		  "call %ld errno %d pass %u", f->nr, f->err, pass);
}

/* Once or for ever from each place on; returns places. */
static unsigned fail_everywhere(const struct failing *f, int times)
{
	unsigned pass;

	for (pass = 0; pass < PLACES_MOST; pass++) {
		struct census was = census_now();

		fault_set(f->nr, -f->err, pass, times);
		expect_result(forked(&course), f, pass);
		expect_same(&was, f, pass);
		if (fault_count() <= pass)
			break;
	}
	return pass;
}

static void every_place(const struct failing *f)
{
	static const struct failing none;
	struct census was;

	/* what there is to be said is said, what is kept is there */
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(forked(&course), 0);
		course.late = !course.late;
	}
	was = census_now();
	cr_assert_eq(forked(&course), 0);
	expect_same(&was, &none, 0);
	for (int late = 0; late < 2; late++) {
		course.late = late;
		cr_assert_lt(fail_everywhere(f, 1), (unsigned)PLACES_MOST);
		if (f->err != EINTR)
			fail_everywhere(f, -1);
	}
}

#define LIST                                      \
	cr_make_param_array(struct failing, list, \
			    sizeof(list) / sizeof(list[0]))

ParameterizedTestParameters(cow_faults, every_call_everywhere)
{
	return LIST;
}

ParameterizedTest(struct failing *f, cow_faults, every_call_everywhere,
		  .init = start, .timeout = 120)
{
	every_place(f);
}

/* Who may neither open what is mapped nor hold writers. */
ParameterizedTestParameters(cow_faults, every_call_of_nobody)
{
	return LIST;
}

ParameterizedTest(struct failing *f, cow_faults, every_call_of_nobody,
		  .init = start_as_nobody, .timeout = 120)
{
	every_place(f);
}

/* The test is one: each of the calls is made, but for what root need not. */
Test(cow_faults, the_calls_are_made, .init = start_as_nobody)
{
	static const long nrs[] = {
		SYS_mmap,	SYS_openat,	  SYS_read,
		SYS_getdents64, SYS_fcntl,	  SYS_lseek,
		SYS_kcmp,	SYS_memfd_create, SYS_pwrite64,
		SYS_mincore,	SYS_sysinfo,	  SYS_ftruncate,
		SYS_fstatfs,	SYS_newfstatat,	  SYS_prlimit64,
		SYS_prctl,	SYS_userfaultfd,
	};

	for (size_t i = 0; i < sizeof(nrs) / sizeof(nrs[0]); i++) {
		fault_set(nrs[i], 0, UINT32_MAX, 0);
		cr_assert_eq(forked(&course), 0);
		cr_assert_gt(fault_count(), 0, "%ld", nrs[i]);
	}
}
