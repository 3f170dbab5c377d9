/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens around fork; see fork.h.
 */
#include "shim/fork.h"

#include "env/guard.h"
#include "track/life.h"
#include "track/track.h"

#include <pthread.h>

static void child(void)
{
	life_fork_child(true);
	guard_leave();
}

void fork_init(void)
{
	pthread_atfork(life_fork_prepare, life_fork_parent, child);
}
