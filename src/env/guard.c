/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The re-entry guard; see guard.h.
 */
#include "env/guard.h"

#include "base/sys.h"

__thread struct guard guard __attribute__((tls_model("initial-exec")));
bool guard_ready;

void guard_enter(void)
{
	uint64_t mask;

	/* signals first: a handler must not find `busy` set by what it hit */
	sys_signals_block(&mask);
	guard.signals = mask;
	guard.busy = true;
}

void guard_leave(void)
{
	uint64_t mask = guard.signals;

	guard.busy = false;
	sys_signals_restore(&mask);
}
