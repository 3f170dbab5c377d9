/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's policy at fork, told from outside; see fork_policy.h.
 *
 * The order of the tests is that of src/cow/policy.c, which this must follow.
 */
#include "tool/fork_policy.h"

#include <string.h>

#include "wire/registry_abi.h"

#define TEXT_MOST_BYTES 4095 /* of a string that the shim keeps */
#define MS_A_GIB 330	     /* an eager copy */
#define MEMFD "/memfd:"
#define DELETED " (deleted)"

/* Options ----------------------------------------------------------------- */

struct row {
	const char *key;
	const char *standard;
	uint64_t low;
	uint64_t high;
	const char *choices;
};

static const struct row rows[] = {
#define OPTION(field, key, type, standard, low, high, choices, unit, meaning, \
	       cost)                                                          \
	{key, standard, low, high, choices},
#include "wire/options.def"
#undef OPTION
};

static const struct row *row_of(const char *key, size_t len)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strlen(rows[i].key) == len &&
		    memcmp(rows[i].key, key, len) == 0)
			return &rows[i];
	return NULL;
}

static void set_choice(const struct row *row, const char *text, size_t len,
		       enum fork_which *to)
{
	const char *word = row->choices;

	for (unsigned i = 0; *word != '\0'; i++) {
		size_t n = strcspn(word, "|");

		if (n == len && memcmp(word, text, len) == 0)
			*to = (enum fork_which)i;
		word += n + (word[n] == '|');
	}
}

static void set_list(const struct row *row, const char *text, size_t len,
		     char to[FORK_LIST_BYTES + 1])
{
	if (len > row->high || len > FORK_LIST_BYTES)
		return;
	memcpy(to, text, len);
	to[len] = '\0';
}

static unsigned shift_of(char suffix)
{
	return suffix == 'K' ? 10 : suffix == 'M' ? 20 : suffix == 'G' ? 30 : 0;
}

static void set_size(const struct row *row, const char *text, size_t len,
		     uint64_t *to)
{
	uint64_t n = 0;
	size_t i = 0;
	unsigned shift;

	for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
		if (__builtin_mul_overflow(n, 10, &n) ||
		    __builtin_add_overflow(n, (unsigned)(text[i] - '0'), &n))
			return;
	if (i == 0)
		return;
	shift = i < len ? shift_of(text[i]) : 0;
	if (shift != 0)
		i++;
	if (i < len || n > UINT64_MAX >> shift)
		return;
	n <<= shift;
	if (n >= row->low && n <= row->high)
		*to = n;
}

/* A bad value leaves what was in force, as it does in the shim. */
static void set_option(struct fork_options *o, const struct row *row,
		       const char *text, size_t len)
{
	if (strcmp(row->key, "fork") == 0)
		set_choice(row, text, len, &o->which);
	else if (strcmp(row->key, "private") == 0)
		set_list(row, text, len, o->private);
	else if (strcmp(row->key, "share") == 0)
		set_list(row, text, len, o->share);
	else if (strcmp(row->key, "max-copy") == 0)
		set_size(row, text, len, &o->max_copy_bytes);
}

static void read_item(struct fork_options *o, const char *item, size_t len)
{
	const char *eq = memchr(item, '=', len);
	const struct row *row;

	if (eq == NULL)
		return;
	row = row_of(item, (size_t)(eq - item));
	if (row != NULL)
		set_option(o, row, eq + 1, (size_t)(item + len - (eq + 1)));
}

void fork_options_read(struct fork_options *options, const char *text)
{
	memset(options, 0, sizeof(*options));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		set_option(options, &rows[i], rows[i].standard,
			   strlen(rows[i].standard));
	options->cut = strlen(text) >= TEXT_MOST_BYTES;
	while (*text != '\0') {
		size_t len = strcspn(text, ",");

		read_item(options, text, len);
		text += len + (text[len] == ',');
	}
}

/* Patterns ---------------------------------------------------------------- */

