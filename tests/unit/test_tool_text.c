/* SPDX-License-Identifier: BSD-2-Clause */
/* Sizes, tables and text that a terminal must not obey. */
#include "tool/text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tool/table.h"

static const char *human(uint64_t kib)
{
	static char to[TEXT_HUMAN_BYTES];

	return text_human(to, kib);
}

Test(tool_text, sizes_for_people)
{
	cr_assert_str_eq(human(0), "0K");
	cr_assert_str_eq(human(4), "4K");
	cr_assert_str_eq(human(1023), "1023K");
	cr_assert_str_eq(human(1024), "1.0M");
	cr_assert_str_eq(human(1536), "1.5M");
	cr_assert_str_eq(human(1024 * 1024 - 1), "1.0G");
	cr_assert_str_eq(human(UINT64_C(128) << 30), "128.0T");
	cr_assert_gt(strlen(human(UINT64_MAX)), 0);
}

Test(tool_text, percentages)
{
	cr_assert_float_eq(text_percent(1, 4), 25.0, 0.001);
	cr_assert_float_eq(text_percent(0, 0), 0.0, 0.001);
}

static char *printed(void (*put)(FILE *, const char *), const char *text)
{
	char *got = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&got, &bytes);

	put(out, text);
	fclose(out);
	return got;
}

static void check(void (*put)(FILE *, const char *), const char *text,
		  const char *want)
{
	char *got = printed(put, text);

	cr_assert_str_eq(got, want);
	free(got);
}

Test(tool_text, terminals_get_no_orders)
{
	check(text_put, "plain: heap x", "plain: heap x");
	check(text_put, "\033[2Jx\n\x7f", "?[2Jx??");
	check(text_put, "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
	check(text_put,
	      "\xc2\x9b"
	      "1m",
	      "??1m"); /* CSI as one character */
	check(text_put, "\xff\xc3", "??");
	check(text_put, "\xed\xa0\x80", "???"); /* half of a pair */
	check(text_put, "\xc0\x80", "??");	/* an overlong NUL */
	check(text_put, "\xf4\x90\x80\x80", "????");
	check(text_put, "\xf0\x9f\x90\xa7", "\xf0\x9f\x90\xa7");
}

Test(tool_text, fields_hold_no_separators)
{
	check(text_put_field, "a\tb\nc\\d", "a\\tb\\nc\\\\d");
}

Test(tool_text, json_strings)
{
	check(text_put_json, "", "\"\"");
	check(text_put_json, "say \"hi\"\\", "\"say \\\"hi\\\"\\\\\"");
	check(text_put_json, "\t\x01", "\"\\u0009\\u0001\"");
	check(text_put_json, "\xff", "\"\\ufffd\"");
	check(text_put_json, "\xe2\x82\xac", "\"\xe2\x82\xac\"");
}

Test(tool_text, width_is_in_columns)
{
	cr_assert_eq(text_width("abc"), 3);
	cr_assert_eq(text_width("\xe2\x82\xac"
				"1"),
		     2);
	cr_assert_eq(text_width("\xff\xff"), 2);
}

static const struct table_column columns[] = {
	{"SIZE", "size_kib", true},
	{"OWNER", "owner", false},
	{"NAME", "name", false},
};

static char *table(bool tsv, bool colour)
{
	struct table made;
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	table_init(&made, columns, 3);
	table_size(&made, 2048);
	table_text(&made, "a");
	table_text(&made, "first");
	table_number(&made, 1234567);
	table_text(&made, "long owner");
	table_text(&made, "");
	if (tsv)
		table_print_tsv(&made, out);
	else
		table_print(&made, out, colour);
	table_destroy(&made);
	fclose(out);
	return text;
}

Test(tool_text, tables_line_up)
{
	char *text = table(false, false);

	cr_assert_str_eq(text, "   SIZE  OWNER       NAME\n"
			       "   2.0M  a           first\n"
			       "1234567  long owner  \n");
	free(text);
	text = table(false, true);
	cr_assert_eq(strncmp(text, "\033[1m   SIZE", 11), 0);
	cr_assert_not_null(strstr(text, "NAME\n\033[0m"));
	free(text);
}

Test(tool_text, tables_for_scripts)
{
	char *text = table(true, false);

	cr_assert_str_eq(text, "size_kib\towner\tname\n"
			       "2.0M\ta\tfirst\n"
			       "1234567\tlong owner\t\n");
	free(text);
}

Test(tool_text, an_empty_table_has_a_title)
{
	struct table made;
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	table_init(&made, columns, 3);
	table_print(&made, out, false);
	table_destroy(&made);
	fclose(out);
	cr_assert_str_eq(text, "SIZE  OWNER  NAME\n");
	free(text);
}

Test(tool_text, files_get_no_colours)
{
	FILE *out = tmpfile();

	setenv("TERM", "xterm", 1);
	cr_assert_not(table_wants_colour(out));
	fclose(out);
}
