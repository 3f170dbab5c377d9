/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_order HOW FORKS [loose]: threads write, in an order that a torn copy
 * would break, while the main thread forks.  A counter goes to private memory,
 * then to a page of a twin, then to a page far from it by its other alias, then
 * to private memory again: in a child each is as great as the next or one
 * greater.  HOW the twin is written:
 *
 *	store	by instructions
 *	pwrite	by its descriptor
 *	kernel	by read() into it, so that the kernel writes
 *	chain	each step by another thread, that saw the one before
 *	maps	by instructions, while a thread maps it and unmaps it, moves it
 *		and changes its protection
 *	forks	by instructions, while other threads fork as well
 *	threads	by instructions, while threads come and go
 *	files	by fread() into it, while a thread flushes all files: one waits
 *		with its file locked, for which the other waits with all of them
 *
 * "loose": where writers cannot be held all but the order is checked.
 */
#include "fork_help.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define TWIN_PAGES 192 /* three pieces of a copy, at least */
#define WRITERS 2
#define STEPS 4 /* private, shared, shared, private */
#define COMERS_PAGE 20
#define LOOKS 100

struct step {
	/* of its own, so that fork copies one after another */
	volatile uint64_t counter __attribute__((aligned(PAGE)));
};

/* What one writer writes: step 0 and 3 here, 1 and 2 in the twin. */
static struct step private_step[WRITERS][2];
static struct twin twin;
static const char *how;
static bool loose;
static atomic_bool stop;
static pthread_t thread[WRITERS * STEPS + 1];
static unsigned threads;

static size_t word_in_twin(unsigned writer, unsigned step)
{
	/* now the first before the second, now behind it */
	size_t page =
		(step == 1) == (writer % 2) ? TWIN_PAGES - 1 - writer : writer;

	return page * WORDS + 8 * writer;
}

static volatile uint64_t *place(unsigned writer, unsigned step)
{
	if (step == 0 || step == 3)
		return &private_step[writer][step / 3].counter;
	return (step == 1 ? twin.one : twin.two) + word_in_twin(writer, step);
}

static bool is(const char *word)
{
	return !strcmp(how, word);
}

/* A pipe that only this thread uses; unbuffered, so that the kernel writes. */
struct way {
	int ends[2];
	FILE *file;
};

static void put_by_kernel(const struct way *way, volatile uint64_t *to,
			  uint64_t n)
{
	CHECK(write(way->ends[1], &n, sizeof(n)) == sizeof(n));
	if (is("files"))
		CHECK(fread((void *)to, sizeof(n), 1, way->file) == 1);
	else
		CHECK(read(way->ends[0], (void *)to, sizeof(n)) == sizeof(n));
}

static void put(unsigned writer, unsigned step, uint64_t n,
		const struct way *way)
{
	off_t at = (off_t)(word_in_twin(writer, step) * sizeof(n));

	if (step == 1 || step == 2) {
		if (is("pwrite")) {
			CHECK(pwrite(twin.fd, &n, sizeof(n), at) == sizeof(n));
			return;
		}
		if (is("kernel") || is("files")) {
			put_by_kernel(way, place(writer, step), n);
			return;
		}
	}
	*place(writer, step) = n;
}

static void *writer_run(void *arg)
{
	unsigned writer = (unsigned)(uintptr_t)arg;
	unsigned written = 0;
	struct way way;

	CHECK(!pipe2(way.ends, O_CLOEXEC));
	way.file = fdopen(way.ends[0], "r");
	CHECK(way.file && !setvbuf(way.file, NULL, _IONBF, 0));
	for (uint64_t n = 1; !stop; n++)
		for (unsigned step = 0; step < STEPS; step++) {
			put(writer, step, n, &way);
			take_turns(&written);
		}
	return NULL;
}

/* Step 0 counts, each other one follows the one before. */
static void *link_run(void *arg)
{
	unsigned writer = (unsigned)(uintptr_t)arg / STEPS;
	unsigned step = (unsigned)(uintptr_t)arg % STEPS;

	while (!stop) {
		if (step)
			*place(writer, step) = *place(writer, step - 1);
		else if (*place(writer, 0) == *place(writer, 3))
			*place(writer, 0) = *place(writer, 0) + 1;
		sched_yield();
	}
	return NULL;
}

static void *mapper_run(void *arg)
{
	size_t bytes = TWIN_PAGES * PAGE;

	while (!stop) {
		char *p = map_shared(twin.fd, TWIN_PAGES, 0,
				     PROT_READ | PROT_WRITE);
		char *to = anon(TWIN_PAGES);

		CHECK(!mprotect(p + PAGE, PAGE, PROT_NONE));
		CHECK(!mprotect(p + PAGE, PAGE, PROT_READ | PROT_WRITE));
		p = mremap(p, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to);
		CHECK(p == to);
		CHECK(!munmap(p + 2 * PAGE, PAGE));
		CHECK(!munmap(p, bytes));
	}
	return arg;
}

