/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_keep WHICH: whatever becomes of the process, snapshots and views are
 * what they were.
 *
 *	deep	snapshots of snapshots, 100 deep, each written by itself
 *	over	another object is moved over a part of the memory
 *	gone	the memory is unmapped, moved, given another protection
 *	forks	children, and theirs, and what the parent does meanwhile
 *	locked	memory is locked when it is mapped (mlockall)
 *	user	another user, who may not see writes (as root)
 *	sandbox	a filter of system calls
 *	chroot	no /proc
 *	holes	views of which pages were taken away
 *	grows	memory that has become larger
 *	queue	mq_notify(3) goes on
 *	all	mlockall(2)
 *	many	views of as many snapshots, and a fork
 *	share	a view that a child shares, on purpose or for CLONE_FILES
 *	twice	a snapshot is released again, while a view needs it
 */
#include "snapshot_help.h"

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define TWIN_PAGES 32UL
#define DEEP 100
#define NOBODY 65534
#define DESCRIPTORS 1024
#define VIEWS 2500UL
#define WRITTEN 7 /* one in so many is written to */

static struct twin twin;
static uint64_t id;

static void see_view(volatile uint64_t *v, uint64_t value, const char *what)
{
	for (size_t i = 0; i < TWIN_PAGES; i++)
		if (v[i * WORDS] != value + i ||
		    v[i * WORDS + WORDS - 1] != value + i)
			wrong("%s: page %zu is %#lx, not %#lx", what, i,
			      v[i * WORDS], value + i);
}

/* Of the memory as it is BEFORE; it goes on. */
static void begin(void)
{
	memory_make(&twin, TWIN_PAGES, KIND_REGION);
	twin_before(&twin);
	id = take(twin.two);
}

/* ---- deep ---- */

/* Level D sees pages D and above as level D - 1 did, and wrote page D - 1. */
static void deep(void)
{
	static volatile uint64_t *v[DEEP + 1], *other[DEEP + 1];
	uint64_t ids[DEEP + 1];
	size_t pages = DEEP + 20;
	void *alias;

	memory_make(&twin, pages, KIND_MEMFD);
	twin_before(&twin);
	v[0] = twin.one;
	other[0] = twin.two;
	for (size_t d = 1; d <= DEEP; d++) {
		ids[d] = take(other[d - 1]);
		v[d] = view(ids[d]);
		alias = NULL;
		CHECK(!anonshim_region_alias((void *)v[d], 0, 0, RW, &alias));
		other[d] = alias;
		page_put(d & 1 ? v[d] : other[d], d - 1, d);
		v[d - 1][d * WORDS + 7] = 5; /* the next one does not see it */
		if (d & 1)
			CHECK(!anonshim_snapshot_release(ids[d]));
	}
	for (size_t d = DEEP; d; d--)
		for (size_t i = 0; i < pages; i++) {
			uint64_t want = i < d ? i + 1 : VALUE_BEFORE + i;

			if (i == d && d < DEEP)
				CHECK(v[d][i * WORDS] == want);
			if (v[d][i * WORDS] != want ||
			    other[d][i * WORDS + WORDS - 1] != want)
				wrong("level %zu page %zu: %#lx, not %#lx", d,
				      i, v[d][i * WORDS], want);
		}
	for (size_t d = 1; d <= DEEP; d++) {
		if (!(d & 1))
			CHECK(!anonshim_snapshot_release(ids[d]));
		view_end(v[d]);
	}
	nothing_is_held();
}

/* ---- what the program does to its memory ---- */

