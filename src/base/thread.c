/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads of the shim's own; see thread.h.
 */
#include "base/thread.h"

#include "base/mem.h"
#include "base/sys.h"

#include <asm/prctl.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <sys/syscall.h>

#define STACK_BYTES (64 << 10)
#define STORAGE_BYTES (8 << 10) /* at its lower end, and as much above it */
#define WAIT_NS UINT64_C(1000000000)

struct start {
	void (*function)(void *);
	void *arg;
};

/*
 * Its maker's storage goes with its maker: below the stack there is some that
 * stays, though nothing should ask for it.
 */
static void own_storage(void *stack)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && \
	!defined(__SANITIZE_ADDRESS__)
	uintptr_t *at = (uintptr_t *)(page_up((uintptr_t)stack) - STACK_BYTES +
				      STORAGE_BYTES);

	at[0] = (uintptr_t)at;
	sys_call(SYS_arch_prctl, ARCH_SET_FS, (long)at, 0, 0, 0, 0);
#else
	(void)stack;
#endif
}

/* What a new thread begins with. */
static _Noreturn void begin(void *stack)
{
	struct start *s = stack;

	own_storage(stack);
	s->function(s->arg);
	for (;;)
		sys_call(SYS_exit, 0, 0, 0, 0, 0, 0);
}

static int start(struct thread *t, void (*function)(void *), void *arg,
		 unsigned long more)
{
	const unsigned long flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND |
				    CLONE_THREAD | CLONE_SYSVSEM |
				    CLONE_CHILD_CLEARTID | more;
	struct start *s;
	long result;

	thread_wait(t); /* it may not have left its stack yet */
	if (!t->stack) {
		result = sys_mmap_private(STACK_BYTES);
		if (sys_failed(result))
			return -ENOMEM;
		t->stack = (void *)result;
	}
	s = (struct start *)((char *)t->stack + STACK_BYTES) - 1;
	*s = (struct start){function, arg};
	__atomic_store_n(&t->alive, 1, __ATOMIC_RELAXED);
	result = sys_clone_to(flags, s, &t->alive, begin);
	t->tid = result;
	if (!sys_failed(result))
		return 0;
	__atomic_store_n(&t->alive, 0, __ATOMIC_RELAXED);
	t->tid = 0;
	return (int)result;
}

int thread_start(struct thread *t, void (*function)(void *), void *arg)
{
	return start(t, function, arg, 0);
}

int thread_start_helper(struct thread *t, void (*function)(void *), void *arg)
{
	return start(t, function, arg, CLONE_FILES);
}

void thread_wait(struct thread *t)
{
	long tid = __atomic_load_n(&t->tid, __ATOMIC_RELAXED);

	while (__atomic_load_n(&t->alive, __ATOMIC_ACQUIRE))
		sys_futex_wait_shared(&t->alive, 1, WAIT_NS);
	/* the kernel counts it for a moment more */
	while (tid > 0 &&
	       sys_call(SYS_tgkill, sys_getpid(), tid, 0, 0, 0, 0) != -ESRCH)
		sys_yield();
	__atomic_store_n(&t->tid, 0, __ATOMIC_RELAXED);
}

void thread_forget(struct thread *t)
{
	__atomic_store_n(&t->alive, 0, __ATOMIC_RELAXED);
	t->tid = 0;
}

static void sort(int *numbers, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		int number = numbers[i];
		size_t j = i;

		for (; j && numbers[j - 1] > number; j--)
			numbers[j] = numbers[j - 1];
		numbers[j] = number;
	}
}

void thread_keep(int *kept, size_t n)
{
	unsigned from = 0;

	sort(kept, n);
	for (size_t i = 0; i <= n; i++) {
		unsigned to = i < n ? (unsigned)kept[i] : UINT_MAX;

		if (to > from)
			sys_call(SYS_close_range, from, i < n ? to - 1 : to, 0,
				 0, 0, 0);
		from = to + 1;
	}
}
