/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C++ functions by their plain names; see readable.h.  The grammar is section
 * 5.1 of the Itanium C++ ABI.
 */
#include "track/readable.h"

#include <string.h>

#define ANONYMOUS "_GLOBAL__N_"

struct component {
	const char *text;
	size_t len;
};

/* <source-name>: a length and that many characters. */
static bool source_name(const char **p, struct component *c)
{
	uint64_t len;
	const char *end = *p + strlen(*p);

	if (fmt_parse_u64(p, end, 10, &len) || len > (size_t)(end - *p))
		return false;
	*c = (struct component){*p, len};
	*p += len;
	return true;
}

static void put(struct fmt *f, const struct component *c, bool first)
{
	if (!first)
		fmt_str(f, "::");
	if (c->len > strlen(ANONYMOUS) &&
	    !strncmp(c->text, ANONYMOUS, strlen(ANONYMOUS)))
		fmt_str(f, "(anonymous)");
	else
		fmt_mem(f, c->text, c->len);
}

/* What stands between `_ZN` and `E`; false where it is more than names. */
static bool nested_name(const char *p, struct fmt *f)
{
	struct component c = {NULL, 0};
	bool first = true;

	p += strspn(p, "rVKRO");
	if (p[0] == 'S' && p[1] == 't') {
		fmt_str(f, "std");
		first = false;
		p += 2;
	}
	while (*p != 'E') {
		if ((*p == 'C' || *p == 'D') && c.text && p[1] >= '0' &&
		    p[1] <= '5') {
			fmt_str(f, *p == 'C' ? "::" : "::~");
			fmt_mem(f, c.text, c.len);
			p += 2;
			continue;
		}
		if (!source_name(&p, &c))
			return false;
		put(f, &c, first);
		first = false;
	}
	return !first;
}

void readable_name(const char *symbol, struct fmt *f)
{
	struct fmt start = *f;
	struct component c;
	const char *p = symbol + 2;

	if (strncmp(symbol, "_Z", 2)) {
		fmt_str(f, symbol);
		return;
	}
	if (*p == 'N' && nested_name(p + 1, f))
		return;
	*f = start;
	p += *p == 'L';
	if (*p != 'N' && source_name(&p, &c) && *p != 'I') {
		put(f, &c, true);
		return;
	}
	*f = start;
	fmt_str(f, symbol);
}
