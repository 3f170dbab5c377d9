/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A child that lives on: made by fork, _Fork, "raw" syscall(SYS_fork), "clone"
 * without CLONE_VM, forkpty or vforkless double fork.  The parent maps PAGES
 * pages in site_before, the child twice as many in site_after, then it prints
 * its PID and waits; the parent with it.
 */
#include "victim.h"

#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

NOINLINE static void *site_before(void)
{
	void *p = touch(anon(PAGES), PAGES);

	NO_TAIL_CALL();
	return p;
}

NOINLINE static void *site_after(void)
{
	void *p = touch(anon(2 * PAGES), 2 * PAGES);

	NO_TAIL_CALL();
	return p;
}

static pid_t make_child(const char *how)
{
	int master;

	if (!strcmp(how, "_Fork"))
		return _Fork();
	if (!strcmp(how, "raw"))
		return (pid_t)syscall(SYS_fork);
	if (!strcmp(how, "clone"))
		return (pid_t)syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);
	if (!strcmp(how, "forkpty"))
		return forkpty(&master, NULL, NULL, NULL);
	return fork();
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "fork";
	int out = dup(1);
	pid_t pid;
	char *p;

	victim_begin();
	p = site_before();
	pid = make_child(how);
	CHECK(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		alarm(LIFE_SECONDS);
		CHECK(p[PAGE] == 2);
		site_after();
		dprintf(out, "child %d\nready\n", (int)getpid());
	}
	for (;;)
		pause();
}
