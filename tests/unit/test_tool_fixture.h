/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests of the tool build by hand: an address space out of pieces, and a
 * registry in it that can be damaged at will.
 */
#ifndef TEST_TOOL_FIXTURE_H
#define TEST_TOOL_FIXTURE_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "tool/space.h"
#include "wire/registry_abi.h"

#define FAKE_SEGMENTS 16
#define FAKE_HEAD UINT64_C(0x7f0000000000)
#define FAKE_PAGE UINT64_C(0x7e0000000000) /* where regions are put */

struct fake_segment {
	uint64_t addr;
	size_t bytes;
	void *data;
};

struct fake_space {
	struct space space;
	struct fake_segment segment[FAKE_SEGMENTS];
	size_t count;
	unsigned reads;
	/* Called before each read; may change the memory. */
	void (*before)(struct fake_space *space);
	int error; /* of every read, 0: none */
};

static inline int fake_read(struct space *base, uint64_t addr, void *to,
			    size_t len)
{
	struct fake_space *space = (struct fake_space *)base;

	space->reads++;
	if (space->before != NULL)
		space->before(space);
	if (space->error != 0)
		return space->error;
	for (size_t i = 0; i < space->count; i++) {
		const struct fake_segment *s = &space->segment[i];

		if (addr >= s->addr && len <= s->bytes &&
		    addr - s->addr <= s->bytes - len) {
			memcpy(to, (char *)s->data + (addr - s->addr), len);
			return 0;
		}
	}
	return -EFAULT;
}

static inline void fake_map(struct fake_space *space, uint64_t addr, void *data,
			    size_t bytes)
{
	space->space.read = fake_read;
	space->segment[space->count++] =
		(struct fake_segment){addr, bytes, data};
}

/* A registry of few elements; the first chunk of each table is small. */
struct fake_registry {
	struct fake_space memory;
	struct registry_head head;
	char strings[1024];
	struct registry_module modules[4];
	struct registry_site sites[16];
	uint64_t frames[16];
	struct registry_region regions[3][16]; /* chunks of 4, 8 and 16 */
	struct registry_arena arenas[8];
	struct registry_cache caches[8];
	struct registry_account accounts[16];
	struct registry_object objects[16];
};

static inline void fake_table(struct fake_registry *fake, int id, size_t bytes,
			      uint32_t first, void *data, size_t whole)
{
	struct registry_table *table = &fake->head.table[id];
	uint64_t addr = FAKE_HEAD + 0x10000 * (uint64_t)(id + 1);

	table->elem_bytes = (uint32_t)bytes;
	table->first_elems = first;
	table->count = 1;
	table->chunk[0] = addr;
	fake_map(&fake->memory, addr, data, whole);
}

static inline void fake_registry_init(struct fake_registry *fake)
{
	struct registry_head *head = &fake->head;
	struct registry_table *regions = &head->table[REGISTRY_REGIONS];

	memset(fake, 0, sizeof(*fake));
	memcpy(head->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES);
	head->version = REGISTRY_VERSION;
	head->head_bytes = sizeof(*head);
	head->self = FAKE_HEAD;
	head->page_bytes = 4096;
	head->flags = REGISTRY_READY;
	fake_map(&fake->memory, FAKE_HEAD, head, sizeof(*head));
	fake_table(fake, REGISTRY_STRINGS, 1, 1024, fake->strings,
		   sizeof(fake->strings));
	fake_table(fake, REGISTRY_MODULES, sizeof(fake->modules[0]), 4,
		   fake->modules, sizeof(fake->modules));
	fake_table(fake, REGISTRY_SITES, sizeof(fake->sites[0]), 16,
		   fake->sites, sizeof(fake->sites));
	fake_table(fake, REGISTRY_FRAMES, sizeof(fake->frames[0]), 16,
		   fake->frames, sizeof(fake->frames));
	fake_table(fake, REGISTRY_REGIONS, sizeof(fake->regions[0][0]), 4,
		   fake->regions[0], sizeof(fake->regions[0]));
	fake_table(fake, REGISTRY_ARENAS, sizeof(fake->arenas[0]), 8,
		   fake->arenas, sizeof(fake->arenas));
	fake_table(fake, REGISTRY_CACHES, sizeof(fake->caches[0]), 8,
		   fake->caches, sizeof(fake->caches));
	fake_table(fake, REGISTRY_ACCOUNTS, sizeof(fake->accounts[0]), 16,
		   fake->accounts, sizeof(fake->accounts));
	fake_table(fake, REGISTRY_OBJECTS, sizeof(fake->objects[0]), 16,
		   fake->objects, sizeof(fake->objects));
	regions->chunk[1] = regions->chunk[0] + 0x1000;
	regions->chunk[2] = regions->chunk[0] + 0x2000;
	fake_map(&fake->memory, regions->chunk[1], fake->regions[1],
		 sizeof(fake->regions[1]));
	fake_map(&fake->memory, regions->chunk[2], fake->regions[2],
		 sizeof(fake->regions[2]));
}

