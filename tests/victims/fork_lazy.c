/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_lazy HOW TIMES [MIB]: forks of memory that is mapped twice and has no
 * descriptor, so that its copy can be lazy.  Each page says of which writing it
 * is; writing N is all of memory, N by N.  The child reads all of it.
 *
 *	quiet	nobody else writes
 *	writers	four threads of the parent write on, each its own part
 *	parent	so they do, and the parent is killed at some time
 *	child	so they do, and the child is
 *	again	children fork children, at once
 *	holes	one page in a hundred was ever written
 *	exec	the child calls execve(), and the parent goes on
 *	locked	the parent calls mlockall(), which touches all it has mapped
 *	files	a thread of the child opens a file of stdio's
 *	closed	two objects, one of which is only open by then
 *	here	and there one thread writes, before a fork and after it
 *	crowd	TIMES threads fork at once, and nothing of it stays mapped
 *	odd	mappings that can never be written, or have gone unseen
 *	grows	the memory, between two forks
 *	sparse	the memory, of which a child looks at what the parent writes
 *		afterwards
 *	stopped	TIMES children, each stopped before it looks, until all are
 *		there
 */
#include "fork_help.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define WORDS_A_PAGE (PAGE / sizeof(uint64_t))
#define WRITERS 4
#define KILL_SPREAD_NS 3000000
#define NEAR 16 /* pages */
#define SPARSE_BYTES (UINT64_C(512) << 20)
#define LOOKED_AT 4096 /* pages of that */
#define FEW 8
#define STOPPED_MAX 8
#define CROWD_MAX 32
#define MIB_MOST 64
#define GIVEN_UP_S 20

static volatile uint64_t *one;
static volatile uint64_t *two;
static size_t pages;
static size_t step = 1; /* pages from one that is written to the next */
static unsigned forks;
static atomic_bool stop;
static const char *how;

static bool is(const char *word)
{
	return !strcmp(how, word);
}

static volatile uint64_t *word_of(volatile uint64_t *alias, size_t page)
{
	return alias + page * WORDS_A_PAGE + page % WORDS_A_PAGE;
}

/* Writing N, of every page of part WRITER: by one alias and the other. */
static void put(unsigned writer, uint64_t n)
{
	static _Thread_local unsigned written;

	for (size_t page = writer * step; page < pages;
	     page += WRITERS * step) {
		*word_of(n % 2 ? one : two, page) = n << 32 | page;
		take_turns(&written);
	}
}

static void put_all(uint64_t n)
{
	for (unsigned writer = 0; writer < WRITERS; writer++)
		put(writer, n);
}

static void *writer_run(void *arg)
{
	unsigned writer = (unsigned)(uintptr_t)arg;

	for (uint64_t n = 2; !stop; n++)
		put(writer, n);
	return NULL;
}

/*
 * Those near data, of which copies are of more than a page, and of the others
 * a few, in each fork others: to look at a hole fills it, and that takes long.
 */
static void check_holes(void)
{
	for (size_t page = 0; page < pages; page++) {
		size_t behind = page % step;
		bool near = behind < NEAR || behind + NEAR > step;

		if (behind && (near || page % FEW == forks % FEW) &&
		    *word_of(one, page))
			wrong("page %zu: not a hole", page);
	}
}

/*
 * In each part some pages, the first ones, may be of one writing, and the
 * others of the one before; through both aliases.
 */
static void check(void)
{
	for (unsigned writer = 0; writer < WRITERS; writer++) {
		uint64_t last = 0;

		for (size_t page = writer * step; page < pages;
		     page += WRITERS * step) {
			uint64_t a = *word_of(one, page);
			uint64_t b = *word_of(two, page);
			uint64_t n = a >> 32;

			if (a != b)
				wrong("page %zu: %lx and %lx", page, a, b);
			if ((a & UINT32_MAX) != page)
				wrong("page %zu: %lx is another's", page, a);
			if (last && n != last && n != last - 1)
				wrong("page %zu: writing %lu behind %lu", page,
				      n, last);
			if (!last || n < last)
				last = n;
		}
	}
	check_holes();
}

