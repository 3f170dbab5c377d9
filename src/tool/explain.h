/* SPDX-License-Identifier: BSD-2-Clause */
/* The two things `anonshim explain` prints. */
#ifndef ANONSHIM_TOOL_EXPLAIN_H
#define ANONSHIM_TOOL_EXPLAIN_H

#include <stdbool.h>
#include <stdio.h>

#include "tool/subject.h"

/*
 * Every VMA, and below it the registry's regions in it, in address order; for
 * scripts (tsv) the regions alone.
 */
void explain_list(const struct subject *subject, bool tsv, FILE *to);

/*
 * What a name or an address is.  A name may be given as /proc/PID/smaps shows
 * it, with [anon:] or without, or be an owner or a site; a part of a name will
 * do where nothing matches as a whole.  False if nothing matches at all.
 */
bool explain_what(struct subject *subject, const char *what, FILE *to);

/* The flags of a region as words with commas, "-" for none. */
void explain_flags(uint32_t flags, char *to, size_t bytes);

#endif