static void gone(void)
{
	volatile uint64_t *v, *w;
	uint64_t second;
	void *p;

	begin();
	v = view(id);
	(void)v[0];
	p = mremap((void *)twin.one, TWIN_PAGES * PAGE, TWIN_PAGES * PAGE,
		   MREMAP_MAYMOVE | MREMAP_FIXED,
		   mmap(NULL, TWIN_PAGES * PAGE, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(p != MAP_FAILED);
	twin.one = p;
	twin.one[5 * WORDS] = 1;
	second = take(p);
	CHECK(!munmap((void *)(twin.two + 8 * WORDS), 4 * PAGE));
	twin.one[9 * WORDS] = 2;
	CHECK(!anonshim_region_protect(p, 0, 0, PROT_NONE));
	w = view(second);
	CHECK(w[5 * WORDS] == 1 && w[9 * WORDS] == VALUE_BEFORE + 9);
	CHECK(!anonshim_region_destroy(p));
	CHECK(!close(twin.fd));
	see_view(v, VALUE_BEFORE, "a view of what is gone");
	CHECK(w[6 * WORDS] == VALUE_BEFORE + 6);
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot of it");
	CHECK(!anonshim_snapshot_release(second));
	CHECK(!anonshim_snapshot_release(id));
	see_view(v, VALUE_BEFORE, "a view of what is gone");
	view_end(v);
	view_end(w);
	nothing_is_held();
}

/* What another object, which moves there and grows, is mapped over. */
static void over(void)
{
	size_t half = TWIN_PAGES / 2;
	struct twin other;
	void *at;

	memory_make(&twin, TWIN_PAGES, KIND_MEMFD);
	memory_make(&other, half, KIND_MEMFD);
	twin_before(&twin);
	twin_write(other.one, half, VALUE_CHILD);
	at = (void *)twin.one;
	id = take(twin.one);
	take(other.one);
	CHECK(!munmap((void *)(other.one + half / 2 * WORDS), half / 2 * PAGE));
	CHECK(mremap((void *)other.one, half / 2 * PAGE, half * PAGE,
		     MREMAP_MAYMOVE | MREMAP_FIXED, at) == at);
	CHECK(!munmap((void *)twin.two, TWIN_PAGES * PAGE));
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
}

/* ---- forks ---- */

static void *alias_of_kept; /* of a view that children do not get */

static void child_run(volatile uint64_t *v, struct talk *talk)
{
	uint64_t mine;

	see_view(alias_of_kept, VALUE_BEFORE, "an alias");
	see_view(twin.one, VALUE_BEFORE + 1, "memory");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "its snapshot");
	mine = take(twin.one);
	twin_write(twin.two, TWIN_PAGES, VALUE_CHILD);
	talk_say(talk);
	talk_hear(talk);
	see_view(v, VALUE_BEFORE, "its view");
	twin_write(v, TWIN_PAGES, VALUE_CHILD + 1);
	snapshot_see(mine, TWIN_PAGES, VALUE_BEFORE + 1, "one of its own");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "its snapshot");
	see_view(twin.one, VALUE_CHILD, "memory");
	CHECK(!anonshim_snapshot_release(id));
}

static void forks(void)
{
	volatile uint64_t *v;

	begin();
	v = view(id);
	CHECK(!madvise((void *)v, TWIN_PAGES * PAGE, MADV_DONTFORK));
	CHECK(!anonshim_region_alias((void *)v, 0, 0, RW, &alias_of_kept));
	v = view(id);
	(void)v[3 * WORDS];
	for (int depth = 0; depth < 3; depth++) {
		struct talk talk;

		twin_write(twin.one, TWIN_PAGES, VALUE_BEFORE + 1);
		talk_open(&talk);
		talk_split(&talk, fork());
		if (!talk.child) {
			child_run(v, &talk);
			talk_end(&talk);
		}
		talk_hear(&talk);
		twin_write(twin.two, TWIN_PAGES, VALUE_PARENT);
		talk_say(&talk);
		talk_end(&talk);
		see_view(twin.one, VALUE_PARENT, "memory");
		snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	}
	see_view(v, VALUE_BEFORE, "a view");
}

static int look(void *v)
{
	see_view(v, VALUE_BEFORE, "its parent's view");
	twin_write(v, TWIN_PAGES, VALUE_CHILD);
	_exit(0);
}

/* What a child touches first is there for both. */
static void shared(void)
{
	static char stack[16 * PAGE] __attribute__((aligned(16)));
	volatile uint64_t *v, *w;
	pid_t child;

	begin();
	v = view(id);
	w = view(id);
	CHECK(!anonshim_set_fork((void *)v, TWIN_PAGES * PAGE,
				 ANONSHIM_FORK_SHARE));
	child = fork();
	CHECK(child >= 0);
	if (!child)
		look((void *)v);
	talk_reap(child);
	see_view(v, VALUE_CHILD, "a view that is shared");
	see_view(w, VALUE_BEFORE, "a view");
	v = view(id);
	child = clone(look, stack + sizeof(stack), CLONE_FILES | SIGCHLD,
		      (void *)v);
	CHECK(child > 0);
	talk_reap(child);
	see_view(v, VALUE_CHILD, "a view that CLONE_FILES shares");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
}

