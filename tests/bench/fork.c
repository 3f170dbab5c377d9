/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork [-a ALIASES] [-p PERCENT] [-t THREADS] [-n FORKS] [-e] WHAT MIB: how
 * long fork() keeps a process that has MIB of memory, PERCENT of its pages
 * touched and evenly spread.  WHAT is
 *
 *   private  private memory
 *   shared   a memfd, mapped ALIASES times, touched through each
 *   pwrite   the same; not a fork is measured, but one pass over the data: it
 *            is looked for and written into a new memfd
 *
 * Prints medians, in microseconds: until fork() has returned, and until the
 * child, which ends at once, or with -e executes /bin/true, has ended.
 *
 * Memory that was never touched, or has gone back to a virtual machine's host,
 * costs ten times what copying it does: there is a warm-up, and the first forks
 * do not count.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096ul
#define PIECE_BYTES (1ul << 20)
#define ALIASES_MAX 8
#define FORKS_MAX 10000
#define FORKS_WARM 2

static struct {
	int aliases, percent, threads, forks;
	bool executes, is_private, is_pass;
	size_t bytes;
} asked = {.aliases = 1, .percent = 100, .threads = 1};
static char *aliases[ALIASES_MAX];
static int memfd = -1;
static double stall_us[FORKS_MAX], whole_us[FORKS_MAX];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static char *map(int fd)
{
	int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	char *p = mmap(NULL, asked.bytes, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		fail("fork: mmap");
	return p;
}

static int new_memfd(void)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)asked.bytes))
		fail("fork: memfd");
	return fd;
}

static void touch(char *p)
{
	size_t step = 100 / (size_t)asked.percent * PAGE_BYTES;

	for (size_t at = 0; at < asked.bytes; at += step)
		*(volatile size_t *)(p + at) = at + 1;
}

static void prepare(void)
{
	char *p;

	memfd = asked.is_private ? -1 : new_memfd();
	for (int round = 0; round < 2; round++) {
		/* the second is kept */
		p = map(memfd);
		touch(p);
		if (!round)
			munmap(p, asked.bytes);
	}
	aliases[0] = p;
	for (int i = 1; i < asked.aliases && !asked.is_private; i++) {
		aliases[i] = map(memfd);
		touch(aliases[i]);
	}
}

static void write_data(int to, off_t from, off_t end)
{
	for (off_t at = from; at < end;) {
		size_t n = (size_t)(end - at);
		ssize_t written;

		if (n > PIECE_BYTES)
			n = PIECE_BYTES;
		written = pwrite(to, aliases[0] + at, n, at);
		if (written <= 0)
			fail("fork: pwrite");
		at += written;
	}
}

static void pass(int i)
{
	double start = now_us();
	int to = new_memfd();
	off_t end = 0;

	for (;;) {
		off_t data = lseek(memfd, end, SEEK_DATA);

		if (data < 0)
			break;
		end = lseek(memfd, data, SEEK_HOLE);
		write_data(to, data, end);
	}
	stall_us[i] = whole_us[i] = now_us() - start;
	close(to);
}

static void fork_once(int i)
{
	double start;
	pid_t pid;
	int status;

	/* or what the fork before has write-protected would be so already */
	touch(aliases[0]);
	start = now_us();
	pid = fork();
	if (!pid) {
		if (asked.executes)
			execl("/bin/true", "true", (char *)NULL);
		_exit(asked.executes);
	}
	stall_us[i] = now_us() - start;
	if (pid < 0)
		fail("fork: fork");
	if (waitpid(pid, &status, 0) != pid || status) {
		fprintf(stderr, "fork: wait status %#x\n", (unsigned)status);
		exit(1);
	}
	whole_us[i] = now_us() - start;
}

static void *idle(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values + FORKS_WARM, (size_t)asked.forks, sizeof(*values),
	      compare);
	return values[FORKS_WARM + asked.forks / 2];
}

static int usage(void)
{
	fputs("usage: fork [-a ALIASES] [-p PERCENT] [-t THREADS] [-n FORKS] "
	      "[-e] private|shared|pwrite MIB\n",
	      stderr);
	return 2;
}

/* 1 if there is no sense in them. */
static int parse(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "a:p:t:n:e")) != -1)
		if (c == 'a')
			asked.aliases = atoi(optarg);
		else if (c == 'p')
			asked.percent = atoi(optarg);
		else if (c == 't')
			asked.threads = atoi(optarg);
		else if (c == 'n')
			asked.forks = atoi(optarg);
		else if (c == 'e')
			asked.executes = true;
		else
			return 1;
	if (argc != optind + 2)
		return 1;
	asked.is_private = !strcmp(argv[optind], "private");
	asked.is_pass = !strcmp(argv[optind], "pwrite");
	asked.bytes = strtoul(argv[optind + 1], NULL, 10) << 20;
	if (!asked.bytes || asked.aliases < 1 || asked.aliases > ALIASES_MAX ||
	    asked.percent < 1 || asked.percent > 100)
		return 1;
	if (!asked.forks) {
		asked.forks = (int)((2048ul << 20) / asked.bytes);
		asked.forks = asked.forks > 101 ? 101 : asked.forks;
		asked.forks = asked.forks < 5 ? 5 : asked.forks;
	}
	return asked.forks < 1 || asked.forks > FORKS_MAX - FORKS_WARM;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (parse(argc, argv))
		return usage();
	prepare();
	for (int i = 1; i < asked.threads; i++)
		if (pthread_create(&thread, NULL, idle, NULL))
			fail("fork: pthread_create");
	for (int i = 0; i < asked.forks + FORKS_WARM; i++)
		if (asked.is_pass)
			pass(i);
		else
			fork_once(i);
	printf("%.1f %.1f\n", median(stall_us), median(whole_us));
	return 0;
}
