/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps and makes threads on as small a stack as programs use: "coroutine" of
 * the bytes given, "thread" of the smallest size there is, "altstack" of a
 * handler.
 */
#include "victim.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

static ucontext_t home, context;
static volatile int finished;

static void work(void)
{
	char *p = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		_exit(3);
	p = mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	munmap(p + PAGE, PAGE);
	munmap(p, 8 * PAGE);
	finished = 1;
}

static void *routine(void *arg)
{
	work();
	return arg;
}

static void handler(int sig)
{
	(void)sig;
	work();
}

/* A stack of BYTES between two pages that must not be touched. */
static char *stack_of(size_t bytes)
{
	char *p = mmap(NULL, bytes + 2 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK(!mprotect(p, PAGE, PROT_NONE));
	CHECK(!mprotect(p + PAGE + bytes, PAGE, PROT_NONE));
	return p + PAGE;
}

static void in_coroutine(size_t bytes)
{
	CHECK(!getcontext(&context));
	context.uc_stack.ss_sp = stack_of(bytes);
	context.uc_stack.ss_size = bytes;
	context.uc_link = &home;
	makecontext(&context, work, 0);
	CHECK(!swapcontext(&home, &context));
}

static void in_thread(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	CHECK(!pthread_attr_setstacksize(
		&attr, (size_t)sysconf(_SC_THREAD_STACK_MIN)));
	CHECK(!pthread_create(&thread, &attr, routine, NULL));
	CHECK(!pthread_join(thread, NULL));
}

static void in_handler(size_t bytes)
{
	struct sigaction action = {.sa_handler = handler,
				   .sa_flags = SA_ONSTACK};
	stack_t stack = {.ss_sp = stack_of(bytes), .ss_size = bytes};

	CHECK(!sigaltstack(&stack, NULL));
	CHECK(!sigaction(SIGUSR1, &action, NULL));
	raise(SIGUSR1);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "thread";
	size_t bytes = argc > 2 ? (size_t)atol(argv[2]) : 8192;

	victim_begin();
	if (!strcmp(how, "coroutine"))
		in_coroutine(bytes);
	else if (!strcmp(how, "altstack"))
		in_handler(bytes);
	else
		in_thread();
	CHECK(finished);
	return 0;
}
