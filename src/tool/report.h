/* SPDX-License-Identifier: BSD-2-Clause */
/* What `anonshim report` found, and the three ways to print it. */
#ifndef ANONSHIM_TOOL_REPORT_H
#define ANONSHIM_TOOL_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tool/alias_group.h"
#include "tool/rows.h"
#include "tool/subject.h"

/* Incremented when a key changes its meaning or goes. */
#define REPORT_SCHEMA_VERSION 1

struct report {
	const struct subject *subject;
	struct rows rows;
	struct amounts total;
	struct amounts anonymous;
	uint64_t named_kib;	 /* RSS of anonymous memory that has an owner */
	uint64_t heap_stack_kib; /* RSS of [heap] and [stack] */
	bool has_heap;		 /* the process has an arena of the shim's */
	uint64_t live_bytes;	 /* of all arenas */
	struct alias_groups aliases;
};

/* Goes through the subject's memory. */
void report_make(struct report *report, struct subject *subject,
		 enum rows_by by);
void report_destroy(struct report *report);

void report_print(const struct report *report, FILE *to);
void report_print_tsv(const struct report *report, FILE *to);
void report_print_json(const struct report *report, FILE *to);

#endif
