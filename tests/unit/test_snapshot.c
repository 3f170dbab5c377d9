/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every system call that snapshots make fails, at every place where it is made:
 * what was asked for is done, or refused with ENOMEM or EPERM, and memory, the
 * snapshots that there are, mappings and descriptors are what they were.
 */
#include "test_cow_fixture.h"

#include "base/fdlist.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "base/thread.h"
#include "cow/engine.h"
#include "cow/snapshot.h"

#include <criterion/parameterized.h>

#define PAGES ((size_t)16)
#define BYTES (PAGES * PAGE)
#define PLACES_MOST 200

/* Memory at two addresses, and a snapshot of it as it was. */
static struct {
	char *one;
	char *two;
	uint32_t object;
	snapshot_id base;
} w;

static void lock(void)
{
	guard_enter();
	cr_assert(region_lock_take());
}

static void unlock(void)
{
	region_lock_drop();
	guard_leave();
}

static uint32_t object_at(const char *p)
{
	const struct share *s = share_at_or_above((uintptr_t)p);

	cr_assert(s && s->start == (uintptr_t)p);
	return s->object;
}

static int take(snapshot_id *id)
{
	int result;

	lock();
	result = snapshot_take(w.object, BYTES, -1, id);
	unlock();
	return result;
}

static int release(snapshot_id id)
{
	int result;

	lock();
	result = snapshot_release(id);
	unlock();
	return result;
}

/* As the public function makes one; its memory is there already. */
static int view_in(snapshot_id id, char *p)
{
	int result;

	lock();
	result = snapshot_view(id, object_at(p), p);
	unlock();
	return result;
}

static char *view(snapshot_id id)
{
	char *p = shared_map(-1, 0, PAGES, RW);

	cr_assert_eq(view_in(id, p), 0);
	return p;
}

static void unmap(char *p)
{
	cr_assert_eq(track_munmap(p, BYTES), 0);
}

static char was(size_t page)
{
	return (char)(page % 5 ? 'a' + page : 0);
}

static char is_now(size_t page)
{
	return page % 3 ? was(page) : (char)('A' + page);
}

static void expect_base(void)
{
	char *v = view(w.base);

	for (size_t i = 0; i < PAGES; i++) {
		cr_assert_eq(v[i * PAGE], was(i), "page %zu", i);
		cr_assert_eq(v[i * PAGE + PAGE - 1], was(i), "page %zu", i);
	}
	unmap(v);
}

static void expect_now(void)
{
	for (size_t i = 0; i < PAGES; i++) {
		cr_assert_eq(w.one[i * PAGE], is_now(i), "page %zu", i);
		cr_assert_eq(w.two[i * PAGE], is_now(i), "page %zu", i);
	}
}

static void start(void)
{
	int fd;

	cow_started("naming=registry,log=/dev/null");
	fd = memfd_of(PAGES, 0);
	w.one = shared_map(fd, 0, PAGES, RW);
	w.two = shared_map(fd, 0, PAGES, RW);
	close(fd);
	w.object = object_at(w.one);
	for (size_t i = 0; i < PAGES; i++)
		if (was(i))
			memset(w.one + i * PAGE, was(i), PAGE);
	fd = take(&w.base);
	if (fd == -EPERM)
		cr_skip_test("userfaultfd is not permitted");
	cr_assert_eq(fd, 0);
	for (size_t i = 0; i < PAGES; i += 3)
		memset(w.two + i * PAGE, is_now(i), PAGE);
}

/* What the process has open and mapped ------------------------------------- */

struct census {
	unsigned open;
	unsigned mapped;
	uint64_t bytes;
};

static void count_fd(int fd, void *arg)
{
	(void)fd;
	((struct census *)arg)->open++;
}

static void count_map(const struct procmap_vma *vma, void *arg)
{
	struct census *c = arg;

	if (!strcmp(vma->name, "[stack]"))
		return;
	c->mapped++;
	c->bytes += vma->end - vma->start;
}

static struct census census_now(void)
{
	struct census c = {0};

	cr_assert_eq(fdlist_read(count_fd, &c), 0);
	cr_assert_eq(procmaps_read(count_map, &c), 0);
	return c;
}

/* ------------------------------------------------------------------------- */

