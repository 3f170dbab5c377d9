/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the shim in a process does with a shared object when that forks: its
 * policy (src/cow/policy.c), told from outside.  Not all that the shim goes by
 * can be seen there; what does not follow from the rest is unknown.
 *
 * Nothing here looks at the process.
 */
#ifndef ANONSHIM_TOOL_FORK_POLICY_H
#define ANONSHIM_TOOL_FORK_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#define FORK_LIST_BYTES 1024

enum fork_which { FORK_AUTO, FORK_ALL, FORK_NONE }; /* options.def's order */

/* The options about fork that are in force. */
struct fork_options {
	enum fork_which which;
	char private[FORK_LIST_BYTES + 1]; /* globs separated by : */
	char share[FORK_LIST_BYTES + 1];
	uint64_t max_copy_bytes;
	bool cut; /* the text had lost its end: others may be in force */
};

/* Reads ANONSHIM_OPTIONS as the registry holds it, the way the shim does. */
void fork_options_read(struct fork_options *options, const char *text);

/* Whether the shim looks at every shared mapping, not only at aliases. */
static inline bool fork_options_look_at_all(const struct fork_options *options)
{
	return options->which == FORK_ALL || options->private[0] != '\0';
}

enum fork_known { FORK_NO, FORK_YES, FORK_NOT_KNOWN };

/* What is known of an object. */
struct fork_object {
	uint32_t flags;		     /* OBJECT_* */
	enum fork_known named;	     /* it has a name that leads to it */
	enum fork_known sealed;	     /* F_SEAL_WRITE */
	enum fork_known sealed_then; /* F_SEAL_FUTURE_WRITE */
	const char *name;	     /* as maps has it, "" without one */
	/* of the site that mapped it, "" where that is not known */
	const char *site_name;
	const char *owner;
	const char *symbol;
};

enum fork_fate { FORK_COPIED, FORK_SHARED, FORK_UNKNOWN };

struct fork_verdict {
	enum fork_fate fate;
	const char *why; /* for people */
};

struct fork_verdict fork_decide(const struct fork_options *options,
				const struct fork_object *object);

/* What a copy takes, going by what was measured: see the manual. */
double fork_copy_ms(uint64_t kib);

#endif
