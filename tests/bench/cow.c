/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow [-a ALIASES] [-n FORKS] [-s SNAPSHOTS] WHAT HOW MIB: what copy-on-write
 * costs a process that has MIB of memory, all of it touched.  HOW is
 *
 *   plain    private memory of 4 KiB pages that nobody forks
 *   private  the same, forked
 *   shared   a memfd, mapped ALIASES times: for runs with the shim
 *   copy     see snapshots
 *
 * and WHAT, with medians printed in one line:
 *
 *   forks      microseconds in fork(): of the first, of one after all was
 *              written, after 1 % was, in a row, and at random; if the child
 *              executes /bin/true, and until that has ended; while a thread
 *              writes pages at random.  FORKS is how many at most of each
 *   writes     microseconds a page that is written: all in a row, all at
 *              random, 1 % at random, while a child that has not looked at it
 *              yet is stopped; all in a row and once more, all at random and
 *              once more, after a child was killed
 *   snapshots  see cow_snapshots.c; HOW is shared, or what to compare with:
 *              copy is memcpy(), private maps a memfd privately
 *   permitted  nothing: exits 0 if the shim can take a snapshot here, else 77
 *
 * Memory that was never touched, or has gone back to a virtual machine's host,
 * costs ten times what copying it does: as much as is needed is touched first.
 */
#include "cow.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FORKS_MAX 9
#define FORKS_BYTES (1024ul << 20) /* of each, more or less */
#define ONE_PERCENT 100
#define SETTLE_US 50000
#define TRIES 20

struct cow_asked asked = {.aliases = 1, .forks = FORKS_MAX};
static char *aliases[ALIASES_MAX];
static uint64_t stamp; /* what all pages hold */
static atomic_bool stop;

void fail(const char *what)
{
	fputs("cow: ", stderr);
	perror(what);
	exit(1);
}

void wrong(const char *what)
{
	fprintf(stderr, "cow: %s\n", what);
	exit(1);
}

double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

uint64_t random_number(void)
{
	static uint64_t seed = 88172645463325252;

	return next_random(&seed);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare);
	return (values[(n - 1) / 2] + values[n / 2]) / 2;
}

/* Memory ------------------------------------------------------------------ */

char *map(size_t bytes, int fd, int flags)
{
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	/* shared memory is of small pages anyway, and a fork that copies looks
	 * for what was advised, which takes long where anything was */
	if (fd < 0)
		madvise(p, bytes, MADV_NOHUGEPAGE);
	return p;
}

int new_memfd(size_t bytes)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)bytes))
		fail("memfd");
	return fd;
}

void warm(size_t bytes)
{
	char *p = map(bytes, -1, MAP_PRIVATE);

	madvise(p, bytes, MADV_HUGEPAGE);
	for (size_t at = 0; at < bytes; at += PAGE_BYTES)
		*(volatile char *)(p + at) = 1;
	munmap(p, bytes);
}

void touch(char *p, uint64_t value)
{
	for (size_t page = 0; page < asked.pages; page++)
		*word_of(p, page) = value;
}

/* All pages, through every alias: nothing that a fork did before is left. */
static void touch_all(void)
{
	stamp++;
	for (int i = 0; i < asked.aliases; i++)
		touch(aliases[i], stamp);
}

static void prepare(void)
{
	int fd = asked.how == HOW_SHARED ? new_memfd(asked.bytes) : -1;

	/* once for itself, once for a child, and some for page tables */
	warm(asked.bytes / 8 * (fd < 0 ? 9 : 17));
	if (fd < 0)
		asked.aliases = 1;
	for (int i = 0; i < asked.aliases; i++)
		aliases[i] =
			map(asked.bytes, fd, fd < 0 ? MAP_PRIVATE : MAP_SHARED);
	touch_all();
}

/* forks ------------------------------------------------------------------- */

struct times {
	double stall[FORKS_MAX];
	double whole[FORKS_MAX];
	size_t n;
};

/* The environment of what is executed is empty: no shim, which would cost a
 * start of its own. */