static bool glob(const char *pattern, size_t len, const char *text)
{
	const char *end = pattern + len, *star = NULL, *retry = NULL;

	while (*text != '\0') {
		if (pattern < end && *pattern == '*') {
			star = ++pattern;
			retry = text;
		} else if (pattern < end &&
			   (*pattern == '?' || *pattern == *text)) {
			pattern++;
			text++;
		} else if (star != NULL) {
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

static bool glob_list(const char *list, const char *text)
{
	while (*list != '\0') {
		size_t len = strcspn(list, ":");

		if (len > 0 && glob(list, len, text))
			return true;
		list += len + (list[len] == ':');
	}
	return false;
}

/* The name as its maker gave it, without its directory; in `to`. */
static void short_name(const char *name, char *to, size_t bytes)
{
	const char *start = strrchr(name, '/');
	size_t n, tail = strlen(DELETED);

	start = start != NULL ? start + 1 : name;
	if (strncmp(name, MEMFD, strlen(MEMFD)) == 0)
		start = name + strlen(MEMFD);
	n = strlen(start);
	if (n >= tail && strcmp(start + n - tail, DELETED) == 0)
		n -= tail;
	if (n >= bytes)
		n = bytes - 1;
	memcpy(to, start, n);
	to[n] = '\0';
}

static bool is_listed(const char *list, const struct fork_object *o)
{
	char name[512];

	if (list[0] == '\0')
		return false;
	short_name(o->name, name, sizeof(name));
	return glob_list(list, name) ||
	       (o->site_name[0] != '\0' && glob_list(list, o->site_name)) ||
	       (o->owner[0] != '\0' && glob_list(list, o->owner)) ||
	       (o->symbol[0] != '\0' && glob_list(list, o->symbol));
}

/* The decision ------------------------------------------------------------ */

static struct fork_verdict copied(const char *why)
{
	return (struct fork_verdict){FORK_COPIED, why};
}

static struct fork_verdict shared(const char *why)
{
	return (struct fork_verdict){FORK_SHARED, why};
}

/* What the program and the options do not say. */
static struct fork_verdict decide_by_nature(const struct fork_options *options,
					    const struct fork_object *o)
{
	if (options->which == FORK_NONE)
		return shared("fork=none");
	if (o->named == FORK_YES)
		return shared("it has a name that others can open");
	if ((o->flags & OBJECT_FOREIGN) != 0)
		return shared("it came from another process");
	if ((o->flags & OBJECT_SEALED) != 0 || o->sealed_then == FORK_YES)
		return shared("it is sealed against writing");
	if ((o->flags & OBJECT_ALIASED) != 0)
		return copied("it is mapped at two addresses at once, or was");
	if (options->which == FORK_ALL)
		return copied("fork=all");
	return shared("it is mapped at one address only");
}

/* Of an object of which everything is known. */
static struct fork_verdict decide(const struct fork_options *options,
				  const struct fork_object *o)
{
	if (o->sealed == FORK_YES)
		return shared("it is sealed against writing");
	if ((o->flags & OBJECT_SHARE) != 0)
		return shared("the program wants it shared");
	if ((o->flags & OBJECT_PRIVATE) != 0)
		return copied((o->flags & OBJECT_REGION) != 0
				      ? "it is a region of the program's"
				      : "the program wants it private");
	if (options->cut)
		return (struct fork_verdict){
			FORK_UNKNOWN, "not all of its options are known"};
	if (is_listed(options->share, o))
		return shared("share= lists it");
	if (is_listed(options->private, o))
		return copied("private= lists it");
	return decide_by_nature(options, o);
}

static const char *not_known(const struct fork_object *o)
{
	if (o->named != FORK_NOT_KNOWN)
		return "its seals are not known";
	return o->sealed == FORK_NOT_KNOWN ? "its name and seals are not known"
					   : "its name is not known";
}

/* What is not known is whatever the bit of this number in `cases` says. */
static enum fork_known answer(enum fork_known known, unsigned cases, int bit)
{
	if (known != FORK_NOT_KNOWN)
		return known;
	return (cases >> bit & 1) != 0 ? FORK_YES : FORK_NO;
}

/* Every case there may be; they have to agree. */
struct fork_verdict fork_decide(const struct fork_options *options,
				const struct fork_object *object)
{
	struct fork_verdict first = {FORK_UNKNOWN, ""};

	for (unsigned cases = 0; cases < 8; cases++) {
		struct fork_object o = *object;
		struct fork_verdict now;

		o.named = answer(object->named, cases, 0);
		o.sealed = answer(object->sealed, cases, 1);
		o.sealed_then = answer(object->sealed_then, cases, 2);
		now = decide(options, &o);
		if (cases == 0)
			first = now;
		else if (now.fate != first.fate)
			return (struct fork_verdict){FORK_UNKNOWN,
						     not_known(object)};
	}
	return first;
}

double fork_copy_ms(uint64_t kib)
{
	return (double)kib * MS_A_GIB / (1024 * 1024);
}
