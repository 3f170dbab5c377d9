/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exported libc names that read what a descriptor leads to, or pass it on: in a
 * child whose copy is still being made, what has not come there yet would be a
 * hole.
 */
#include "cow/cow.h"
#include "env/real.h"
#include "interpose/interpose.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>

/* REAL_READS lists them. */
#define X(result, name, parameters, arguments, fd) \
	result name parameters;                    \
	EXPORT result name parameters              \
	{                                          \
		if (!real.name)                    \
			real_init();               \
		cow_reads(fd);                     \
		return real.name arguments;        \
	}
REAL_READS(X)
#undef X