/* The index of a new string. */
static inline uint32_t fake_string(struct fake_registry *fake, const char *text)
{
	struct registry_table *table = &fake->head.table[REGISTRY_STRINGS];
	uint32_t index = (uint32_t)table->count;

	strcpy(fake->strings + index, text);
	table->count += strlen(text) + 1;
	return index;
}

/* The index of a new site. */
static inline uint32_t fake_site(struct fake_registry *fake, const char *owner,
				 unsigned kind, const char *symbol,
				 const char *name)
{
	struct registry_table *table = &fake->head.table[REGISTRY_SITES];
	struct registry_site *site = &fake->sites[table->count];

	site->owner = fake_string(fake, owner);
	site->symbol = fake_string(fake, symbol);
	site->name = fake_string(fake, name);
	site->kind = (uint8_t)kind;
	return (uint32_t)table->count++;
}

/* A new region of the pages [from, to) from FAKE_PAGE on. */
static inline struct registry_region *fake_region(struct fake_registry *fake,
						  unsigned from, unsigned to,
						  uint32_t site)
{
	struct registry_table *table = &fake->head.table[REGISTRY_REGIONS];
	uint64_t index = table->count++;
	struct registry_region *region =
		index < 4    ? &fake->regions[0][index]
		: index < 12 ? &fake->regions[1][index - 4]
			     : &fake->regions[2][index - 12];

	region->start = FAKE_PAGE + from * UINT64_C(4096);
	region->end = FAKE_PAGE + to * UINT64_C(4096);
	region->site = site;
	return region;
}

/* The index of a new arena. */
static inline uint32_t fake_arena(struct fake_registry *fake, uint32_t site,
				  uint32_t flags, int64_t direct)
{
	struct registry_table *table = &fake->head.table[REGISTRY_ARENAS];
	struct registry_arena *arena = &fake->arenas[table->count];

	*arena = (struct registry_arena){site, flags, direct};
	return (uint32_t)table->count++;
}

/* A new cache, its magazines empty. */
static inline struct registry_cache *fake_cache(struct fake_registry *fake,
						uint32_t arena, int64_t net)
{
	struct registry_table *table = &fake->head.table[REGISTRY_CACHES];
	struct registry_cache *cache = &fake->caches[table->count++];

	cache->arena = arena;
	cache->net = net;
	return cache;
}

/* A new account. */
static inline struct registry_account *fake_account(struct fake_registry *fake,
						    uint32_t site, int64_t live)
{
	struct registry_table *table = &fake->head.table[REGISTRY_ACCOUNTS];
	struct registry_account *account = &fake->accounts[table->count++];

	account->site = site;
	account->live = live;
	return account;
}

/* A new shared object. */
static inline struct registry_object *fake_object(struct fake_registry *fake,
						  uint32_t flags, uint32_t site)
{
	struct registry_table *table = &fake->head.table[REGISTRY_OBJECTS];
	struct registry_object *object = &fake->objects[table->count++];

	object->flags = OBJECT_USED | flags;
	object->site = site;
	return object;
}

#endif