static void fork_once(struct times *t, bool executes)
{
	char *nothing[] = {NULL};
	double start = now_us();
	pid_t pid = fork();
	int status;

	if (!pid) {
		if (executes)
			execle("/bin/true", "true", (char *)NULL, nothing);
		_exit(executes);
	}
	t->stall[t->n] = now_us() - start;
	if (pid < 0)
		fail("fork");
	if (waitpid(pid, &status, 0) != pid)
		fail("waitpid");
	t->whole[t->n++] = now_us() - start;
	if (status)
		wrong("a child failed");
}

static void write_in_a_row(size_t pages)
{
	size_t start = random_number() % (asked.pages - pages);

	for (size_t i = 0; i < pages; i++)
		*word_of(aliases[0], start + i) = stamp;
}

static void write_at_random(size_t pages)
{
	while (pages--)
		*word_of(aliases[0], random_number() % asked.pages) = stamp;
}

/* N forks, each after WRITE of 1 %, or of all if that is NULL. */
static struct times fork_times(size_t n, void (*write)(size_t), bool executes)
{
	struct times t = {.n = 0};

	while (t.n < n) {
		if (write)
			write(asked.pages / ONE_PERCENT);
		else
			touch_all();
		fork_once(&t, executes);
	}
	return t;
}

static void *writer_run(void *unused)
{
	uint64_t seed = 1181783497276652981;

	for (int i = 0; !stop; i = (i + 1) % asked.aliases)
		*word_of(aliases[i], next_random(&seed) % asked.pages) = seed;
	return unused;
}

static struct times fork_times_with_writer(size_t n)
{
	struct times t;
	pthread_t thread;

	if (pthread_create(&thread, NULL, writer_run, NULL))
		wrong("no thread");
	t = fork_times(n, NULL, false);
	stop = true;
	pthread_join(thread, NULL);
	return t;
}

static void print_stall(struct times t)
{
	printf("%.1f ", median(t.stall, t.n));
}

static void forks(void)
{
	size_t n = FORKS_BYTES / asked.bytes;
	struct times t = {.n = 0};

	if (n > asked.forks)
		n = asked.forks;
	if (!n)
		n = 1;
	prepare();
	fork_once(&t, false);
	print_stall(t);
	print_stall(fork_times(n, NULL, false));
	print_stall(fork_times(n, write_in_a_row, false));
	print_stall(fork_times(n, write_at_random, false));
	t = fork_times(n, NULL, true);
	print_stall(t);
	printf("%.1f ", median(t.whole, t.n));
	print_stall(fork_times_with_writer(n));
	putchar('\n');
}

/* writes ------------------------------------------------------------------ */

static uint32_t *shuffled; /* all pages */
static int go[2] = {-1, -1};

static void shuffle(void)
{
	shuffled = malloc(asked.pages * sizeof(*shuffled));
	if (!shuffled)
		fail("malloc");
	for (size_t i = 0; i < asked.pages; i++) {
		size_t j = random_number() % (i + 1);

		shuffled[i] = shuffled[j];
		shuffled[j] = (uint32_t)i;
	}
}

/* Microseconds a page: of the first N, or of N at random. */
static double pass(size_t n, bool at_random)
{
	double start = now_us();
	char *p = aliases[0];

	if (at_random)
		for (size_t i = 0; i < n; i++)
			*word_of(p, shuffled[i]) = stamp + 1;
	else
		for (size_t i = 0; i < n; i++)
			*word_of(p, i) = stamp + 1;
	return (now_us() - start) / (double)n;
}

/* Of shared memory in PROCESS's page tables. */
static size_t shared_pages(const char *process)
{
	char path[64];
	size_t pages = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/statm", process);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*u %*u %zu", &pages) != 1)
		fail(path);
	fclose(f);
	return pages;
}

/* Waits to be told, and looks whether memory is what it was. */
static void child_run(void)
{
	char byte;
	uint64_t seen = stamp;

	if (read(go[0], &byte, 1) != 1)
		_exit(1);
	for (size_t page = 0; page < asked.pages; page++)
		if (*word_of(aliases[asked.aliases - 1], page) != seen)
			_exit(2);
	_exit(0);
}

static pid_t fork_stopped(void)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		child_run();
	if (pid < 0 || kill(pid, SIGSTOP))
		fail("fork");
	if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
		wrong("a child does not stop");
	return pid;
}

/* The engine has seen that the child is gone. */
static void settle(void)
{
	usleep(SETTLE_US);
	*word_of(aliases[0], 0) = stamp;
}

