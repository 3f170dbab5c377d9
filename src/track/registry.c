/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry; see registry.h.
 */
#include "track/registry.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/sys.h"

#include <errno.h>
#include <string.h>

#define STRINGS_FIRST 16384
#define STRING_MAX_BYTES 4095
#define MODULES_FIRST 64
#define SITES_FIRST 256
#define FRAMES_FIRST 1024
#define ARENAS_FIRST 64
#define CACHES_FIRST 16
#define ACCOUNTS_FIRST 256
#define OBJECTS_FIRST 64

struct registry_head *anonshim_registry __attribute__((visibility("default")));
struct lock registry_lock = LOCK_INIT(LOCK_SITE);

static struct index strings;

struct text {
	const char *bytes;
	size_t len;
};

static bool text_matches(uint32_t id, const void *key)
{
	const struct text *t = key;
	const char *have = registry_text(id);

	return !strncmp(have, t->bytes, t->len) && !have[t->len];
}

const char *registry_text(uint32_t index)
{
	return table_at(&anonshim_registry->table[REGISTRY_STRINGS], index);
}

uint32_t registry_string(const char *text, size_t len)
{
	struct registry_table *table =
		&anonshim_registry->table[REGISTRY_STRINGS];
	struct text key = {text,
			   len < STRING_MAX_BYTES ? len : STRING_MAX_BYTES};
	uint64_t hash = key.len;
	uint32_t id;

	if (!len)
		return 0;
	for (size_t i = 0; i < key.len; i++)
		hash = hash_mix(hash, (unsigned char)text[i]);
	id = index_find(&strings, hash, text_matches, &key);
	if (id)
		return id;
	id = (uint32_t)table_add(table, key.len + 1);
	if (!id)
		return 0;
	memcpy(table_at(table, id), text, key.len);
	index_add(&strings, hash, id);
	return id;
}

static void tables_init(struct registry_head *head)
{
	struct registry_table *t = head->table;

	table_init(&t[REGISTRY_STRINGS], 1, STRINGS_FIRST);
	table_init(&t[REGISTRY_MODULES], sizeof(struct registry_module),
		   MODULES_FIRST);
	table_init(&t[REGISTRY_SITES], sizeof(struct registry_site),
		   SITES_FIRST);
	table_init(&t[REGISTRY_FRAMES], sizeof(uint64_t), FRAMES_FIRST);
	table_init(&t[REGISTRY_REGIONS], sizeof(struct registry_region),
		   1 << REGIONS_FIRST_SHIFT);
	table_init(&t[REGISTRY_ARENAS], sizeof(struct registry_arena),
		   ARENAS_FIRST);
	table_init(&t[REGISTRY_CACHES], sizeof(struct registry_cache),
		   CACHES_FIRST);
	table_init(&t[REGISTRY_ACCOUNTS], sizeof(struct registry_account),
		   ACCOUNTS_FIRST);
	table_init(&t[REGISTRY_OBJECTS], sizeof(struct registry_object),
		   OBJECTS_FIRST);
}

int registry_init(const char *version, const char *options)
{
	struct registry_head *head = mem_map(sizeof(*head));

	if (!head)
		return -ENOMEM;
	tables_init(head);
	head->version = REGISTRY_VERSION;
	head->head_bytes = sizeof(*head);
	head->self = (uint64_t)(uintptr_t)head;
	head->pid = (uint32_t)sys_getpid();
	head->page_bytes = PAGE_BYTES;
	anonshim_registry = head;
	head->shim_version = registry_string(version, strlen(version));
	head->options = registry_string(options, strlen(options));
	if (!head->shim_version) {
		anonshim_registry = NULL;
		return -ENOMEM;
	}
	/* last: only a complete head may be found by its magic */
	memcpy(head->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES);
	return 0;
}
