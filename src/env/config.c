/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of ANONSHIM_OPTIONS; see config.h.  The only reader of the
 * environment in the shim.
 */
#include "env/config.h"

#include "base/fmt.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>

#define VARIABLE "ANONSHIM_OPTIONS="
#define PAGE_TEXT_BYTES 8192
#define MESSAGE_BYTES 512
#define NEAR_ENOUGH 3 /* edits between a typing error and a key */
#define KEY_BYTES 32

enum type { BOOL, CHOICE, SIZE, NUMBER, PERCENT, TEXT, LIST };

struct row {
	const char *key;
	enum type type;
	const char *value;
	uint64_t low;
	uint64_t high;
	const char *choices;
	const char *unit;
	const char *meaning;
	const char *cost;
};

static const struct row rows[CONFIG_OPTIONS] = {
#define OPTION(field, key, type, value, low, high, choices, unit, text, cost) \
	{key, type, value, low, high, choices, unit, text, cost},
#include "wire/options.def"
#undef OPTION
};

struct config config;

/* The number of WORD (of LEN bytes) among CHOICES, or -EINVAL. */
static int choice_find(const char *choices, const char *word, size_t len)
{
	for (int i = 0; *choices; i++) {
		size_t n = strcspn(choices, "|");

		if (n == len && !memcmp(choices, word, len))
			return i;
		choices += n;
		choices += *choices == '|';
	}
	return -EINVAL;
}

static unsigned size_shift(char suffix)
{
	switch (suffix) {
	case 'K':
		return 10;
	case 'M':
		return 20;
	case 'G':
		return 30;
	default:
		return 0;
	}
}

static int number_set(const struct row *row, struct config_value *v,
		      const char *text, size_t len)
{
	const char *end = text + len;
	uint64_t n;

	if (fmt_parse_u64(&text, end, 10, &n))
		return -EINVAL;
	if (row->type == SIZE && text < end && size_shift(*text)) {
		unsigned shift = size_shift(*text++);

		if (n > UINT64_MAX >> shift)
			return -EINVAL;
		n <<= shift;
	}
	if (row->type == PERCENT && text < end && *text == '%')
		text++;
	if (text != end || n < row->low || n > row->high)
		return -EINVAL;
	v->number = n;
	return 0;
}

static int value_set(const struct row *row, struct config_value *v,
		     const char *text, size_t len)
{
	int choice;

	switch (row->type) {
	case CHOICE:
		choice = choice_find(row->choices, text, len);
		if (choice < 0)
			return choice;
		v->number = (uint64_t)choice;
		return 0;
	case TEXT:
	case LIST:
		if (len < row->low || len > row->high)
			return -EINVAL;
		memcpy(v->text, text, len);
		v->text[len] = '\0';
		return 0;
	default:
		return number_set(row, v, text, len);
	}
}

void config_defaults(struct config *c)
{
	for (int i = 0; i < CONFIG_OPTIONS; i++) {
		c->value[i] = (struct config_value){0};
		value_set(&rows[i], &c->value[i], rows[i].value,
			  strlen(rows[i].value));
	}
}

static void range_print(struct fmt *f, const struct row *row)
{
	switch (row->type) {
	case BOOL:
		fmt_str(f, "0 or 1");
		break;
	case CHOICE:
		fmt_str(f, row->choices);
		break;
	case TEXT:
	case LIST:
		fmt_str(f, "text of ");
		fmt_u64(f, row->low);
		fmt_str(f, " to ");
		fmt_u64(f, row->high);
		fmt_str(f, " bytes");
		break;
	default:
		fmt_u64(f, row->low);
		fmt_str(f, " to ");
		fmt_u64(f, row->high);
		break;
	}
	if (*row->unit) {
		fmt_char(f, ' ');
		fmt_str(f, row->unit);
	}
	fmt_str(f, ", default ");
	fmt_str(f, *row->value ? row->value : "none");
}

