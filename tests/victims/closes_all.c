/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Closes every descriptor (closefrom, range: close_range, loop: one by one),
 * opens three files, which become 0, 1 and 2, writes a line into each, maps
 * memory, runs threads, loads a library and forks, and writes a line more.
 */
#include "victim.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void *worker(void *arg)
{
	munmap(touch(anon(5), 5), 5 * PAGE);
	return arg;
}

static void work(void)
{
	char *many = anon(4000);
	pthread_t thread;
	int status;
	pid_t pid;

	/* past what max-vmas=1 allows */
	for (int i = 0; i < 2000; i++)
		if (munmap(many + 2 * i * PAGE, PAGE))
			_exit(3);
	touch(anon(1), 1);
	for (int i = 0; i < 8; i++) {
		if (pthread_create(&thread, NULL, worker, NULL))
			_exit(4);
		pthread_join(thread, NULL);
	}
	prctl(0x53564d41, 0, anon(1), PAGE, "mine");
	dlopen("libm.so.6", RTLD_NOW);
	touch(anon(2), 2);
	pid = fork();
	if (!pid) {
		touch(anon(2), 2);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		_exit(5);
}

static void line(int fd, const char *text)
{
	if (write(fd, text, strlen(text)) < 0)
		_exit(6);
}

int main(int argc, char **argv)
{
	static const char *const files[] = {"zero", "one", "two"};
	const char *how = argc > 1 ? argv[1] : "range";

	victim_begin();
	touch(anon(1), 1);
	if (!strcmp(how, "closefrom"))
		closefrom(0);
	else if (!strcmp(how, "range"))
		close_range(0, ~0U, 0);
	else
		for (int i = 0; i < 4096; i++)
			close(i);
	if (!strcmp(how, "none_open")) {
		work();
		return 0;
	}
	for (int i = 0; i < 3; i++)
		if (open(files[i], O_RDWR | O_CREAT | O_TRUNC, 0600) != i)
			_exit(7);
	for (int i = 0; i < 3; i++)
		line(i, "before\n");
	work();
	for (int i = 0; i < 3; i++)
		line(i, "after\n");
	return 0;
}
