/* SPDX-License-Identifier: BSD-2-Clause */
/* Coroutines on stacks of mapped memory that map memory themselves. */
#include "victim.h"

#include <ucontext.h>

#define COROUTINES 50
#define STACK_PAGES 16

static ucontext_t home;
static ucontext_t context[COROUTINES];
static int steps;

NOINLINE static void *site_coroutine(void)
{
	void *p = touch(anon(1), 1);

	NO_TAIL_CALL();
	return p;
}

static void body(int me)
{
	for (int i = 0; i < 20; i++) {
		void *p = site_coroutine();

		steps++;
		swapcontext(&context[me], &home);
		CHECK(*(volatile char *)p == 1);
	}
}

int main(void)
{
	void *stack[COROUTINES];

	victim_begin();
	for (int i = 0; i < COROUTINES; i++) {
		stack[i] = anon(STACK_PAGES);
		CHECK(!getcontext(&context[i]));
		context[i].uc_stack.ss_sp = stack[i];
		context[i].uc_stack.ss_size = STACK_PAGES * PAGE;
		context[i].uc_link = &home;
		makecontext(&context[i], (void (*)(void))body, 1, i);
	}
	for (int round = 0; round < 21; round++)
		for (int i = 0; i < COROUTINES; i++)
			CHECK(!swapcontext(&home, &context[i]));
	CHECK(steps == 20 * COROUTINES);
	for (int i = 0; i < COROUTINES; i++)
		CHECK(!munmap(stack[i], STACK_PAGES * PAGE));
	victim_wait();
	return 0;
}
