/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The checks of `anonshim doctor`.  Each tries the thing itself rather than
 * asking for a version number, and changes nothing.
 */
#ifndef ANONSHIM_TOOL_DOCTOR_H
#define ANONSHIM_TOOL_DOCTOR_H

#include "tool/cli.h"

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_LIMITED, /* anonshim works, with less than there could be */
	DOCTOR_FAILED,	/* anonshim does not work here */
};

struct doctor_result {
	enum doctor_state state;
	char detail[256];
	const char *remedy; /* one line that mends it, NULL: nothing to mend */
};

struct doctor_check {
	const char *key;   /* for programs */
	const char *title; /* for people */
	void (*probe)(struct doctor_result *result);
};

/* doctor_kernel.c: what the kernel offers. */
void doctor_kernel(struct doctor_result *result);
void doctor_vma_names(struct doctor_result *result);
void doctor_smaps(struct doctor_result *result);
void doctor_pagemap(struct doctor_result *result);
void doctor_procmap_query(struct doctor_result *result);
void doctor_userfaultfd(struct doctor_result *result);
void doctor_max_map_count(struct doctor_result *result);

/* doctor_ptrace.c: reading other processes. */
void doctor_own_children(struct doctor_result *result);
void doctor_other_processes(struct doctor_result *result);

/* doctor_shim.c: the library. */
void doctor_shim(struct doctor_result *result);
void doctor_preload(struct doctor_result *result);

/*
 * What doctor_preload starts: looks for the shim in this very process, and
 * tells by its exit status.
 */
int doctor_self_check(void);

/* doctor_print.c */
void doctor_print(const struct doctor_check *checks,
		  const struct doctor_result *results, size_t count);
void doctor_print_json(const struct doctor_check *checks,
		       const struct doctor_result *results, size_t count);

/* Sets a result. */
void doctor_say(struct doctor_result *result, enum doctor_state state,
		const char *remedy, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The number in a file of /proc/sys, or -1. */
long doctor_sysctl(const char *path);

#endif
