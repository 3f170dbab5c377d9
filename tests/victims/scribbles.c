/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Overwrites its own registry and waits: "head" all of the head behind its
 * magic, "magic" that too, "tables" every chunk of every table, a number: as
 * many random bytes of all of these, seeded with it.
 */
#include "victim.h"

#include "wire/registry_abi.h"

#include <dlfcn.h>

static struct registry_head *head;

static void fill(void *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((char *)p)[i] = (char)rand();
}

static size_t chunk_bytes(const struct registry_table *t, unsigned k)
{
	return (size_t)t->elem_bytes * (t->first_elems << k);
}

static void spoil_tables(void (*spoil)(void *, size_t))
{
	for (unsigned i = 0; i < REGISTRY_TABLES; i++)
		for (unsigned k = 0; k < REGISTRY_CHUNKS; k++) {
			struct registry_table *t = &head->table[i];

			if (t->chunk[k])
				spoil((void *)t->chunk[k], chunk_bytes(t, k));
		}
}

static void spoil_some(void *p, size_t bytes)
{
	for (size_t i = 0; i < bytes / 64; i++)
		((char *)p)[(size_t)rand() % bytes] = (char)rand();
}

int main(int argc, char **argv)
{
	struct registry_head **symbol = (struct registry_head **)dlsym(
		RTLD_DEFAULT, "anonshim_registry");
	const char *what = argc > 1 ? argv[1] : "head";

	victim_begin();
	touch(anon(PAGES), PAGES);
	if (!symbol || !*symbol)
		SKIP("no registry");
	head = *symbol;
	srand((unsigned)atoi(what));
	if (!strcmp(what, "head")) {
		fill((char *)head + REGISTRY_MAGIC_BYTES,
		     sizeof(*head) - REGISTRY_MAGIC_BYTES);
	} else if (!strcmp(what, "magic")) {
		fill(head, sizeof(*head));
	} else if (!strcmp(what, "pointer")) {
		*symbol = (struct registry_head *)0x123456789000;
	} else if (!strcmp(what, "tables")) {
		spoil_tables(fill);
	} else {
		spoil_tables(spoil_some);
		spoil_some((char *)head + REGISTRY_MAGIC_BYTES,
			   sizeof(*head) - REGISTRY_MAGIC_BYTES);
	}
	victim_wait();
	return 0;
}
