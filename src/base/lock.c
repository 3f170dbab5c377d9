/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Futex locks, three states (Drepper, "Futexes are tricky", 2011); see lock.h.
 */
#include "base/lock.h"

#include "base/sys.h"

#include <errno.h>

#define FREE 0
#define HELD 1
#define CONTENDED 2
#define SPINS 100

#ifndef NDEBUG
static __thread uint32_t ranks_held __attribute__((tls_model("initial-exec")));

static void rank_enter(const struct lock *lock)
{
	if (ranks_held >> lock->rank)
		__builtin_trap();
	ranks_held |= UINT32_C(1) << lock->rank;
}

static void rank_leave(const struct lock *lock)
{
	ranks_held &= ~(UINT32_C(1) << lock->rank);
}
#else
static void rank_enter(const struct lock *lock)
{
	(void)lock;
}

static void rank_leave(const struct lock *lock)
{
	(void)lock;
}
#endif

static uint32_t lingering;
static uint64_t lingered_ns; /* until when, at last */

void locks_linger(bool begins)
{
	if (!begins)
		__atomic_store_n(&lingered_ns, sys_now_ns(), __ATOMIC_RELAXED);
	__atomic_fetch_add(&lingering, begins ? 1 : UINT32_MAX,
			   __ATOMIC_RELAXED);
}

void locks_linger_reset(void)
{
	lingering = 0;
}

static bool try_take(struct lock *lock)
{
	uint32_t expected = FREE;

	return __atomic_compare_exchange_n(&lock->word, &expected, HELD, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static bool take_slowly(struct lock *lock)
{
	uint64_t start;

	for (int i = 0; i < SPINS; i++) {
		__builtin_ia32_pause();
		if (__atomic_load_n(&lock->word, __ATOMIC_RELAXED) == FREE &&
		    try_take(lock))
			return true;
	}
	start = sys_now_ns();
	while (__atomic_exchange_n(&lock->word, CONTENDED, __ATOMIC_ACQUIRE) !=
	       FREE) {
		uint64_t since =
			__atomic_load_n(&lingered_ns, __ATOMIC_RELAXED);
		uint64_t now = sys_now_ns();
		uint64_t waited;

		if (__atomic_load_n(&lingering, __ATOMIC_RELAXED))
			start = now;
		else if (since > start)
			start = since < now ? since : now;
		waited = now - start;
		if (waited >= LOCK_PATIENCE_NS) {
			__atomic_store_n(&lock->suspect, true,
					 __ATOMIC_RELAXED);
			return false;
		}
		sys_futex_wait(&lock->word, CONTENDED,
			       LOCK_PATIENCE_NS - waited);
	}
	return true;
}

bool lock_take(struct lock *lock)
{
	if (!try_take(lock) &&
	    (__atomic_load_n(&lock->suspect, __ATOMIC_RELAXED) ||
	     !take_slowly(lock)))
		return false;
	rank_enter(lock);
	return true;
}

void lock_drop(struct lock *lock)
{
	rank_leave(lock);
	__atomic_store_n(&lock->suspect, false, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&lock->word, FREE, __ATOMIC_RELEASE) ==
	    CONTENDED)
		sys_futex_wake(&lock->word, 1);
}

bool lock_reset(struct lock *lock)
{
	rank_leave(lock);
	lock->suspect = false;
	return __atomic_exchange_n(&lock->word, FREE, __ATOMIC_RELEASE) != FREE;
}
