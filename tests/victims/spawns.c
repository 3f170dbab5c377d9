/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts /bin/true in every way there is, with memory mapped before, between
 * and, where a vfork child may, inside: vfork, posix_spawn, system, popen.
 */
#include "victim.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static char *const command[] = {(char *)"sh", (char *)"-c", (char *)"exit 7",
				NULL};

static void reap(pid_t pid)
{
	int status;

	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void by_vfork(void)
{
	volatile pid_t pid = vfork();

	if (!pid) {
		void *p = mmap(NULL, PAGE, PROT_READ,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(p, PAGE);
		execve("/bin/sh", command, environ);
		_exit(1);
	}
	reap(pid);
}

static void by_spawn(void)
{
	pid_t pid = 0;

	CHECK(!posix_spawn(&pid, "/bin/sh", NULL, NULL, command, environ));
	reap(pid);
}

static void by_shell(void)
{
	int status = system("exit 7");
	FILE *pipe = popen("exit 7", "r");

	CHECK(WEXITSTATUS(status) == 7);
	CHECK(pipe);
	CHECK(WEXITSTATUS(pclose(pipe)) == 7);
}

int main(void)
{
	victim_begin();
	for (int i = 0; i < 20; i++) {
		touch(anon(PAGES), PAGES);
		by_vfork();
		by_spawn();
		munmap(touch(anon(3), 3), 3 * PAGE);
	}
	by_shell();
	return 0;
}
