/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every option: what is taken, what is refused and how that is said.
 */
#include "env/config.h"
#include "support.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static char complaint[1024];
static unsigned complaints;

static void complain(const char *message)
{
	snprintf(complaint, sizeof(complaint), "%s", message);
	complaints++;
}

static void parse(struct config *c, const char *text)
{
	complaints = 0;
	complaint[0] = '\0';
	config_defaults(c);
	config_parse(c, text, complain);
}

static struct config c;
static struct config defaults;

enum type { BOOL, CHOICE, SIZE, NUMBER, PERCENT, TEXT, LIST };

static const struct row {
	int option;
	const char *key;
	enum type type;
	const char *value;
	uint64_t low;
	uint64_t high;
	const char *choices;
} rows[] = {
#define OPTION(field, key, type, value, low, high, choices, unit, text, cost) \
	{CONFIG_##field, key, type, value, low, high, choices},
#include "wire/options.def"
#undef OPTION
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

static bool is_text(const struct row *row)
{
	return row->type == TEXT || row->type == LIST;
}

static void assert_default(int option, const char *text)
{
	cr_assert(!memcmp(&c.value[option], &defaults.value[option],
			  sizeof(c.value[option])),
		  "%s changed something", text);
}

/* Parse KEY=VALUE, which must be refused with one message that helps. */
static void refuse(const struct row *row, const char *value)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s=%s", row->key, value);
	parse(&c, text);
	cr_assert_eq(complaints, 1, "%s", text);
	assert_default(row->option, text);
	cr_assert(strstr(complaint, row->key), "%s", complaint);
	cr_assert(strstr(complaint, "default"), "%s", complaint);
	cr_assert(strstr(complaint, *row->value ? row->value : "none"), "%s",
		  complaint);
	if (row->type == CHOICE)
		cr_assert(strstr(complaint, row->choices), "%s", complaint);
	snprintf(text, sizeof(text), "%" PRIu64, row->high);
	if (row->type != CHOICE)
		cr_assert(strstr(complaint, text), "%s lacks %s", complaint,
			  text);
	cr_assert_null(strchr(complaint, '\n'), "one line");
}

static void accept(const struct row *row, const char *value)
{
	char text[4096];

	snprintf(text, sizeof(text), "%s=%s", row->key, value);
	parse(&c, text);
	cr_assert_eq(complaints, 0, "%s: %s", text, complaint);
	cr_assert(c.value[row->option].given);
	if (is_text(row))
		cr_assert_str_eq(c.value[row->option].text, value);
}

Test(config, every_option_takes_its_default_written_out)
{
	config_defaults(&defaults);
	for (size_t i = 0; i < ROWS; i++) {
		if (!*rows[i].value)
			continue;
		accept(&rows[i], rows[i].value);
		cr_assert_eq(c.value[rows[i].option].number,
			     defaults.value[rows[i].option].number);
	}
}

Test(config, numbers_at_and_past_their_bounds)
{
	char text[64];

	config_defaults(&defaults);
	for (size_t i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];

		if (is_text(row) || row->type == CHOICE)
			continue;
		snprintf(text, sizeof(text), "%" PRIu64, row->low);
		accept(row, text);
		cr_assert_eq(c.value[row->option].number, row->low);
		snprintf(text, sizeof(text), "%" PRIu64, row->high);
		accept(row, text);
		cr_assert_eq(c.value[row->option].number, row->high);
		snprintf(text, sizeof(text), "%" PRIu64, row->high + 1);
		refuse(row, text);
		if (row->low) {
			snprintf(text, sizeof(text), "%" PRIu64, row->low - 1);
			refuse(row, text);
		}
	}
}

Test(config, junk_is_refused_by_every_number_and_choice)
{
	static const char *const junk[] = {"",
					   "x",
					   "-1",
					   " 1",
					   "1 ",
					   "1x",
					   "1%%",
					   "0x1",
					   "18446744073709551616",
					   "\x01\xff\x7f",
					   "yes",
					   "Auto"};

	config_defaults(&defaults);
	for (size_t i = 0; i < ROWS; i++)
		for (size_t j = 0; j < sizeof(junk) / sizeof(junk[0]); j++)
			if (!is_text(&rows[i]))
				refuse(&rows[i], junk[j]);
}

Test(config, every_choice_by_its_name)
{
	for (size_t i = 0; i < ROWS; i++) {
		const char *word = rows[i].choices;

		for (uint64_t n = 0; rows[i].type == CHOICE && *word; n++) {
			char value[64] = "";
			size_t len = strcspn(word, "|");

			memcpy(value, word, len);
			accept(&rows[i], value);
			cr_assert_eq(c.value[rows[i].option].number, n);
			word += len + (word[len] == '|');
		}
	}
}

