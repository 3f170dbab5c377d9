/* SPDX-License-Identifier: BSD-2-Clause */
/* The program that `anonshim run` is to start: can the shim be loaded? */
#ifndef ANONSHIM_TOOL_TARGET_H
#define ANONSHIM_TOOL_TARGET_H

#include <limits.h>
#include <stddef.h>

enum target_fit {
	TARGET_FITS,
	TARGET_STATIC,	/* no dynamic loader */
	TARGET_SECURE,	/* set-user-ID, set-group-ID or file capabilities */
	TARGET_FOREIGN, /* of another word size or architecture */
};

struct target {
	char path[PATH_MAX]; /* of the file the kernel will load */
	enum target_fit fit;
	const char *why; /* it does not fit, for people */
};

/*
 * Finds a command the way execvp does and looks at it, through `#!` lines to
 * the interpreter.  0; -ENOENT: there is no such command; another -errno: it
 * is there, but cannot be executed.  A file that cannot be read fits, for all
 * that is known.
 */
int target_find(struct target *target, const char *command);

#endif
