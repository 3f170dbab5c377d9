/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this kernel offers, probed once and cached.
 *
 * Contract: caps_init() at start-up, after config_init(); read-only after.
 * The option assume=names=0:procmap=0 overrides a
 * probe, for tests.
 */
#ifndef ANONSHIM_ENV_CAPS_H
#define ANONSHIM_ENV_CAPS_H

#include <stdbool.h>
#include <stdint.h>

/* X(field, what it is) */
#define CAPS(X)                                                       \
	X(names, "PR_SET_VMA_ANON_NAME (CONFIG_ANON_VMA_NAME, 5.17)") \
	X(procmap, "PROCMAP_QUERY (6.11)")                            \
	X(files, "files may be opened and memory peeked at")          \
	X(uffd, "userfaultfd may be asked for")                       \
	X(mincore, "mincore(2) tells of all memory that is not in swap")

struct caps {
#define X(field, text) bool field;
	CAPS(X)
#undef X
	uint64_t max_map_count; /* vm.max_map_count */
};

extern struct caps caps;

/* PROBE_NAMES: whether the kernel takes a name; the namer's to know. */
void caps_init(bool (*probe_names)(void));

/* Print what was found, for verbose=1. */
void caps_print(void);

#endif