/* What is done while a call fails. */
static int op_take(void)
{
	snapshot_id id = 0;
	int result = take(&id);

	if (!result) {
		fault_none();
		cr_assert_eq(release(id), 0);
	}
	return result;
}

static char *room;

static int op_view(void)
{
	int result = view_in(w.base, room);

	fault_none();
	for (size_t i = 0; !result && i < PAGES; i++)
		cr_assert_eq(room[i * PAGE], was(i), "page %zu", i);
	unmap(room);
	room = shared_map(-1, 0, PAGES, RW);
	return result;
}

static int op_release(void)
{
	snapshot_id id;
	int result;

	cr_assert_eq(take(&id), 0);
	result = release(id);
	if (result) {
		fault_none();
		cr_assert_eq(release(id), 0);
	}
	return result;
}

/* A process that changes what it is; failing, it has all copied. */
static int op_resume(void)
{
	lock();
	snapshot_suspend();
	snapshot_resume();
	unlock();
	return 0;
}

static void ignore(uint64_t offset, uint64_t len, void *arg)
{
	(void)offset;
	(void)len;
	(void)arg;
}

static int op_changes(void)
{
	int result;

	lock();
	result = snapshot_changes(w.base, 0, 0, ignore, NULL);
	unlock();
	return result;
}

static int op_watch(void)
{
	int result;
	int fd;

	lock();
	result = snapshot_watch(w.object, &fd);
	unlock();
	if (!result)
		close(fd);
	return result;
}

static int op_preserve(void)
{
	int result;

	lock();
	result = snapshot_preserve(w.object, 0, BYTES, false);
	unlock();
	return result;
}

static int (*const ops[])(void) = {op_take,    op_view,	 op_resume,
				   op_changes, op_watch, op_preserve};

struct failing {
	long nr;
	int err;
};

static struct failing list[] = {
	{SYS_mmap, ENOMEM},	   {SYS_mremap, ENOMEM},
	{SYS_mprotect, ENOMEM},	   {SYS_madvise, ENOMEM},
	{SYS_userfaultfd, EPERM},  {SYS_userfaultfd, EMFILE},
	{SYS_userfaultfd, ENOMEM}, {SYS_ioctl, ENOMEM},
	{SYS_clone, EAGAIN},	   {SYS_openat, EMFILE},
	{SYS_openat, ENOENT},	   {SYS_pipe2, EMFILE},
	{SYS_mincore, ENOMEM},	   {SYS_munlock, ENOMEM},
	{SYS_close_range, ENOSYS},
};

static void expect_all(const struct census *before, const struct failing *f,
		       size_t op, unsigned pass)
{
	struct census now;

	expect_now();
	expect_base();
	now = census_now();
	cr_assert_eq(now.open, before->open, "call %ld op %zu pass %u: %u open",
		     f->nr, op, pass, now.open);
	cr_assert_leq(now.mapped, before->mapped + 2, "call %ld op %zu pass %u",
		      f->nr, op, pass);
}

static unsigned calls_of(long nr, size_t op)
{
	unsigned n;

	fault_set(nr, 0, UINT32_MAX, 0);
	cr_assert_eq(ops[op](), 0);
	n = fault_count();
	fault_none();
	return n;
}

/* To wake who waits cannot fail, and that is what the engine does last; where
 * it is ended first, that call is the second. */
static bool wakes(const struct failing *f, size_t op, unsigned calls,
		  unsigned pass)
{
	return f->nr == SYS_ioctl &&
	       pass + 1 == (ops[op] == op_resume ? 2 : calls);
}

static void every_place(const struct failing *f, size_t op)
{
	struct census before;
	unsigned calls;
	snapshot_id id;

	cr_assert_eq(ops[op](), 0); /* what is made once is made now */
	calls = calls_of(f->nr, op);
	cr_assert_eq(take(&id), 0);
	cr_assert_eq(release(id), 0);
	before = census_now();
	for (unsigned pass = 0; pass < PLACES_MOST; pass++) {
		unsigned seen;
		int result;

		if (wakes(f, op, calls, pass))
			continue;
		fault_set(f->nr, -f->err, pass, 1);
		result = ops[op]();
		seen = fault_count();
		fault_none();
		cr_assert(!result || result == -ENOMEM || result == -EPERM,
			  "call %ld errno %d op %zu pass %u: %d", f->nr, f->err,
			  op, pass, result);
		cr_assert_eq(take(&id), 0, "call %ld op %zu pass %u", f->nr, op,
			     pass);
		cr_assert_eq(snapshot_sums().snapshots, 2,
			     "call %ld op %zu pass %u", f->nr, op, pass);
		cr_assert_eq(release(id), 0);
		expect_all(&before, f, op, pass);
		if (seen <= pass)
			return;
	}
	cr_assert_fail("call %ld: too many places", f->nr);
}