static void child_run(void);

static void *forker_run(void *arg)
{
	while (!stop) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			child_run();
		talk_reap(pid);
	}
	return arg;
}

static void *comer_run(void *arg)
{
	*(volatile uint64_t *)(twin.two + COMERS_PAGE * WORDS) = 1;
	return arg;
}

static void *starter_run(void *arg)
{
	pthread_t one;

	while (!stop) {
		CHECK(!pthread_create(&one, NULL, comer_run, NULL));
		CHECK(!pthread_join(one, NULL));
	}
	return arg;
}

static void *flusher_run(void *arg)
{
	while (!stop)
		CHECK(!fflush(NULL));
	return arg;
}

static void start(void *(*run)(void *), unsigned number)
{
	CHECK(!pthread_create(&thread[threads++], NULL, run,
			      (void *)(uintptr_t)number));
}

static void start_all(void)
{
	bool chain = is("chain");

	for (unsigned i = 0; i < WRITERS * (chain ? STEPS : 1); i++)
		start(chain ? link_run : writer_run, i);
	if (is("maps"))
		start(mapper_run, 0);
	if (is("forks"))
		start(forker_run, 0);
	if (is("threads"))
		start(starter_run, 0);
	if (is("files"))
		start(flusher_run, 0);
	/* none is compared before all have come once around */
	for (unsigned i = 0; i < WRITERS; i++)
		while (!*place(i, 3))
			sched_yield();
}

static void check_order(void)
{
	for (unsigned i = 0; i < WRITERS; i++) {
		uint64_t a = *place(i, 0), b = *place(i, 1);
		uint64_t c = *place(i, 2), d = *place(i, 3);

		if (!loose && (a < b || b < c || c < d || a - d > 1))
			wrong("torn: private %lu, shared %lu and %lu, private "
			      "%lu",
			      a, b, c, d);
	}
}

/* By both aliases and the descriptor, COUNT pages from page FIRST on. */
static void check_same(size_t first, size_t count)
{
	static uint64_t copy[2][TWIN_PAGES * WORDS];
	size_t bytes = count * PAGE;

	memcpy(copy[0], (const void *)(twin.one + first * WORDS), bytes);
	if (memcmp(copy[0], (const void *)(twin.two + first * WORDS), bytes))
		wrong("the aliases differ");
	CHECK(pread(twin.fd, copy[1], bytes, (off_t)(first * PAGE)) ==
	      (ssize_t)bytes);
	if (memcmp(copy[0], copy[1], bytes))
		wrong("another process writes here");
}

/*
 * Through both aliases, and nobody writes: all pages at first and at last, and
 * in between, time and again, those that writers of another process write.
 */
static void check_still(void)
{
	check_same(0, TWIN_PAGES);
	for (int i = 0; i < LOOKS; i++) {
		check_same(COMERS_PAGE, 1);
		for (unsigned writer = 0; writer < WRITERS; writer++)
			for (unsigned step = 1; step <= 2; step++)
				check_same(word_in_twin(writer, step) / WORDS,
					   1);
	}
	check_same(0, TWIN_PAGES);
}

static void child_run(void)
{
	whoami = "child";
	alarm(LIFE_SECONDS);
	check_order();
	check_still();
	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned step = 1; step <= 2; step++)
			*place(i, step) = UINT64_MAX; /* not for the parent */
	check_still();
	_exit(0);
}

static void join_all(void)
{
	stop = true;
	for (unsigned i = 0; i < threads; i++)
		CHECK(!pthread_join(thread[i], NULL));
	for (unsigned i = 0; i < WRITERS && !is("chain"); i++)
		if (*place(i, 1) != *place(i, 0) ||
		    *place(i, 2) != *place(i, 0))
			wrong("the child's writes are seen");
	check_still();
}

int main(int argc, char **argv)
{
	unsigned forks;

	victim_begin();
	CHECK(argc >= 3);
	how = argv[1];
	forks = (unsigned)strtoul(argv[2], NULL, 10);
	loose = argc > 3;
	twin_make(&twin, TWIN_PAGES);
	twin_before(&twin);
	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned step = 1; step <= 2; step++)
			*place(i, step) = 0;
	start_all();
	while (forks--) {
		pid_t pid = fork();

		CHECK(pid >= 0);
		if (!pid)
			child_run();
		talk_reap(pid);
	}
	join_all();
	return 0;
}
