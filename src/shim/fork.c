/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens around fork; see fork.h.
 */
#include "shim/fork.h"

#include "env/guard.h"
#include "track/track.h"

#include <pthread.h>

static void child(void)
{
	track_fork_child(true);
	guard_leave();
}

void fork_init(void)
{
	pthread_atfork(track_fork_prepare, track_fork_parent, child);
}
