/* SPDX-License-Identifier: BSD-2-Clause */
/* Printing a site's call stack with the functions its frames are in. */
#ifndef ANONSHIM_TOOL_CALLSTACK_H
#define ANONSHIM_TOOL_CALLSTACK_H

#include <stdio.h>

#include "tool/subject.h"
#include "tool/symbolise.h"

/* The symbols of the modules met so far. */
struct callstack {
	struct subject *subject;
	struct symbolise *symbols; /* one a module of the registry */
	bool *tried;
};

/* The subject must have a registry. */
void callstack_init(struct callstack *stack, struct subject *subject);
void callstack_destroy(struct callstack *stack);

/* Prints the frames of a site, innermost first, a line each. */
void callstack_print(struct callstack *stack, const struct registry_site *site,
		     FILE *to);

#endif