static void kill_child(pid_t pid)
{
	if (kill(pid, SIGKILL) || waitpid(pid, NULL, 0) != pid)
		fail("kill");
	settle();
}

/* A child that is stopped before it has more than a little of the memory: it
 * runs as soon as there is one. */
static pid_t fork_early(void)
{
	for (int i = 0; i < TRIES; i++) {
		char process[16];
		pid_t pid;

		touch_all();
		pid = fork_stopped();
		snprintf(process, sizeof(process), "%d", (int)pid);
		if (asked.how != HOW_SHARED ||
		    shared_pages(process) < asked.pages / 50)
			return pid;
		kill_child(pid);
	}
	wrong("children cannot be stopped soon enough");
	return -1;
}

/* Of what a lazy child has not, and needs, each page is copied: the copies are
 * in this process's page tables. */
static double pass_while_open(size_t n, bool at_random)
{
	pid_t pid;
	size_t before;
	double us;
	int status;

	if (asked.how == HOW_PLAIN) {
		touch_all();
		return pass(n, at_random);
	}
	pid = fork_early();
	before = shared_pages("self");
	us = pass(n, at_random);
	if (asked.how == HOW_SHARED &&
	    shared_pages("self") < before + n / 10 * 9)
		wrong("the window was not open");
	if (kill(pid, SIGCONT) || write(go[1], "", 1) != 1 ||
	    waitpid(pid, &status, 0) != pid)
		fail("child");
	if (status)
		wrong("a child saw what was written after the fork");
	settle();
	return us;
}

static void print_passes_when_closed(bool at_random)
{
	double first;

	touch_all();
	if (asked.how != HOW_PLAIN)
		kill_child(fork_stopped());
	first = pass(asked.pages, at_random);
	printf("%.4f %.4f ", first, pass(asked.pages, at_random));
}

static void writes(void)
{
	size_t few = asked.pages / ONE_PERCENT;

	shuffle();
	prepare();
	if (pipe(go))
		fail("pipe");
	printf("%.4f ", pass_while_open(asked.pages, false));
	printf("%.4f ", pass_while_open(asked.pages, true));
	printf("%.4f ", pass_while_open(few, true));
	print_passes_when_closed(false);
	print_passes_when_closed(true);
	putchar('\n');
}

/* ------------------------------------------------------------------------- */

static int usage(void)
{
	fputs("usage: cow [-a ALIASES] [-n FORKS] [-s SNAPSHOTS] "
	      "forks|writes|snapshots|"
	      "permitted plain|private|shared|copy MIB\n",
	      stderr);
	return 2;
}

static bool parse_how(const char *word)
{
	static const char *const words[] = {"plain", "private", "shared",
					    "copy"};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(word, words[i])) {
			asked.how = (enum cow_how)i;
			return true;
		}
	return false;
}

/* Returns WHAT, or NULL if there is no sense in them. */
static const char *parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "a:n:s:")) != -1)
		if (c == 'a')
			asked.aliases = atoi(optarg);
		else if (c == 'n')
			asked.forks = strtoul(optarg, NULL, 10);
		else if (c == 's')
			asked.snapshots = strtoul(optarg, NULL, 10);
		else
			return NULL;
	if (argc != optind + 3 || !parse_how(argv[optind + 1]))
		return NULL;
	asked.bytes = strtoul(argv[optind + 2], NULL, 10) << 20;
	asked.pages = asked.bytes / PAGE_BYTES;
	if (asked.forks > FORKS_MAX)
		asked.forks = FORKS_MAX;
	if (!asked.bytes || asked.aliases < 1 || asked.aliases > ALIASES_MAX)
		return NULL;
	return argv[optind];
}

int main(int argc, char **argv)
{
	const char *what = parse(argc, argv);

	if (!what)
		return usage();
	if (!strcmp(what, "permitted"))
		return snapshots_permitted() ? 0 : 77;
	if (!strcmp(what, "forks"))
		forks();
	else if (!strcmp(what, "writes"))
		writes();
	else if (strcmp(what, "snapshots"))
		return usage();
	else if (asked.how == HOW_SHARED)
		snapshots_run();
	else if (asked.how == HOW_COPY)
		snapshots_copy();
	else
		snapshots_private();
	return 0;
}