/* The child's own writings are nobody else's. */
static void child_run(unsigned depth)
{
	whoami = "child";
	check();
	if (depth) {
		pid_t pid = fork();
		int status;

		CHECK(pid >= 0);
		if (!pid) {
			child_run(depth - 1);
			_exit(0);
		}
		put_all(1);
		CHECK(waitpid(pid, &status, 0) == pid);
		if (status)
			wrong("its own child: 0x%x", (unsigned)status);
	}
	put_all(7);
	check();
}

static void map(size_t mib)
{
	pages = (mib << 20) / PAGE;
	one = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(one != MAP_FAILED);
	two = mremap((void *)one, 0, pages * PAGE, MREMAP_MAYMOVE);
	CHECK(two != MAP_FAILED);
	step = is("holes") ? 100 : 1;
	put_all(1);
}

/* Of FD, what there was of map(). */
static void map_instead(int fd)
{
	munmap((void *)one, pages * PAGE);
	munmap((void *)two, pages * PAGE);
	one = map_shared(fd, pages, 0, PROT_READ | PROT_WRITE);
	two = map_shared(fd, pages, 0, PROT_READ | PROT_WRITE);
}

static void pause_random(unsigned *seed)
{
	struct timespec t = {0, rand_r(seed) % KILL_SPREAD_NS};

	nanosleep(&t, NULL);
}

/* One fork; returns what became of the child. */
static int fork_once(unsigned *seed)
{
	pid_t pid = fork();
	int status;

	forks++;
	CHECK(pid >= 0);
	if (!pid) {
		if (is("exec"))
			execl("/bin/true", "true", NULL);
		child_run(is("again") ? 2 : 0);
		_exit(0);
	}
	if (is("child")) {
		pause_random(seed);
		kill(pid, SIGKILL);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return is("child") ? 0 : status;
}

static void threads_run(unsigned times, unsigned *seed)
{
	pthread_t thread[WRITERS];
	bool busy = !is("quiet") && !is("holes") && !is("again") &&
		    !is("grows") && !is("odd");

	for (unsigned i = 0; busy && i < WRITERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, writer_run,
				      (void *)(uintptr_t)i));
	while (times--) {
		int status = fork_once(seed);

		if (status)
			wrong("the child: 0x%x", (unsigned)status);
	}
	stop = true;
	for (unsigned i = 0; busy && i < WRITERS; i++)
		CHECK(!pthread_join(thread[i], NULL));
	check();
	for (size_t page = 0; !busy && page < pages; page += step)
		if (*word_of(two, page) >> 32 != 1)
			wrong("page %zu: the child's", page);
}

static void *opens_a_file(void *unused)
{
	FILE *f = fopen("/dev/null", "re");

	CHECK(f && !fclose(f));
	return unused;
}

/* The parent has one thread, and locks of libc's are a child's own. */
static void files(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		pthread_t thread;

		whoami = "child";
		alarm(GIVEN_UP_S);
		CHECK(!pthread_create(&thread, NULL, opens_a_file, NULL));
		CHECK(!pthread_join(thread, NULL));
		child_run(0);
		_exit(0);
	}
	put_all(2);
	talk_reap(pid);
}

static void locked(unsigned times)
{
	while (times--) {
		uint64_t was = *one;
		struct talk talk;

		talk_open(&talk);
		talk_split(&talk, fork());
		if (!talk.child) {
			talk_hear(&talk);
			CHECK(*one == was);
			child_run(0);
			talk_end(&talk);
		}
		if (mlockall(MCL_CURRENT) || munlockall())
			SKIP("memory may not be locked");
		put_all(times + 2);
		talk_say(&talk);
		talk_end(&talk);
	}
}

/* Each fork has to do with one that is mapped nowhere, and another. */
static void closed(unsigned times)
{
	while (times--) {
		struct twin open, twin;
		struct talk talk;
		uint64_t word = 0;

		twin_make(&open, FEW);
		twin_make(&twin, FEW);
		twin_before(&open);
		twin_before(&twin);
		CHECK(!munmap((void *)open.one, FEW * PAGE));
		CHECK(!munmap((void *)open.two, FEW * PAGE));
		talk_open(&talk);
		talk_split(&talk, fork());
		if (talk.child)
			twin_write(twin.one, FEW, VALUE_PARENT);
		else
			twin_see(&twin, VALUE_BEFORE, "as forked");
		if (talk.child)
			CHECK(pwrite(open.fd, &word, sizeof(word), PAGE) == 8);
		talk_say(&talk);
		talk_hear(&talk);
		CHECK(pread(open.fd, &word, sizeof(word), PAGE) == 8);
		if (word != (talk.child ? 0 : VALUE_BEFORE + 1))
			wrong("%#lx by a descriptor", word);
		talk_end(&talk);
		twin_end(&twin);
		CHECK(!close(open.fd));
	}
}