ParameterizedTestParameters(snapshot, every_call_everywhere)
{
	return cr_make_param_array(struct failing, list,
				   sizeof(list) / sizeof(list[0]));
}

ParameterizedTest(struct failing *f, snapshot, every_call_everywhere,
		  .init = start, .timeout = 60)
{
	room = shared_map(-1, 0, PAGES, RW);
	for (size_t op = 0; op < sizeof(ops) / sizeof(ops[0]); op++)
		every_place(f, op);
}

/* The engine, stopped and started ------------------------------------------ */

Test(snapshot, the_engine_stops_and_starts, .init = start, .timeout = 20)
{
	char *v = view(w.base);

	for (int i = 0; i < 50; i++) {
		snapshot_id id;

		lock();
		snapshot_suspend();
		cr_assert_lt(engine_uffd, 0);
		snapshot_resume();
		cr_assert_geq(engine_uffd, 0);
		unlock();
		expect_base();
		cr_assert_eq(take(&id), 0);
		w.one[PAGE] ^= 1; /* noticed */
		cr_assert_gt(snapshot_sums().saved_pages, 0);
		w.one[PAGE] ^= 1;
		cr_assert_eq(release(id), 0);
		expect_now();
		cr_assert_eq(v[(size_t)i % PAGES * PAGE],
			     was((size_t)i % PAGES));
	}
	unmap(v);
	cr_assert_eq(release(w.base), 0);
	cr_assert_eq(snapshot_sums().snapshots, 0);
	cr_assert_eq(snapshot_sums().saved_pages, 0);
}

static bool no_userfaultfd(long nr, long *result)
{
	if (nr != SYS_userfaultfd && nr != SYS_openat) /* of its device */
		return false;
	*result = -EPERM;
	return true;
}

/* From here on nothing is watched: all is copied, and reads as it did. */
Test(snapshot, the_engine_ends, .init = start, .timeout = 20)
{
	char *v = view(w.base);
	snapshot_id id;

	lock();
	snapshot_end();
	unlock();
	memset(w.one, 'x', BYTES);
	for (size_t i = 0; i < PAGES; i++)
		cr_assert_eq(v[i * PAGE], was(i), "page %zu", i);
	sys_hook = no_userfaultfd;
	expect_base();
	cr_assert_eq(take(&id), -EPERM);
	fault_none();
	cr_assert_eq(take(&id), 0);
	memset(w.two, 'y', BYTES);
	unmap(v);
	v = view(id);
	for (size_t i = 0; i < PAGES; i++)
		cr_assert_eq(v[i * PAGE], 'x', "page %zu", i);
	expect_base();
}

Test(snapshot, a_child_that_nobody_prepared, .init = start, .timeout = 20)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		snapshot_id id;

		alarm(10);
		lock();
		snapshot_lost();
		unlock();
		_exit(take(&id) != -EPERM || release(w.base) != -EINVAL);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert_eq(status, 0);
	expect_base();
}

Test(snapshot, what_is_none, .init = start, .timeout = 20)
{
	lock();
	cr_assert_eq(snapshot_release(0), -EINVAL);
	cr_assert_eq(snapshot_release(w.base + 1), -EINVAL);
	cr_assert_eq(snapshot_release(w.base ^ UINT64_C(1) << 40), -EINVAL);
	cr_assert_eq(snapshot_bytes(w.base), BYTES);
	cr_assert_eq(snapshot_bytes(0), 0);
	cr_assert_eq(snapshot_changes(w.base, 1, 0, ignore, NULL), -EINVAL);
	unlock();
	cr_assert_eq(op_release(), 0);
}
