/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_exits HOW: a child that has forked memory that is mapped twice ends, by
 * a call that ends a thread, its last; and so does the process.
 *
 *	clone	it returns from what clone() called
 *	first	the same, before there was such memory
 *	exit	exit(2) itself
 *	thread	that, and then a thread of its own that is left ends
 */
#include "fork_help.h"

#include <pthread.h>

#define TWIN_PAGES 64
#define STACK_BYTES 65536
#define STATUS 7
#define GIVEN_UP_S 20
#define LATER_US 100000

static struct twin twin;
static const char *how;

static bool is(const char *word)
{
	return !strcmp(how, word);
}

static void fork_once(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid)
		_exit(0);
	talk_reap(pid);
}

static int child_run(void *unused)
{
	(void)unused;
	whoami = "child";
	alarm(GIVEN_UP_S);
	if (is("first"))
		twin_make(&twin, TWIN_PAGES);
	twin_before(&twin);
	fork_once();
	return STATUS;
}

static void *later(void *unused)
{
	usleep(LATER_US);
	return unused;
}

static _Noreturn void child_ends(void)
{
	pthread_t thread;

	child_run(NULL);
	if (is("thread"))
		CHECK(!pthread_create(&thread, NULL, later, NULL));
	for (;;)
		syscall(SYS_exit, STATUS);
}

int main(int argc, char **argv)
{
	static char stack[STACK_BYTES] __attribute__((aligned(16)));
	int status;
	pid_t pid;

	victim_begin();
	CHECK(argc == 2);
	how = argv[1];
	if (!is("first"))
		twin_make(&twin, TWIN_PAGES);
	if (is("clone") || is("first"))
		pid = clone(child_run, stack + sizeof(stack), SIGCHLD, NULL);
	else
		pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		child_ends();
	CHECK(waitpid(pid, &status, 0) == pid);
	/* a thread of its own is the last, and says no status */
	if (is("thread") ? WIFSIGNALED(status) : status != STATUS << 8)
		wrong("the child: 0x%x", (unsigned)status);
	return 0;
}
