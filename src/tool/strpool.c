/* SPDX-License-Identifier: BSD-2-Clause */
/* A pool of strings, each kept once. */
#include "tool/strpool.h"

#include <stdlib.h>
#include <string.h>

#include "tool/mem.h"

#define BLOCK_BYTES 65536
#define FIRST_SLOTS 256

struct strpool_block {
	struct strpool_block *next;
	size_t used, size;
	char bytes[];
};

const char strpool_empty[1] = "";

/* FNV-1a. */
static uint64_t hash_bytes(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)text[i]) *
		       UINT64_C(0x100000001b3);
	return hash;
}

static void grow(struct strpool *pool)
{
	size_t nslots = pool->nslots != 0 ? pool->nslots * 2 : FIRST_SLOTS;
	const char **slot = mem_zalloc(nslots, sizeof(*slot));

	for (size_t i = 0; i < pool->nslots; i++) {
		const char *text = pool->slot[i];
		size_t at;

		if (text == NULL)
			continue;
		at = hash_bytes(text, strlen(text)) & (nslots - 1);
		while (slot[at] != NULL)
			at = (at + 1) & (nslots - 1);
		slot[at] = text;
	}
	free(pool->slot);
	pool->slot = slot;
	pool->nslots = nslots;
}

static char *take(struct strpool *pool, size_t bytes)
{
	struct strpool_block *block = pool->blocks;

	if (block == NULL || block->size - block->used < bytes) {
		size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;

		block = mem_alloc(1, sizeof(*block) + size);
		block->next = pool->blocks;
		block->used = 0;
		block->size = size;
		pool->blocks = block;
	}
	block->used += bytes;
	return block->bytes + block->used - bytes;
}

const char *strpool_intern(struct strpool *pool, const char *text, size_t len)
{
	size_t at;
	char *copy;

	len = strnlen(text, len);
	if (len == 0)
		return strpool_empty;
	if (pool->count * 2 >= pool->nslots)
		grow(pool);
	at = hash_bytes(text, len) & (pool->nslots - 1);
	for (; pool->slot[at] != NULL; at = (at + 1) & (pool->nslots - 1)) {
		const char *have = pool->slot[at];

		if (strncmp(have, text, len) == 0 && have[len] == '\0')
			return have;
	}
	copy = take(pool, len + 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
	pool->slot[at] = copy;
	pool->count++;
	return copy;
}

const char *strpool_add(struct strpool *pool, const char *text)
{
	return strpool_intern(pool, text, strlen(text));
}

void strpool_destroy(struct strpool *pool)
{
	struct strpool_block *next;

	for (struct strpool_block *b = pool->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(pool->slot);
	memset(pool, 0, sizeof(*pool));
}
