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
#include <stdint.h>

/* Whether all of TEXT matches the LEN bytes at PATTERN. */
bool glob_match(const char *pattern, size_t len, const char *text);

/* Whether any pattern of LIST, separated by `:`, matches all of TEXT. */
bool glob_match_list(const char *list, const char *text);

/*
 * Patterns with marks, found by how a text begins: of hundreds only a few are
 * tried.  Zeroed: none.
 */
#define GLOB_SET_MAX 512
#define GLOB_SET_HEADS 256
struct glob_set {
	uint16_t count;
	/* the first of those with a short head, and of each head; 0: none */
	uint16_t any;
	uint16_t first[GLOB_SET_HEADS];
	/* of each pattern, from 1 on */
	uint16_t next[GLOB_SET_MAX];
	uint8_t len[GLOB_SET_MAX];
	uint8_t mark[GLOB_SET_MAX];
	const char *pattern[GLOB_SET_MAX];
};

/* The patterns of LIST, which stays, with MARK; false: they are too many. */
bool glob_set_add(struct glob_set *set, const char *list, uint8_t mark);

/* The marks, together, of the patterns that match all of TEXT; 0: none does. */
uint8_t glob_set_marks(const struct glob_set *set, const char *text);

#endif
