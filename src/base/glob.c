/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell-like patterns; see glob.h.
 */
#include "base/glob.h"

#include <string.h>

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

bool glob_match_list(const char *list, const char *text)
{
	while (*list) {
		size_t len = (size_t)(strchrnul(list, ':') - list);
		char first = *list;

		/* most patterns differ in their first character */
		if (len && (first == *text || first == '*' || first == '?') &&
		    glob_match(list, len, text))
			return true;
		list += len;
		list += *list == ':';
	}
	return false;
}
