/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell-like patterns; see glob.h.
 */
#include "base/glob.h"

#include <string.h>

#define HEAD 6 /* characters that tell a pattern from most others */

bool glob_match(const char *pattern, size_t len, const char *text)
{
	const char *end = pattern + len;
	const char *star = NULL;  /* the pattern after the last `*` seen */
	const char *retry = NULL; /* where that `*` may stop matching next */

	while (*text) {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			retry = text;
		} else if (pattern < end &&
			   (*pattern == '?' || *pattern == *text)) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (pattern < end && *pattern == '*')
		pattern++;
	return pattern == end;
}

/* Most patterns differ in their first character. */
static bool matches(const char *pattern, size_t len, const char *text)
{
	char first = *pattern;

	return (first == *text || first == '*' || first == '?') &&
	       glob_match(pattern, len, text);
}

bool glob_match_list(const char *list, const char *text)
{
	while (*list) {
		size_t len = (size_t)(strchrnul(list, ':') - list);

		if (len && matches(list, len, text))
			return true;
		list += len;
		list += *list == ':';
	}
	return false;
}

/* Of a text, or a PATTERN, by how it begins; 0: that is too short. */
static unsigned head_of(const char *s, bool pattern)
{
	uint64_t hash = 0;

	for (int i = 0; i < HEAD; i++) {
		if (!s[i] ||
		    (pattern && (s[i] == ':' || s[i] == '*' || s[i] == '?')))
			return 0;
		hash = hash * 31 + (unsigned char)s[i];
	}
	return 1 + (unsigned)(hash % (GLOB_SET_HEADS - 1));
}

bool glob_set_add(struct glob_set *set, const char *list, uint8_t mark)
{
	while (*list) {
		const char *end = strchrnul(list, ':');
		unsigned head = head_of(list, true);
		uint16_t *first = head ? &set->first[head] : &set->any;
		unsigned i = set->count + 1U;

		if (end > list) {
			if (i >= GLOB_SET_MAX || end - list > UINT8_MAX)
				return false;
			set->pattern[i] = list;
			set->len[i] = (uint8_t)(end - list);
			set->mark[i] = mark;
			set->next[i] = *first;
			*first = set->count = (uint16_t)i;
		}
		list = end + (*end == ':');
	}
	return true;
}

/* From pattern I on. */
static uint8_t marks(const struct glob_set *set, unsigned i, const char *text)
{
	uint8_t found = 0;

	for (; i; i = set->next[i])
		if (matches(set->pattern[i], set->len[i], text))
			found |= set->mark[i];
	return found;
}

uint8_t glob_set_marks(const struct glob_set *set, const char *text)
{
	return marks(set, set->first[head_of(text, false)], text) |
	       marks(set, set->any, text);
}
