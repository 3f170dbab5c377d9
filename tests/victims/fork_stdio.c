/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_stdio TIMES: one thread forks, one flushes all files, the others read
 * lines into memory that they ask for while they have a file: nobody waits for
 * ever.  A child opens a file of its own.
 */
#include "fork_help.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS 3
#define LINES 40
#define LINE_MOST 20000
#define GIVEN_UP_S 60

static atomic_bool stop;
static char path[] = "/tmp/fork_stdio.XXXXXX";

static void *flush(void *unused)
{
	while (!stop)
		fflush(NULL);
	return unused;
}

static void *read_lines(void *unused)
{
	while (!stop) {
		FILE *f = fopen(path, "re");
		char *line = NULL;
		size_t size = 0;

		CHECK(f);
		while (getline(&line, &size, f) > 0) {
			free(line);
			line = NULL;
			size = 0;
		}
		free(line);
		CHECK(!fclose(f));
	}
	return unused;
}

static void lines_make(void)
{
	int fd = mkstemp(path);
	FILE *f;

	CHECK(fd >= 0);
	f = fdopen(fd, "w");
	CHECK(f);
	for (int i = 1; i <= LINES; i++)
		fprintf(f, "%*d\n", i * LINE_MOST / LINES, i);
	CHECK(!fclose(f));
}

static void fork_once(void)
{
	pid_t pid = fork();
	FILE *f;

	CHECK(pid >= 0);
	if (!pid) {
		alarm(GIVEN_UP_S);
		f = fopen("/dev/null", "we");
		CHECK(f && fputs("child", f) >= 0 && !fclose(f));
		_exit(0);
	}
	talk_reap(pid);
}

int main(int argc, char **argv)
{
	pthread_t thread[1 + READERS];

	victim_begin();
	CHECK(argc == 2);
	alarm(GIVEN_UP_S);
	lines_make();
	for (int i = 0; i <= READERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, i ? read_lines : flush,
				      NULL));
	for (unsigned long n = strtoul(argv[1], NULL, 10); n--;)
		fork_once();
	stop = true;
	for (int i = 0; i <= READERS; i++)
		CHECK(!pthread_join(thread[i], NULL));
	fork_once();
	CHECK(!unlink(path));
	return 0;
}