/*
 * Few pages, anywhere, some of them the same in each fork: what the child sees
 * of them is what they were, whatever the parent writes next.
 */
static void here_and_there(unsigned times, unsigned *seed)
{
	static uint64_t is[MIB_MOST * 256];

	CHECK(pages <= MIB_MOST * 256);
	for (size_t page = 0; page < pages; page++)
		is[page] = *word_of(one, page);
	while (times--) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		for (unsigned i = 0; pid && i < pages / 200; i++) {
			size_t some = i % 2 ? pages / 4 : pages;
			size_t page = (size_t)rand_r(seed) % some;

			is[page] = (uint64_t)times << 32 | page;
			*word_of(i % 4 < 2 ? one : two, page) = is[page];
		}
		for (size_t page = 0; page < pages; page++)
			if (*word_of(two, page) != is[page])
				wrong("page %zu is %lx, not %lx", page,
				      *word_of(two, page), is[page]);
		if (!pid)
			_exit(0);
		talk_reap(pid);
	}
}

static pthread_barrier_t all_there;

static void *fork_with_all(void *arg)
{
	pid_t pid;

	pthread_barrier_wait(&all_there);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		raise(SIGSTOP);
		child_run(0);
		_exit(0);
	}
	*(pid_t *)arg = pid;
	return NULL;
}

static unsigned mappings_of(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[LINE_BYTES];
	unsigned n = 0;

	while (maps && fgets(line, sizeof(line), maps))
		n += strstr(line, name) != NULL;
	CHECK(maps && !fclose(maps));
	return n;
}

static void crowd(unsigned times)
{
	pthread_t thread[CROWD_MAX];
	pid_t child[CROWD_MAX];
	int fd = memfd_of("crowd", pages, MFD_CLOEXEC);
	int status;

	map_instead(fd);
	put_all(1);
	CHECK(!pthread_barrier_init(&all_there, NULL, times));
	for (unsigned i = 0; i < times; i++)
		CHECK(!pthread_create(&thread[i], NULL, fork_with_all,
				      &child[i]));
	for (unsigned i = 0; i < times; i++)
		CHECK(!pthread_join(thread[i], NULL));
	for (unsigned i = 0; i < times; i++) {
		CHECK(waitpid(child[i], &status, WUNTRACED) == child[i]);
		CHECK(WIFSTOPPED(status) && !kill(child[i], SIGCONT));
	}
	for (unsigned i = 0; i < times; i++)
		talk_reap(child[i]);
	/* the aliases, and what the next fork has for itself */
	for (int s = 0; mappings_of("/memfd:crowd") > 3; s++) {
		if (s == GIVEN_UP_S)
			wrong("%u mappings", mappings_of("/memfd:crowd"));
		sleep(1);
	}
}

/* As a runtime does that needs no libc. */
static void unmap_unseen(volatile void *p, size_t len)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_munmap), "D"(p), "S"(len)
			 : "rcx", "r11", "memory");
	CHECK(!result);
}

static void odd(void)
{
	int fd = memfd_of("odd", pages, MFD_CLOEXEC);
	char path[32];
	void *unseen;

	map_instead(fd);
	unseen = map_shared(fd, pages, 0, PROT_READ | PROT_WRITE);
	sprintf(path, "/proc/self/fd/%d", fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd >= 0);
	map_shared(fd, pages, 0, PROT_READ);
	for (int i = 0; i < 3; i++) {
		put_all(1);
		threads_run(1, NULL);
		if (!i)
			unmap_unseen(unseen, pages * PAGE);
	}
}

/* A descriptor's, which grows after the first fork has looked at it. */
static void grow(size_t mib)
{
	int fd = memfd_of("grows", pages, MFD_CLOEXEC);

	map_instead(fd);
	CHECK(!ftruncate(fd, (off_t)(mib << 19)));
	pages /= 2;
	put_all(1);
	threads_run(1, NULL);
	CHECK(!ftruncate(fd, (off_t)(mib << 20)));
	pages *= 2;
	put_all(1);
	threads_run(1, NULL);
}

