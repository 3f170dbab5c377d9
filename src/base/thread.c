/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads of the shim's own; see thread.h.
 */
#include "base/thread.h"

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>

#define STACK_BYTES (64 << 10)
#define WAIT_NS UINT64_C(1000000000)

struct start {
	void (*function)(void *);
	void *arg;
};

/* What a new thread begins with. */
static _Noreturn void begin(void *stack)
{
	struct start *s = stack;

	s->function(s->arg);
	for (;;)
		sys_call(SYS_exit, 0, 0, 0, 0, 0, 0);
}

int thread_start(struct thread *t, void (*function)(void *), void *arg)
{
	const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND |
				    CLONE_THREAD | CLONE_SYSVSEM |
				    CLONE_CHILD_CLEARTID;
	struct start *s;
	long result;

	thread_wait(t); /* it may not have left its stack yet */
	if (!t->stack)
		t->stack = mem_map(STACK_BYTES);
	if (!t->stack)
		return -ENOMEM;
	s = (struct start *)((char *)t->stack + STACK_BYTES) - 1;
	*s = (struct start){function, arg};
	__atomic_store_n(&t->alive, 1, __ATOMIC_RELAXED);
	result = sys_clone_to(flags, s, &t->alive, begin);
	if (!sys_failed(result))
		return 0;
	__atomic_store_n(&t->alive, 0, __ATOMIC_RELAXED);
	return (int)result;
}

void thread_wait(struct thread *t)
{
	while (__atomic_load_n(&t->alive, __ATOMIC_ACQUIRE))
		sys_futex_wait_shared(&t->alive, 1, WAIT_NS);
}

void thread_forget(struct thread *t)
{
	__atomic_store_n(&t->alive, 0, __ATOMIC_RELAXED);
}

void thread_keep(const int *kept, size_t n)
{
	unsigned from = 0;

	for (size_t i = 0; i <= n; i++) {
		unsigned to = i < n ? (unsigned)kept[i] : UINT_MAX;

		if (to > from)
			sys_call(SYS_close_range, from, i < n ? to - 1 : to, 0,
				 0, 0, 0);
		from = to + 1;
	}
}
