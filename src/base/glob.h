/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell-like patterns: `*` any run of characters, `?` any one; all else
 * stands for itself.
 *
 * Contract: no memory, no recursion, time at most len(pattern) * len(text);
 * safe anywhere.
 */
#ifndef ANONSHIM_BASE_GLOB_H
#define ANONSHIM_BASE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all of TEXT matches the LEN bytes at PATTERN. */
bool glob_match(const char *pattern, size_t len, const char *text);

/* Whether any pattern of LIST, separated by `:`, matches all of TEXT. */
bool glob_match_list(const char *list, const char *text);

#endif
