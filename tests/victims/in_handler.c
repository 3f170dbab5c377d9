/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A storm of SIGALRM whose handler maps and unmaps, while the program does:
 * "plain", "altstack", "jump" out of the handler with siglongjmp, "threads":
 * four of them map too.  errno of what was interrupted is not disturbed.
 */
#include "victim.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>

static sigjmp_buf back;
static volatile sig_atomic_t may_jump;
static volatile sig_atomic_t handled;
static int jumps;
static volatile int stop;

static void handler(int sig)
{
	int err = errno;
	void *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)sig;
	if (p == MAP_FAILED)
		_exit(3);
	*(volatile char *)p = 1;
	munmap(p, 2 * PAGE);
	handled = handled + 1;
	errno = err;
	if (jumps && may_jump && handled % 3 == 0) {
		may_jump = 0;
		siglongjmp(back, 1);
	}
}

static void *worker(void *arg)
{
	while (!stop)
		munmap(touch(anon(4), 4), 4 * PAGE);
	return arg;
}

static void start_storm(int on_altstack)
{
	struct sigaction action = {.sa_handler = handler};
	struct itimerval every = {{0, 300}, {0, 300}};
	stack_t stack = {.ss_size = 16 * PAGE};

	action.sa_flags = SA_RESTART;
	if (on_altstack) {
		stack.ss_sp = anon(16);
		CHECK(!sigaltstack(&stack, NULL));
		action.sa_flags |= SA_ONSTACK;
	}
	CHECK(!sigaction(SIGALRM, &action, NULL));
	CHECK(!setitimer(ITIMER_REAL, &every, NULL));
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "plain";
	volatile int rounds = 0;
	pthread_t thread;
	sigset_t set;

	victim_begin();
	jumps = !strcmp(how, "jump");
	for (int i = 0; !strcmp(how, "threads") && i < 4; i++)
		CHECK(!pthread_create(&thread, NULL, worker, NULL));
	start_storm(!strcmp(how, "altstack"));
	while (handled < 1500 || rounds < 20000) {
		if (sigsetjmp(back, 1))
			may_jump = 0;
		may_jump = 1;
		void *p = anon(3);
		errno = EXDEV;
		p = mremap(p, 3 * PAGE, 2 * PAGE, 0);
		CHECK(errno == EXDEV && p != MAP_FAILED);
		CHECK(!munmap(p, 2 * PAGE));
		may_jump = 0;
		rounds = rounds + 1;
	}
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	stop = 1;
	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int i = 1; i < 32; i++)
		CHECK(sigismember(&set, i) == 0);
	return 0;
}
