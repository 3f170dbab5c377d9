/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which shared memory a child gets a copy of; see plan.h.
 *
 * What processes share on purpose has a name that others can open, came from
 * another process, or was sealed against writers before it was handed out.
 * What is mapped twice in one process and has none of these is there for that
 * process alone, which has no other way to have one page at two addresses.
 */
#include "cow/plan.h"

#include "base/glob.h"
#include "env/config.h"
#include "track/registry.h"

#include <fcntl.h>
#include <string.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

#define MEMFD "/memfd:"
#define DELETED " (deleted)"

/* The name as its maker gave it, without its directory. */
static void short_name(const char *name, char *to)
{
	const char *start = strrchr(name, '/');
	size_t n;

	start = start ? start + 1 : name;
	if (!strncmp(name, MEMFD, sizeof(MEMFD) - 1))
		start = name + sizeof(MEMFD) - 1;
	n = strlen(start);
	if (n >= sizeof(DELETED) - 1 &&
	    !strcmp(start + n - (sizeof(DELETED) - 1), DELETED))
		n -= sizeof(DELETED) - 1;
	memcpy(to, start, n);
	to[n] = '\0';
}

void cow_short_name(const struct cow_object *o, char to[COW_NAME_BYTES])
{
	short_name(o->name, to);
}

static bool listed(const char *list, const struct cow_object *o)
{
	const struct registry_site *site;
	char name[COW_NAME_BYTES];

	if (!*list)
		return false;
	short_name(o->name, name);
	if (glob_match_list(list, name))
		return true;
	if (!o->site)
		return false;
	site = registry_site_at(o->site);
	return glob_match_list(list, registry_text(site->name)) ||
	       glob_match_list(list, registry_text(site->owner)) ||
	       glob_match_list(list, registry_text(site->symbol));
}

bool cow_policy(const struct cow_object *o)
{
	/* nobody can write it any more: a copy would be the same for ever */
	if (o->seals & F_SEAL_WRITE || o->flags & OBJECT_SHARE)
		return false;
	if (o->flags & OBJECT_PRIVATE)
		return true;
	if (listed(CONFIG_TEXT(share), o))
		return false;
	if (listed(CONFIG_TEXT(private), o))
		return true;
	if (CONFIG_NUMBER(fork) == FORK_NONE || o->named ||
	    o->flags & (OBJECT_FOREIGN | OBJECT_SEALED) ||
	    o->seals & F_SEAL_FUTURE_WRITE)
		return false;
	return CONFIG_NUMBER(fork) == FORK_ALL || o->flags & OBJECT_ALIASED;
}
