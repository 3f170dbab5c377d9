/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens around fork; see fork.h.
 */
#include "shim/fork.h"

#include "env/guard.h"
#include "heap/heap.h"
#include "track/life.h"
#include "track/track.h"

#include <pthread.h>

/* The heap first: a thread that has its locks may go on to want the map's. */
static void prepare(void)
{
	guard_enter();
	heap_fork_prepare();
	life_fork_prepare();
}

static void parent(void)
{
	life_fork_parent();
	heap_fork_parent();
	guard_leave();
}

static void child(void)
{
	life_fork_child(true);
	heap_fork_child();
	guard_leave();
}

void fork_init(void)
{
	pthread_atfork(prepare, parent, child);
	life_on_raw_fork(heap_fork_child);
}
