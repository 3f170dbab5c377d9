/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Composing names.
 */
#include "support.h"
#include "track/name.h"

#include <criterion/criterion.h>
#include <string.h>

static char out[NAME_BYTES];

static const char *compose(const char *template, const char *owner,
			   const char *kind, const char *site)
{
	struct name_parts parts = {.owner = owner,
				   .kind = kind,
				   .site = site,
				   .tid = 12,
				   .pid = 3};

	name_compose(template, &parts, out);
	return out;
}

Test(name, the_designs_examples)
{
	cr_assert_str_eq(compose("%o: %k %s", "libpython3.11.so.1.0", "heap",
				 "PyObject_Malloc"),
			 "libpython3.11.so.1.0: heap PyObject_Malloc");
	cr_assert_str_eq(compose("%o: %k %s", "libc.so.6", "bss", ""),
			 "libc.so.6: bss");
}

Test(name, every_part_of_a_template)
{
	cr_assert_str_eq(compose("%p/%t %s%%%o %k%", "o", "k", "s"),
			 "3/12 s%o k%");
	cr_assert_str_eq(compose("%x%", "o", "k", "s"), "x%");
}

Test(name, no_thread_no_number)
{
	struct name_parts parts = {.owner = "o", .kind = "k", .site = "s"};

	name_compose("%o %t%p.", &parts, out);
	cr_assert_str_eq(out, "o .");
}

Test(name, characters_the_kernel_refuses)
{
	cr_assert_str_eq(compose("%s", "", "", "a\\b`c$d[e]f\x01g\x7fh\xffi"),
			 "a!b!c!d!e!f!g!h!i");
	cr_assert(name_valid(out));
}

Test(name, validity_of_each_character)
{
	for (int i = 1; i < 256; i++) {
		char text[2] = {(char)i, '\0'};
		bool want = i >= 0x20 && i <= 0x7e && !strchr("\\`$[]", i);

		cr_assert_eq(name_valid(text), want, "%#x", i);
	}
	cr_assert(name_valid(""));
}

Test(name, blanks_at_the_end_go)
{
	cr_assert_str_eq(compose("%o: %k %s   ", "o", "k", ""), "o: k");
	cr_assert_str_eq(compose("  ", "", "", ""), "");
}

/* 79 bytes: the owner whole, then the tail of the site. */
Test(name, truncation_keeps_owner_and_the_tail_of_the_site)
{
	char site[300];
	const char *name;

	memset(site, 'x', sizeof(site));
	strcpy(site + sizeof(site) - 5, "TAIL");
	name = compose("%o: %k %s", "libfoo.so.1", "mmap", site);
	cr_assert_eq(strlen(name), 79);
	cr_assert_eq(strncmp(name, "libfoo.so.1: mmap x", 19), 0);
	cr_assert_str_eq(name + 75, "TAIL");
}

Test(name, exactly_79_bytes_lose_nothing)
{
	char site[80];

	memset(site, 'y', sizeof(site));
	site[79 - strlen("o: k ")] = '\0';
	cr_assert_eq(strlen(compose("%o: %k %s", "o", "k", site)), 79);
	cr_assert_str_eq(out + strlen("o: k "), site);
	strcpy(site, "A");
	memset(site + 1, 'y', 79 - strlen("o: k "));
	site[80 - strlen("o: k ")] = '\0';
	compose("%o: %k %s", "o", "k", site);
	cr_assert_eq(strlen(out), 79);
	cr_assert_eq(out[5], 'y', "the first byte of the site goes first");
}

Test(name, an_owner_too_long_by_itself)
{
	char owner[300];

	memset(owner, 'o', sizeof(owner));
	owner[299] = '\0';
	/* the blank before the site was the 79th byte */
	cr_assert_eq(strlen(compose("%o: %k %s", owner, "mmap", "site")), 78);
	cr_assert_str_eq(out + 78 - strlen(": mmap"), ": mmap");
}

Test(name, a_template_too_long_by_itself)
{
	char template[65];

	for (size_t i = 0; i < 64; i += 2)
		memcpy(template + i, "%k", 2);
	template[64] = '\0';
	cr_assert_eq(strlen(compose(template, "o", "snapshot", "s")), 79);
}

/* Whatever goes in, what comes out the kernel takes. */
Test(name, random_parts_make_valid_names)
{
	uint64_t state = 11;

	for (unsigned i = 0; i < 20000; i++) {
		char text[3][200];
		static const char *const templates[] = {"%o: %k %s", "%s%s%o",
							"%t%p%k", "x %o"};

		for (unsigned t = 0; t < 3; t++) {
			size_t len = draw(&state) % 199;

			for (size_t n = 0; n < len; n++)
				text[t][n] = (char)(1 + draw(&state) % 255);
			text[t][len] = '\0';
		}
		compose(templates[draw(&state) % 4], text[0], text[1], text[2]);
		cr_assert_lt(strlen(out), NAME_BYTES);
		cr_assert(name_valid(out));
	}
}

Test(name, per_thread_templates)
{
	cr_assert(name_is_per_thread("%o %t"));
	cr_assert(name_is_per_thread("%p"));
	cr_assert(!name_is_per_thread("%o: %k %s"));
	cr_assert(!name_is_per_thread("%%t %"));
}