/* Views of one snapshot each, of which page I % TWIN_PAGES was another's; what
 * is theirs is VALUE. */
static void see_views(volatile uint64_t *const *v, uint64_t value)
{
	for (size_t i = 0; i < VIEWS; i++) {
		size_t page = i % TWIN_PAGES;
		uint64_t wanted = i % WRITTEN ? VALUE_BEFORE + i : value + i;

		if (v[i][page * WORDS] != wanted)
			wrong("view %zu: page %zu is %#lx, not %#lx", i, page,
			      v[i][page * WORDS], wanted);
	}
}

static void write_views(volatile uint64_t *const *v, uint64_t value)
{
	for (size_t i = 0; i < VIEWS; i += WRITTEN)
		v[i][i % TWIN_PAGES * WORDS] = value + i;
}

/* More than there may be descriptors. */
static void many(void)
{
	static volatile uint64_t *v[VIEWS];
	struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
	struct talk talk;

	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	begin();
	for (size_t i = 0; i < VIEWS; i++) {
		twin.one[i % TWIN_PAGES * WORDS] = VALUE_BEFORE + i;
		v[i] = view(take(twin.two));
	}
	write_views(v, VALUE_BEFORE);
	talk_open(&talk);
	talk_split(&talk, fork());
	if (talk.child)
		write_views(v, VALUE_PARENT);
	else
		write_views(v, VALUE_CHILD);
	talk_say(&talk);
	talk_hear(&talk);
	see_views(v, talk.child ? VALUE_PARENT : VALUE_CHILD);
	talk_end(&talk);
}

/* ---- rights ---- */

/* No snapshot can be taken any more; those that there are stay. */
static void as_they_were(volatile uint64_t *v)
{
	uint64_t other;

	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	see_view(v, VALUE_BEFORE, "a view");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	if (!anonshim_snapshot_take((void *)twin.one, &other))
		SKIP("this user may see writes");
	CHECK(errno == EPERM);
	twin_write(v, TWIN_PAGES, VALUE_CHILD);
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	CHECK(!anonshim_snapshot_release(id));
	see_view(v, VALUE_CHILD, "a view");
	view_end(v);
	nothing_is_held();
}

static void another_user(void)
{
	volatile uint64_t *v;

	if (geteuid())
		SKIP("not root");
	begin();
	v = view(id);
	(void)v[0];
	CHECK(!setgroups(0, NULL) && !setgid(NOBODY) && !setuid(NOBODY));
	as_they_were(v);
}

static void sandbox(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {1, program};
	volatile uint64_t *v;

	begin();
	v = view(id);
	(void)v[0];
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		SKIP("no filters");
	/* the shim does nothing more, and says so */
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	see_view(v, VALUE_BEFORE, "a view");
	CHECK(anonshim_snapshot_take((void *)twin.one, &id) && errno == ENOSYS);
	twin_write(v, TWIN_PAGES, VALUE_CHILD);
	see_view(twin.two, VALUE_PARENT, "memory");
}

static void no_proc(void)
{
	volatile uint64_t *v;

	if (geteuid())
		SKIP("not root");
	begin();
	v = view(id);
	CHECK(!chroot("."));
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	see_view(v, VALUE_BEFORE, "a view");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	snapshot_see(take(twin.one), TWIN_PAGES, VALUE_PARENT, "a new one");
}

/* ---- memory ---- */

static void locked(void)
{
	void *alias = NULL;
	volatile uint64_t *v;

	if (mlockall(MCL_CURRENT))
		SKIP("memory cannot be locked");
	begin();
	CHECK(!anonshim_snapshot_release(id));
	CHECK(!mlockall(MCL_CURRENT | MCL_FUTURE));
	twin_before(&twin);
	id = take(twin.one);
	CHECK(!setgid(getgid()));
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	v = view(id);
	CHECK(!anonshim_region_alias((void *)v, 0, 0, RW, &alias));
	see_view(alias, VALUE_BEFORE, "an alias of a view");
	see_view(v, VALUE_BEFORE, "a view");
	CHECK(!munlockall());
}