Test(config, texts_at_and_past_their_bounds)
{
	static char value[2048];

	config_defaults(&defaults);
	for (size_t i = 0; i < ROWS; i++) {
		if (!is_text(&rows[i]))
			continue;
		memset(value, 'x', sizeof(value));
		value[rows[i].high] = '\0';
		accept(&rows[i], value);
		memset(value, 'x', sizeof(value));
		value[rows[i].high + 1] = '\0';
		refuse(&rows[i], value);
		if (rows[i].low)
			refuse(&rows[i], "");
		else
			accept(&rows[i], "");
	}
}

Test(config, a_key_without_value)
{
	config_defaults(&defaults);
	for (size_t i = 0; i < ROWS; i++) {
		parse(&c, rows[i].key);
		cr_assert_eq(complaints, 1);
		assert_default(rows[i].option, rows[i].key);
	}
}

Test(config, an_unknown_key_names_the_nearest)
{
	static const char *const pairs[][2] = {
		{"nameing=auto", "naming"}, {"naming2=x", "naming"},
		{"Depth=3", "depth"},	    {"maxvmas=3", "max-vmas"},
		{"enabel=1", "enable"},	    {"verbos=1", "verbose"},
		{"stack=1", "stacks"},	    {"max_vmas=50%", "max-vmas"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		char want[64];

		parse(&c, pairs[i][0]);
		snprintf(want, sizeof(want), "did you mean %s?", pairs[i][1]);
		cr_assert_eq(complaints, 1);
		cr_assert(strstr(complaint, want), "%s: %s", pairs[i][0],
			  complaint);
	}
}

Test(config, a_key_like_no_other)
{
	parse(&c, "qwertyuiopasdf=1");
	cr_assert_eq(complaints, 1);
	cr_assert_null(strstr(complaint, "did you mean"));
	cr_assert(strstr(complaint, "help=1"));
}

Test(config, junk_bytes_reach_no_terminal)
{
	parse(&c, "de\x1b[31mpth=\x07\xff,depth=\x1b]0;x\x07");
	cr_assert_eq(complaints, 2);
	for (const char *p = complaint; *p; p++)
		cr_assert(*p >= 0x20 && *p < 0x7f);
	parse(&c, "\xff\xfe\xfd");
	for (const char *p = complaint; *p; p++)
		cr_assert(*p >= 0x20 && *p < 0x7f);
}

Test(config, a_very_long_item)
{
	static char text[100000];

	memset(text, 'k', sizeof(text) - 1);
	parse(&c, text);
	cr_assert_eq(complaints, 1);
	memcpy(text, "depth=", 6);
	parse(&c, text);
	cr_assert_eq(complaints, 1);
}

Test(config, several_options_and_empty_items)
{
	parse(&c, ",,depth=3,,max-vmas=20,name=%o %s=x,");
	cr_assert_eq(complaints, 0);
	cr_assert_eq(c.value[CONFIG_depth].number, 3);
	cr_assert_eq(c.value[CONFIG_max_vmas].number, 20);
	cr_assert_str_eq(c.value[CONFIG_name].text, "%o %s=x");
	cr_assert(!c.value[CONFIG_enable].given);
}

Test(config, the_last_one_counts_and_a_bad_one_does_not)
{
	parse(&c, "depth=3,depth=5");
	cr_assert_eq(c.value[CONFIG_depth].number, 5);
	parse(&c, "depth=3,depth=99");
	cr_assert_eq(complaints, 1);
	cr_assert_eq(c.value[CONFIG_depth].number, 3);
}

Test(config, empty)
{
	config_defaults(&defaults);
	parse(&c, "");
	cr_assert_eq(complaints, 0);
	cr_assert(!memcmp(&c, &defaults, sizeof(c)));
	cr_assert_eq(defaults.value[CONFIG_enable].number, 1);
	cr_assert_eq(defaults.value[CONFIG_depth].number, 8);
	cr_assert_eq(defaults.value[CONFIG_max_vmas].number, 50);
	cr_assert_str_eq(defaults.value[CONFIG_name].text, "%o: %k %s");
}

Test(config, from_the_environment)
{
	static char other[] = "A=1";
	static char mine[] = "ANONSHIM_OPTIONS=depth=7,naming=registry";
	static char longer[] = "ANONSHIM_OPTIONSX=depth=9";
	static char prefixed[] = "XANONSHIM_OPTIONS=depth=9";
	char *with[] = {other, mine, longer, NULL};
	char *without[] = {prefixed, NULL};

	cr_assert_str_eq(config_init(with), "depth=7,naming=registry");
	cr_assert_eq(CONFIG_NUMBER(depth), 7);
	cr_assert_eq(CONFIG_NUMBER(naming), NAMING_REGISTRY);
	cr_assert_str_eq(config_init(without), "");
	cr_assert_eq(CONFIG_NUMBER(depth), 8);
	cr_assert_str_eq(config_init(NULL), "");
}
