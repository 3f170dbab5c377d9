/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * measure [-p LIBRARY] [-n TIMES] COMMAND...: runs it TIMES times, with LIBRARY
 * preloaded into it alone, its output thrown away.  Prints medians, in one
 * line: milliseconds elapsed, milliseconds of processor time, and the most
 * memory resident, in KiB.  SIGTERM goes on to COMMAND, which for a server is
 * the way to end; it comes too when who started this ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TIMES_MAX 10000

extern char **environ;

static double elapsed_ms[TIMES_MAX], cpu_ms[TIMES_MAX], rss_kib[TIMES_MAX];
static volatile sig_atomic_t running;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double timeval_ms(struct timeval t)
{
	return (double)t.tv_sec * 1e3 + (double)t.tv_usec / 1e3;
}

static void fail(const char *what, int error)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(error));
	exit(1);
}

static void pass_on(int signal)
{
	if (running)
		kill((pid_t)running, signal);
	else
		_exit(128 + signal);
}

/* SIGTERM waits until it is known whom to pass it on to. */
static int spawn(pid_t *pid, char **command, char **environment,
		 const posix_spawn_file_actions_t *actions)
{
	posix_spawnattr_t attributes;
	sigset_t term, old;
	int error;

	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &old);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attributes, &old);
	error = posix_spawnp(pid, command[0], actions, &attributes, command,
			     environment);
	posix_spawnattr_destroy(&attributes);
	running = error ? 0 : *pid;
	sigprocmask(SIG_SETMASK, &old, NULL);
	return error;
}

static void run(char **command, char **environment,
		const posix_spawn_file_actions_t *actions, int i)
{
	struct rusage usage;
	double start = now_ms();
	int status, error;
	pid_t pid;

	error = spawn(&pid, command, environment, actions);
	if (error)
		fail(command[0], error);
	if (wait4(pid, &status, 0, &usage) != pid)
		fail("wait4", errno);
	running = 0;
	elapsed_ms[i] = now_ms() - start;
	cpu_ms[i] = timeval_ms(usage.ru_utime) + timeval_ms(usage.ru_stime);
	rss_kib[i] = (double)usage.ru_maxrss;
	if (status) {
		fprintf(stderr, "measure: %s: wait status %#x\n", command[0],
			(unsigned)status);
		exit(1);
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), compare);
	return values[n / 2];
}

/* The environment with LD_PRELOAD=LIBRARY, or without LD_PRELOAD. */
static char **make_environment(const char *library)
{
	static char assignment[4096];
	size_t n = 0, kept = 0;
	char **made;

	while (environ[n])
		n++;
	made = calloc(n + 2, sizeof(*made));
	if (!made)
		fail("environment", ENOMEM);
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "LD_PRELOAD=", 11) != 0)
			made[kept++] = environ[i];
	if (library) {
		snprintf(assignment, sizeof(assignment), "LD_PRELOAD=%s",
			 library);
		made[kept] = assignment;
	}
	return made;
}

int main(int argc, char **argv)
{
	const char *library = NULL;
	posix_spawn_file_actions_t actions;
	char **environment;
	int times = 1, c;

	while ((c = getopt(argc, argv, "+p:n:")) != -1)
		if (c == 'p')
			library = optarg;
		else if (c == 'n')
			times = atoi(optarg);
		else
			return 2;
	if (optind == argc || times < 1 || times > TIMES_MAX) {
		fputs("usage: measure [-p LIBRARY] [-n TIMES] COMMAND...\n",
		      stderr);
		return 2;
	}
	environment = make_environment(library);
	sigaction(SIGTERM,
		  &(struct sigaction){.sa_handler = pass_on,
				      .sa_flags = SA_RESTART},
		  NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	for (int i = 0; i < times; i++)
		run(argv + optind, environment, &actions, i);
	printf("%.3f %.3f %.0f\n", median(elapsed_ms, times),
	       median(cpu_ms, times), median(rss_kib, times));
	return 0;
}
