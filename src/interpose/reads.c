/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exported libc names that read what a descriptor leads to, or pass it on: in a
 * child whose copy is still being made, what has not come there yet would be a
 * hole.  And those that write it otherwise than objects.c has it: snapshots
 * keep what is there.
 */
#include "cow/cow.h"
#include "env/real.h"
#include "interpose/interpose.h"

#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define DEFINE(result, name, parameters, arguments, before) \
	result name parameters;                             \
	EXPORT result name parameters                       \
	{                                                   \
		if (!real.name)                             \
			real_init();                        \
		before;                                     \
		return real.name arguments;                 \
	}

/* REAL_READS lists them. */
#define X(result, name, parameters, arguments, fd) \
	DEFINE(result, name, parameters, arguments, cow_reads(fd))
REAL_READS(X)
#undef X

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif

/* Where pwritev2() with FLAGS writes to, and how much, as cow.h has it. */
static const off_t *where(const off_t *at, int flags)
{
	static const off_t end = COW_END;

	return flags & RWF_APPEND ? &end : *at < 0 ? NULL : at;
}

static size_t how_much(const struct iovec *vec, int n, int flags)
{
	return flags & RWF_NOAPPEND ? SIZE_MAX : cow_vec_bytes(vec, n);
}

/* REAL_TRANSFERS lists them. */
#define X(result, name, parameters, arguments, fd, to, at, n)      \
	DEFINE(result, name, parameters, arguments, cow_reads(fd); \
	       if (cow_guards(to)) cow_overwrites(to, at, n))
REAL_TRANSFERS(X)
#undef X

/* ACTIONS may give the new process what it would not have. */
#define SPAWN(name)                                                           \
	real_spawn name;                                                      \
	EXPORT int name(pid_t *pid, const char *path, const void *actions,    \
			const void *attributes, char *const argv[],           \
			char *const vars[])                                   \
	{                                                                     \
		if (!real.name)                                               \
			real_init();                                          \
		cow_spawns(actions);                                          \
		return real.name(pid, path, actions, attributes, argv, vars); \
	}
SPAWN(posix_spawn)
SPAWN(posix_spawnp)
