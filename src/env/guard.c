/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The re-entry guard; see guard.h.
 */
#include "env/guard.h"

#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <sys/mman.h>

__thread struct guard guard __attribute__((tls_model("initial-exec")));
bool guard_ready;
bool guard_early = true;

/*
 * A page that reads zero in a child (MADV_WIPEONFORK): tells a child of
 * _Fork() or of a raw fork, which run no handlers, that it is one.
 */
static uint32_t *fork_mark;
static void (*on_fork)(void);

int guard_watch_forks(void (*forked)(void))
{
	uint32_t *mark = mem_map(PAGE_BYTES);

	if (!mark)
		return -ENOMEM;
	/* refused before Linux 4.14: raw forks then go unnoticed */
	sys_madvise(mark, PAGE_BYTES, MADV_WIPEONFORK);
	*mark = 1;
	on_fork = forked;
	fork_mark = mark;
	return 0;
}

bool guard_forked(void)
{
	return fork_mark && !*fork_mark;
}

void guard_fork_seen(void)
{
	if (fork_mark)
		*fork_mark = 1;
}

void guard_enter(void)
{
	uint64_t mask;

	/* signals first: a handler must not find `busy` set by what it hit */
	sys_signals_block(&mask);
	guard.signals = mask;
	guard.busy = true;
	if (__builtin_expect(guard_forked(), 0)) {
		guard_fork_seen();
		on_fork();
	}
}

void guard_leave(void)
{
	uint64_t mask = guard.signals;

	guard.busy = false;
	sys_signals_restore(&mask);
}
