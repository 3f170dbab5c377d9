/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The re-entry guard: what of the shim this thread is in.
 *
 * While `busy`, a call that arrives at an interposed function comes from the
 * shim's own work on this thread (a libc function it called, another
 * interposer further down the chain) and is passed to the kernel as it is.
 * Signals are blocked meanwhile, so no handler of the program is ever
 * mistaken for that.
 *
 * A vfork child shares the thread-local storage, and the address space, of
 * the parent thread that waits for it: bookkeeping done there is right.
 */
#ifndef ANONSHIM_ENV_GUARD_H
#define ANONSHIM_ENV_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct guard {
	bool busy;
	bool fork_registry; /* which locks a fork under way holds */
	bool fork_map;
	bool fork_heap;
	uint64_t signals;    /* the mask to restore */
	uintptr_t stack_low; /* bounds of the thread's own stack; equal where */
	uintptr_t stack_high; /* they are not known */
};

extern __thread struct guard guard __attribute__((tls_model("initial-exec")));

/* Whether the shim records; interposers pass everything on otherwise. */
extern bool guard_ready;

/* Whether start-up is still to come. */
extern bool guard_early;

/* Whether the call that arrived is the program's, to be recorded. */
static inline bool guard_open(void)
{
	return __builtin_expect(guard_ready, 1) && !guard.busy;
}

/*
 * From here on a child of a fork that ran no handlers is noticed: its first
 * guard_enter() calls FORKED.  Returns 0 or -ENOMEM.
 */
int guard_watch_forks(void (*forked)(void));

/* Whether this is such a child, not yet noticed. */
bool guard_forked(void);

/* In such a child, or where handlers ran: it has been dealt with. */
void guard_fork_seen(void);

/*
 * Block signals and mark this thread busy; pair with guard_leave().  Signals
 * that an instruction raises stay open: the kernel kills where they are not.
 */
void guard_enter(void);
void guard_leave(void);

/*
 * The same where this thread may be busy already, or recording may have ended
 * and no signal may be blocked any more; pass the result on.
 */
static inline bool guard_enter_once(void)
{
	if (!guard_open())
		return false;
	guard_enter();
	return true;
}

static inline void guard_leave_once(bool entered)
{
	if (entered)
		guard_leave();
}

#endif