/* Levenshtein's distance of A (LEN bytes) and B, at most KEY_BYTES long. */
static unsigned distance(const char *a, size_t len, const char *b)
{
	unsigned row[KEY_BYTES + 1];
	size_t n = strlen(b);

	for (size_t j = 0; j <= n; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= len; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static const char *key_nearest(const char *key, size_t len)
{
	unsigned best = NEAR_ENOUGH + 1;
	const char *nearest = NULL;

	if (len > KEY_BYTES)
		return NULL;
	for (int i = 0; i < CONFIG_OPTIONS; i++) {
		unsigned d = distance(key, len, rows[i].key);

		if (d < best) {
			best = d;
			nearest = rows[i].key;
		}
	}
	return nearest;
}

/* Text from the environment, made fit for a terminal. */
static void fmt_foreign(struct fmt *f, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fmt_char(f, text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?');
}

static void complain_key(config_complaint *complain, const char *key,
			 size_t len)
{
	char text[MESSAGE_BYTES];
	const char *nearest = key_nearest(key, len);
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
	fmt_str(&f, "option ");
	fmt_foreign(&f, key, len < KEY_BYTES ? len : KEY_BYTES);
	fmt_str(&f, ": unknown, ignored; ");
	if (nearest) {
		fmt_str(&f, "did you mean ");
		fmt_str(&f, nearest);
		fmt_str(&f, "? ");
	}
	fmt_str(&f, "help=1 lists all");
	complain(text);
}

static void complain_value(config_complaint *complain, const struct row *row,
			   const char *value, size_t len)
{
	char text[MESSAGE_BYTES];
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
	fmt_str(&f, "option ");
	fmt_str(&f, row->key);
	fmt_str(&f, ": bad value '");
	fmt_foreign(&f, value, len < 64 ? len : 64);
	fmt_str(&f, "'; give ");
	range_print(&f, row);
	complain(text);
}

static void item_parse(struct config *c, const char *item, size_t len,
		       config_complaint *complain)
{
	const char *eq = memchr(item, '=', len);
	size_t key_len = eq ? (size_t)(eq - item) : len;
	const char *value = eq ? eq + 1 : item + len;
	size_t value_len = (size_t)(item + len - value);

	for (int i = 0; i < CONFIG_OPTIONS; i++) {
		struct config_value *v = &c->value[i];

		if (strlen(rows[i].key) != key_len ||
		    memcmp(rows[i].key, item, key_len))
			continue;
		if (!eq || value_set(&rows[i], v, value, value_len))
			complain_value(complain, &rows[i], value, value_len);
		else
			v->given = true;
		return;
	}
	complain_key(complain, item, key_len);
}

void config_parse(struct config *c, const char *text,
		  config_complaint *complain)
{
	while (*text) {
		size_t len = strcspn(text, ",");

		if (len)
			item_parse(c, text, len, complain);
		text += len;
		text += *text == ',';
	}
}

static const char *variable_find(char **envp)
{
	for (; envp && *envp; envp++)
		if (!strncmp(*envp, VARIABLE, strlen(VARIABLE)))
			return *envp + strlen(VARIABLE);
	return "";
}

static void keep_quiet(const char *message)
{
	(void)message;
}

const char *config_init(char **envp)
{
	const char *text = getauxval(AT_SECURE) ? "" : variable_find(envp);
	static struct config first; /* large for a stack */

	/* the log's path must be known before the first complaint */
	config_defaults(&first);
	config_parse(&first, text, keep_quiet);
	config.value[CONFIG_log] = first.value[CONFIG_log];
	log_init(CONFIG_TEXT(log));
	config_defaults(&config);
	config_parse(&config, text, log_text);
	return text;
}

static void value_print(struct fmt *f, const struct row *row,
			const struct config_value *v)
{
	const char *choices = row->choices;

	switch (row->type) {
	case CHOICE:
		for (uint64_t i = 0; i < v->number; i++)
			choices += strcspn(choices, "|") + 1;
		fmt_mem(f, choices, strcspn(choices, "|"));
		break;
	case TEXT:
	case LIST:
		fmt_foreign(f, v->text, strlen(v->text));
		break;
	case PERCENT:
		fmt_u64(f, v->number);
		fmt_char(f, '%');
		break;
	default:
		fmt_u64(f, v->number);
		break;
	}
}

void config_help(void)
{
	char text[PAGE_TEXT_BYTES];
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
	fmt_str(&f, "anonshim: options, ANONSHIM_OPTIONS=key=value,...\n");
	for (int i = 0; i < CONFIG_OPTIONS; i++) {
		fmt_str(&f, "  ");
		fmt_str(&f, rows[i].key);
		fmt_str(&f, "=  (");
		range_print(&f, &rows[i]);
		fmt_str(&f, ")\n      ");
		fmt_str(&f, rows[i].meaning);
		fmt_str(&f, "; cost: ");
		fmt_str(&f, rows[i].cost);
		fmt_char(&f, '\n');
	}
	log_page(text, f.len);
}

void config_print(void)
{
	char text[PAGE_TEXT_BYTES];
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
	for (int i = 0; i < CONFIG_OPTIONS; i++) {
		const struct config_value *v = &config.value[i];

		fmt_str(&f, "anonshim: option ");
		fmt_str(&f, rows[i].key);
		fmt_char(&f, '=');
		value_print(&f, &rows[i], v);
		fmt_str(&f,
			v->given ? " (ANONSHIM_OPTIONS)\n" : " (default)\n");
	}
	log_page(text, f.len);
}
