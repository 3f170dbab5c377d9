/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exported libc names that change what a process is: before each, threads of
 * the shim's own end.  They would keep rights that the program gives up, and
 * the kernel refuses some of these calls to who has threads.
 */
#include "interpose/process.h"
#include "cow/cow.h"
#include "env/real.h"
#include "interpose/interpose.h"

#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

int capset(void *header, const void *data);

/* PROCESS_CALLS lists them: X(name, parameters, arguments) */
#define X(name, parameters, arguments)        \
	EXPORT int name parameters            \
	{                                     \
		int result;                   \
                                              \
		REAL_NEEDED(name);            \
		cow_pause();                  \
		result = real.name arguments; \
		cow_resume();                 \
		return result;                \
	}
PROCESS_CALLS(X)
#undef X
