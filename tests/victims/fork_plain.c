/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_plain [copies]: vfork, posix_spawn, system and popen have no need of
 * copies: a child of vfork shares the twin, and none fails where a copy would
 * be too large.  With "copies", as under a max-copy= smaller than the twin:
 * fork fails with ENOMEM before and after, and the twin is whole.
 */
#include "fork_help.h"

#include <sched.h>
#include <spawn.h>

#define TWIN_PAGES 64
#define WRITES_TO 9
#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

extern char **environ;

static struct twin twin;
static bool copies;

static void fork_fails(void)
{
	pid_t pid;

	if (!copies)
		return;
	errno = 0;
	pid = fork();
	if (!pid)
		_exit(0);
	if (pid != -1 || errno != ENOMEM)
		wrong("fork is %d, errno %d, not -1 with ENOMEM", (int)pid,
		      errno);
	twin_see(&twin, VALUE_BEFORE, "after fork failed");
}

static int shares(void *arg)
{
	twin.two[0] = 1;
	_exit(arg != &twin);
}

/* What a child of vfork writes is there, privately or shared. */
static void vfork_shares(void)
{
	char *stack = anon(16);
	pid_t pid;

	pid = vfork();
	if (!pid) {
		twin.two[0] = 1;
		_exit(0);
	}
	CHECK(pid > 0);
	talk_reap(pid);
	CHECK(twin.one[0] == 1 && twin.two[0] == 1);
	twin_before(&twin);
	pid = clone(shares, stack + 16 * PAGE, CLONE_VM | CLONE_VFORK | SIGCHLD,
		    &twin);
	CHECK(pid > 0);
	talk_reap(pid);
	CHECK(twin.one[0] == 1 && twin.two[0] == 1);
	twin_before(&twin);
}

static void spawn(const char *script)
{
	char *words[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	pid_t pid;

	CHECK(!posix_spawn(&pid, "/bin/sh", NULL, NULL, words, environ));
	talk_reap(pid);
}

static void vfork_exec(const char *script)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/sh", "sh", "-c", script, (char *)NULL);
		_exit(1);
	}
	CHECK(pid > 0);
	talk_reap(pid);
}

static void by_system(const char *script)
{
	CHECK(system(script) == 0);
}

static void by_popen(const char *script)
{
	FILE *pipe = popen(script, "r");
	char line[16] = "";

	CHECK(pipe && !fgets(line, sizeof(line), pipe));
	CHECK(!pclose(pipe));
}

/* The descriptor that a program inherits is of the parent's own object. */
static void written_by(void (*run)(const char *))
{
	char word[sizeof(uint64_t)];

	CHECK(lseek(WRITES_TO, 0, SEEK_SET) == 0);
	run("printf written- >&" TEXT(WRITES_TO));
	memcpy(word, (const void *)twin.two, sizeof(word));
	if (memcmp(word, "written-", sizeof(word)))
		wrong("what a program wrote is not in the twin");
	twin_before(&twin);
	twin_see(&twin, VALUE_BEFORE, "after a program");
}

int main(int argc, char **argv)
{
	victim_begin();
	copies = argc > 1;
	twin_make(&twin, TWIN_PAGES);
	twin_before(&twin);
	fork_fails();
	vfork_shares();
	CHECK(dup2(twin.fd, WRITES_TO) == WRITES_TO);
	written_by(spawn);
	written_by(vfork_exec);
	written_by(by_system);
	written_by(by_popen);
	CHECK(!close(WRITES_TO));
	fork_fails();
	return 0;
}
