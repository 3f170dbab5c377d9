/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose frames are looked through: wrappers that ask for memory for others.
 *
 * A wrapper is a function that hands on what it asks for, to whoever called
 * it, and keeps nothing: xmalloc(), or the growth of a string or vector.  An
 * allocator that cuts up what it maps serves many callers, and is none: so
 * PyObject_Malloc() is a wrapper of malloc(), but not of mmap().
 *
 * Contract: pure functions but for the option `skip`; safe anywhere after
 * start-up.
 */
#ifndef ANONSHIM_TRACK_SKIP_H
#define ANONSHIM_TRACK_SKIP_H

#include "wire/registry_abi.h"

#include <stdbool.h>

/* Once, at start-up, before the others.  Returns false where some of the
 * built-in names have no room, as the tests would tell. */
bool skip_init(void);

/*
 * Whether a frame in module OWNER, function SYMBOL, speaks for its caller where
 * it asks for memory of KIND.
 */
bool skip_frame(enum registry_kind kind, const char *owner, const char *symbol);

/* Whether OWNER, SYMBOL is an allocator: its memory serves many callers. */
bool skip_is_allocator(const char *owner, const char *symbol);

#endif
