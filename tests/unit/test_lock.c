/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks: exclusion, patience that ends, children of fork.
 */
#include "base/lock.h"
#include "base/sys.h"
#include "support.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
#define TURNS 20000

static struct lock lock = LOCK_INIT(LOCK_MAP);
static unsigned long counter;
static bool inside;

static void *contend(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < TURNS; i++) {
		if (!lock_take(&lock))
			return (void *)1;
		if (inside)
			return (void *)2;
		inside = true;
		counter++;
		inside = false;
		lock_drop(&lock);
	}
	return NULL;
}

Test(lock, one_at_a_time)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, contend, NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
	cr_assert_eq(counter, THREADS * TURNS);
	cr_assert_eq(lock.word, 0);
}

static void *take_and_tell(void *arg)
{
	bool *took = arg;

	*took = lock_take(&lock);
	if (*took)
		lock_drop(&lock);
	return NULL;
}

/*
 * No time passes in this test: the first look at the clock gives 0, the second
 * the time since boot, which is longer than any patience.
 */
Test(lock, patience_ends)
{
	pthread_t thread;
	bool took = true;

	cr_assert(lock_take(&lock));
	cr_assert_gt(sys_now_ns(), LOCK_PATIENCE_NS);
	fault_set(SYS_clock_gettime, 0, 0, 1);
	pthread_create(&thread, NULL, take_and_tell, &took);
	pthread_join(thread, NULL);
	fault_none();
	cr_assert(!took);
	lock_drop(&lock);
	cr_assert(lock_take(&lock), "and it is as good as new");
	lock_drop(&lock);
}

/* The futex says EINTR, EAGAIN or nothing: the lock is waited for all the same.
 */
Test(lock, futex_may_fail)
{
	pthread_t thread;
	bool took = false;

	cr_assert(lock_take(&lock));
	fault_set(SYS_futex, -4, 0, 5);
	pthread_create(&thread, NULL, take_and_tell, &took);
	while (fault_count() < 5)
		sched_yield();
	lock_drop(&lock);
	pthread_join(thread, NULL);
	cr_assert(took);
}

Test(lock, reset_in_a_child_frees_what_anyone_held)
{
	int status = -1;
	pid_t pid;

	cr_assert(!lock_reset(&lock), "free");
	cr_assert(lock_take(&lock));
	pid = fork();
	if (!pid) {
		bool held = lock_reset(&lock);
		bool took = lock_take(&lock);

		_exit(held && took ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	cr_assert_eq(status, 0);
	lock_drop(&lock);
}

#ifndef NDEBUG
static struct lock site = LOCK_INIT(LOCK_SITE);

Test(lock, ranks_rise)
{
	cr_assert(lock_take(&site));
	cr_assert(lock_take(&lock));
	lock_drop(&lock);
	lock_drop(&site);
}

Test(lock, falling_ranks_abort_a_debug_build, .signal = SIGILL)
{
	lock_take(&lock);
	lock_take(&site);
}
#endif
