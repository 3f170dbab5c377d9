/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell-like patterns.
 */
#include "base/glob.h"

#include <criterion/criterion.h>
#include <fnmatch.h>
#include <stdint.h>
#include <string.h>

#include "support.h"

static bool match(const char *pattern, const char *text)
{
	return glob_match(pattern, strlen(pattern), text);
}

Test(glob, what_matches)
{
	cr_assert(match("", ""));
	cr_assert(match("*", ""));
	cr_assert(match("*", "anything"));
	cr_assert(match("a?c", "abc"));
	cr_assert(match("lib*.so*", "libssl.so.3"));
	cr_assert(match("*a*b*c", "xxaxxbxbxxc"));
	cr_assert(match("***", "x"));
}

Test(glob, what_does_not)
{
	cr_assert(!match("", "a"));
	cr_assert(!match("?", ""));
	cr_assert(!match("a", "ab"));
	cr_assert(!match("ab", "a"));
	cr_assert(!match("*a", "ab"));
	cr_assert(!match("a*b?", "ab"));
	cr_assert(!match("[a]", "a"), "brackets stand for themselves");
	cr_assert(match("[a]", "[a]"));
}

/* libc's own matcher, for patterns of a small alphabet. */
Test(glob, agrees_with_fnmatch)
{
	uint64_t state = 5;

	for (unsigned i = 0; i < 100000; i++) {
		char pattern[9] = "";
		char text[9] = "";

		for (unsigned n = draw(&state) % 8; n--;)
			pattern[n] = "ab*?"[draw(&state) % 4];
		for (unsigned n = draw(&state) % 8; n--;)
			text[n] = "ab"[draw(&state) % 2];
		cr_assert_eq(match(pattern, text), !fnmatch(pattern, text, 0),
			     "%s on %s", pattern, text);
	}
}

Test(glob, a_list_matches_where_one_of_it_does)
{
	uint64_t state = 6;

	for (unsigned i = 0; i < 100000; i++) {
		char list[24] = "";
		char text[4] = "";
		bool any = false;

		for (unsigned n = draw(&state) % 23; n--;)
			list[n] = "ab*?::"[draw(&state) % 6];
		for (unsigned n = draw(&state) % 4; n--;)
			text[n] = "ab"[draw(&state) % 2];
		for (const char *p = list; p; p = strchr(p, ':')) {
			p += *p == ':';
			any |= strcspn(p, ":") &&
			       glob_match(p, strcspn(p, ":"), text);
		}
		cr_assert_eq(glob_match_list(list, text), any, "%s on %s", list,
			     text);
	}
}

/* Texts and patterns that are longer than a head, and shorter. */
Test(glob, a_set_finds_what_a_list_of_it_does)
{
	static const char letters[] = "abc*?:::";
	struct glob_set set;
	uint64_t state = 7;

	for (unsigned i = 0; i < 20000; i++) {
		char list[3][64] = {""};
		char text[12] = "";

		set = (struct glob_set){0};
		for (unsigned k = 0; k < 3; k++) {
			bool plain = draw(&state) % 2;

			for (unsigned n = draw(&state) % 63; n--;)
				list[k][n] = letters[draw(&state) % 8 %
						     (plain ? 3 : 8)];
			if (plain && draw(&state) % 2)
				list[k][draw(&state) % 12] = '*';
			cr_assert(
				glob_set_add(&set, list[k], (uint8_t)(1 << k)));
		}
		for (unsigned n = draw(&state) % 11; n--;)
			text[n] = "abc"[draw(&state) % 3];
		for (unsigned k = 0; k < 3; k++)
			cr_assert_eq(glob_set_marks(&set, text) >> k & 1,
				     glob_match_list(list[k], text), "%s on %s",
				     list[k], text);
	}
}

Test(glob, a_set_has_room_for_so_many)
{
	struct glob_set set = {0};
	char list[256 + 1];

	for (unsigned i = 1; i < GLOB_SET_MAX; i++)
		cr_assert(glob_set_add(&set, ":x::", 1));
	cr_assert(!glob_set_add(&set, "x", 1));
	cr_assert_eq(glob_set_marks(&set, "x"), 1);
	cr_assert_eq(glob_set_marks(&set, ""), 0);
	set = (struct glob_set){0};
	memset(list, 'y', sizeof(list) - 1);
	list[sizeof(list) - 1] = '\0';
	cr_assert(!glob_set_add(&set, list, 1), "nor for longer ones");
}

Test(glob, many_stars_take_no_exponential_time)
{
	char text[4096];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	cr_assert(!match("*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

Test(glob, lists)
{
	cr_assert(glob_match_list("x:y*:z", "yes"));
	cr_assert(glob_match_list("x:y*:z", "z"));
	cr_assert(!glob_match_list("x:y*:z", "no"));
	cr_assert(!glob_match_list("", ""));
	cr_assert(!glob_match_list("::", ""), "an empty pattern is none");
	cr_assert(glob_match_list("::a:", "a"));
	cr_assert(!glob_match_list("a:b", "a:b"));
}
