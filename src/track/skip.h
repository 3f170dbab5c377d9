/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose frames are looked through: wrappers that map memory for others.
 *
 * Contract: pure functions but for the option `skip`; safe anywhere after
 * start-up.
 */
#ifndef ANONSHIM_TRACK_SKIP_H
#define ANONSHIM_TRACK_SKIP_H

#include <stdbool.h>

/* Whether a frame in module OWNER, function SYMBOL, speaks for its caller. */
bool skip_frame(const char *owner, const char *symbol);

/* Whether OWNER, SYMBOL is an allocator: its memory serves many callers. */
bool skip_is_allocator(const char *owner, const char *symbol);

#endif
