/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Alias groups: shared objects that a process has mapped at two addresses at
 * once, or that a fork of it would copy for other reasons, with what a fork
 * does with each.
 *
 * The registry says which there are; the kernel, where they are mapped and
 * what they hold.  What neither knows is left open: see the fields.
 */
#ifndef ANONSHIM_TOOL_ALIAS_GROUP_H
#define ANONSHIM_TOOL_ALIAS_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/fork_policy.h"
#include "tool/label.h"
#include "tool/subject.h"

enum alias_kind { ALIAS_ANONYMOUS, ALIAS_MEMFD, ALIAS_FILE, ALIAS_UNKNOWN };

/* Devices as /proc/PID/maps has them, the major above. */
struct alias_identity {
	uint64_t dev;
	uint64_t ino; /* 0: not known */
};

struct alias_group {
	const struct registry_object *object; /* NULL: it does not know it */
	uint32_t flags;			      /* OBJECT_* */
	enum alias_kind kind;
	const char *name;   /* of a memfd its own, of a file its path; or "" */
	struct label label; /* of the site that mapped it first */
	struct alias_identity identity;
	const struct vma *const *vma; /* its mappings, by address */
	size_t nvmas;
	bool has_size;
	uint64_t size_kib;
	bool has_held;	   /* else at least rss_kib */
	uint64_t held_kib; /* in memory or in swap */
	bool has_rss;
	uint64_t rss_kib; /* of its mappings, each page once at most */
	struct fork_verdict fork;
};

struct alias_groups {
	bool known; /* false: no registry says which there are */
	bool core; /* of a core file: mappings and what is held are not known */
	struct alias_group *group;
	size_t count;
	size_t cap;
	const struct vma **vma; /* all shared mappings, by object */
	struct fork_options options;
};

/* Finds them, what is copied first, then the largest. */
void alias_groups_make(struct alias_groups *groups, struct subject *subject);
void alias_groups_destroy(struct alias_groups *groups);

/* The group that has a mapping at addr, or NULL. */
const struct alias_group *alias_groups_find(const struct alias_groups *groups,
					    uint64_t addr);

/* KiB that a copy of it takes; at least so many, unless has_held. */
uint64_t alias_group_cost_kib(const struct alias_group *group);

#endif
