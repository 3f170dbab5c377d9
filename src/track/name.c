/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Composing names; see name.h.
 */
#include "track/name.h"

#include "base/fmt.h"
#include "track/readable.h"
#include "wire/registry_abi.h"

#include <string.h>

/* Room for a name before it is cut: every part at its longest. */
#define DRAFT_BYTES 512
#define OWNER_MIN 16 /* bytes of the owner that no site may push out */

const char *name_kind(unsigned kind)
{
	static const char *const words[KIND_COUNT] = {
#define X(constant, word) [constant] = word,
		REGISTRY_KINDS(X)
#undef X
	};

	return kind < KIND_COUNT ? words[kind] : "";
}

/* is_valid_name_char() of mm/madvise.c */
static bool char_valid(char c)
{
	return c >= 0x20 && c <= 0x7e && !strchr("\\`$[]", c);
}

bool name_valid(const char *name)
{
	while (*name && char_valid(*name))
		name++;
	return !*name;
}

static void expand_one(struct fmt *f, char what, const struct name_parts *p,
		       const char *site, size_t owner_max)
{
	if (p->keep_marks && (what == 't' || what == 'p')) {
		fmt_char(f, '%');
		fmt_char(f, what);
		return;
	}
	switch (what) {
	case 'o':
		fmt_mem(f, p->owner, strnlen(p->owner, owner_max));
		break;
	case 'k':
		fmt_str(f, p->kind);
		break;
	case 's':
		fmt_str(f, site);
		break;
	case 't':
		if (p->tid)
			fmt_u64(f, p->tid);
		break;
	case 'p':
		if (p->pid)
			fmt_u64(f, p->pid);
		break;
	default:
		fmt_char(f, what);
		break;
	}
}

static size_t expand(const char *template, const struct name_parts *p,
		     const char *site, size_t owner_max, char *out,
		     size_t out_bytes)
{
	struct fmt f;

	fmt_init(&f, out, out_bytes);
	for (; *template; template ++) {
		if (*template == '%' && template[1])
			expand_one(&f, *++template, p, site, owner_max);
		else
			fmt_char(&f, *template);
	}
	return f.truncated ? out_bytes : f.len;
}

void name_compose(const char *template, const struct name_parts *parts,
		  char out[NAME_BYTES])
{
	char draft[DRAFT_BYTES];
	char readable[DRAFT_BYTES];
	const char *site = readable;
	size_t owner_max = strlen(parts->owner);
	struct fmt f;
	size_t len;

	fmt_init(&f, readable, sizeof(readable));
	readable_name(parts->site, &f);
	/* one byte at a time: simple, and done once a site */
	while ((len = expand(template, parts, site, owner_max, draft,
			     sizeof(draft))) >= NAME_BYTES) {
		if (*site)
			site++;
		else if (owner_max > OWNER_MIN)
			owner_max--;
		else
			break;
	}
	if (len >= NAME_BYTES)
		len = NAME_BYTES - 1;
	for (size_t i = 0; i < len; i++)
		out[i] = char_valid(draft[i]) ? draft[i] : '!';
	while (len && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
}

bool name_is_per_thread(const char *template)
{
	for (; *template; template ++) {
		if (*template != '%')
			continue;
		if (template[1] == 't' || template[1] == 'p')
			return true;
		template += template[1] != '\0';
	}
	return false;
}