static void holes(void)
{
	volatile uint64_t *v, *w;
	uint64_t before, after;

	begin();
	v = view(id);
	v[2 * WORDS] = 1;
	before = take(v);
	CHECK(!madvise((void *)(v + 2 * WORDS), 2 * PAGE, MADV_REMOVE));
	after = take(v);
	w = view(after); /* nobody has touched what was taken away */
	CHECK(!w[2 * WORDS] && !w[3 * WORDS]);
	CHECK(w[4 * WORDS] == VALUE_BEFORE + 4);
	w = view(before);
	CHECK(w[2 * WORDS] == 1 && w[3 * WORDS] == VALUE_BEFORE + 3);
	CHECK(!v[2 * WORDS] && !v[3 * WORDS]);
}

static void grows_of(enum kind kind)
{
	struct pollfd written = {.events = POLLIN};
	struct anonshim_range range[2];
	size_t n = 2;
	volatile uint64_t *v;

	memory_make(&twin, TWIN_PAGES / 2, kind);
	twin_before(&twin);
	id = take(twin.one);
	CHECK(!anonshim_snapshot_watch((void *)twin.one, &written.fd));
	CHECK(!ftruncate(twin.fd, (off_t)((TWIN_PAGES - 1) * PAGE)));
	twin.one = map_shared(twin.fd, TWIN_PAGES, 0, RW);
	twin.one[(TWIN_PAGES - 2) * WORDS] = 1;
	CHECK(poll(&written, 1, -1) == 1);
	CHECK(pwrite(twin.fd, (const void *)twin.one, PAGE,
		     (TWIN_PAGES - 1) * PAGE) == (ssize_t)PAGE);
	CHECK(!anonshim_snapshot_changes(id, 0, 0, range, &n) && n == 1);
	CHECK(range[0].offset == (TWIN_PAGES - 2) * PAGE &&
	      range[0].len == 2 * PAGE);
	CHECK(!close(written.fd));
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	snapshot_see(id, TWIN_PAGES / 2, VALUE_BEFORE, "the first");
	id = take(twin.one);
	twin_write(twin.one, TWIN_PAGES, VALUE_CHILD);
	v = view(id);
	see_view(v, VALUE_PARENT, "the second");
}

static void grows(void)
{
	grows_of(KIND_MEMFD);
	grows_of(KIND_REGION);
}

static volatile sig_atomic_t told;

static void tell(int number)
{
	told = number;
}

/* What the program was to be told of a message queue it still is. */
static void queue(void)
{
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL,
		.sigev_signo = SIGUSR1,
	};
	char name[32];
	mqd_t q;

	snprintf(name, sizeof(name), "/anonshim-%d", (int)getpid());
	q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL);
	if (q < 0)
		SKIP("no message queues");
	CHECK(!mq_unlink(name));
	CHECK(signal(SIGUSR1, tell) != SIG_ERR);
	CHECK(!mq_notify(q, &event));
	begin();
	CHECK(!mq_send(q, "", 1, 0)); /* it is told before this returns */
	if (told != SIGUSR1)
		wrong("nothing was told of a message");
}

/* What mlockall() touches of a view is what nobody has looked at. */
static void all_locked(void)
{
	volatile uint64_t *v;

	begin();
	v = view(id);
	(void)v[WORDS];
	if (mlockall(MCL_CURRENT))
		SKIP("memory may not be locked");
	see_view(v, VALUE_BEFORE, "a view");
	twin_write(v, TWIN_PAGES, VALUE_CHILD);
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "the snapshot");
}

static void twice(void)
{
	volatile uint64_t *v;
	void *p;

	begin();
	v = view(id);
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	CHECK(!anonshim_snapshot_release(id));
	CHECK(anonshim_snapshot_release(id) && errno == EINVAL);
	CHECK(anonshim_snapshot_view(id, &p) && errno == EINVAL);
	see_view(v, VALUE_BEFORE, "a view");
	view_end(v);
	nothing_is_held();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} list[] = {
		{"deep", deep},	     {"gone", gone},
		{"forks", forks},    {"locked", locked},
		{"holes", holes},    {"user", another_user},
		{"grows", grows},    {"sandbox", sandbox},
		{"chroot", no_proc}, {"twice", twice},
		{"many", many},	     {"queue", queue},
		{"all", all_locked}, {"share", shared},
		{"over", over},
	};

	victim_begin();
	CHECK(argc >= 2);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(argv[1], list[i].name)) {
			list[i].run();
			return 0;
		}
	wrong("%s is nothing", argv[1]);
}