static void see_holes(unsigned i)
{
	for (size_t page = 0; page < LOOKED_AT; page++)
		if (two[page * WORDS] != i)
			wrong("page %zu is of writing %lu, not %u", page,
			      two[page * WORDS], i);
}

/*
 * A child that looks at holes makes no page of them that is not protected: the
 * first one does while what there is behind them is copied.
 */
static void sparse(unsigned times)
{
	size_t all = SPARSE_BYTES / PAGE;
	int fd = memfd_of("sparse", all, MFD_CLOEXEC);

	one = map_shared(fd, all, 0, PROT_READ | PROT_WRITE);
	two = map_shared(fd, all, 0, PROT_READ | PROT_WRITE);
	for (size_t page = all / 2; page < all / 2 + LOOKED_AT; page++)
		one[page * WORDS] = 1;
	for (unsigned i = 0; i < times; i++) {
		struct talk talk;

		talk_open(&talk);
		talk_split(&talk, fork());
		if (!talk.child && !i)
			see_holes(0);
		if (talk.child && i)
			for (size_t page = 0; page < LOOKED_AT; page++)
				one[page * WORDS] = i;
		talk_say(&talk);
		talk_hear(&talk);
		if (!talk.child && i)
			see_holes(i - 1);
		talk_end(&talk);
	}
}

/* A parent that is killed leaves a child, which tells by a pipe. */
static void parent_killed(size_t mib, unsigned *seed)
{
	int up[2];
	pid_t pid;
	char verdict = 0;

	CHECK(!pipe2(up, O_CLOEXEC));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		pthread_t thread;

		map(mib);
		for (unsigned i = 0; i < WRITERS; i++)
			CHECK(!pthread_create(&thread, NULL, writer_run,
					      (void *)(uintptr_t)i));
		pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			child_run(0);
			CHECK(write(up[1], "x", 1) == 1);
			_exit(0);
		}
		CHECK(write(up[1], "f", 1) == 1);
		for (;;)
			pause();
	}
	close(up[1]);
	CHECK(read(up[0], &verdict, 1) == 1);
	pause_random(seed);
	kill(pid, SIGKILL);
	CHECK(waitpid(pid, NULL, 0) == pid);
	if (verdict == 'f' && read(up[0], &verdict, 1) != 1)
		wrong("the child of a parent that was killed");
	close(up[0]);
}

/* Each sees its own writing, when the last has been forked. */
static void all_stopped(unsigned times)
{
	pid_t pid[STOPPED_MAX];
	int status;

	CHECK(times <= STOPPED_MAX);
	for (unsigned i = 0; i < times; i++) {
		pid[i] = fork();
		CHECK(pid[i] >= 0);
		if (!pid[i]) {
			raise(SIGSTOP);
			if (*word_of(one, 0) >> 32 != i + 1)
				wrong("%lx is not writing %u", *word_of(one, 0),
				      i + 1);
			child_run(0);
			_exit(0);
		}
		CHECK(waitpid(pid[i], &status, WUNTRACED) == pid[i]);
		CHECK(WIFSTOPPED(status));
		put_all(i + 2);
	}
	for (unsigned i = 0; i < times; i++) {
		kill(pid[i], SIGCONT);
		CHECK(waitpid(pid[i], &status, 0) == pid[i]);
		if (status)
			wrong("child %u: 0x%x", i, (unsigned)status);
	}
}

int main(int argc, char **argv)
{
	unsigned seed = 1;
	unsigned times;
	size_t mib;

	victim_begin();
	CHECK(argc >= 3);
	how = argv[1];
	times = (unsigned)strtoul(argv[2], NULL, 10);
	mib = argc > 3 ? strtoul(argv[3], NULL, 10) : 20;
	if (is("parent")) {
		while (times--)
			parent_killed(mib, &seed);
		return 0;
	}
	map(mib);
	if (is("stopped"))
		all_stopped(times);
	else if (is("files"))
		files();
	else if (is("locked"))
		locked(times);
	else if (is("closed"))
		closed(times);
	else if (is("grows"))
		grow(mib);
	else if (is("sparse"))
		sparse(times);
	else if (is("odd"))
		odd();
	else if (is("here"))
		here_and_there(times, &seed);
	else if (is("crowd"))
		crowd(times);
	else
		threads_run(times, &seed);
	return 0;
}
