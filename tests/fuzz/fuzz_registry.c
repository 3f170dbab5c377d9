/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: a registry in an address space made of the input.  What
 * registry_read lets through must keep what it promises.
 *
 * The input's first bytes are the head, which is at BASE; all of the input is
 * mapped there.  Magic, version and size are put right, so that the fuzzer
 * need not find them, unless the first byte says otherwise.
 */
#include "tool/registry_read.h"

#include "tool/fork_policy.h"
#include "tool/heap_live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BASE UINT64_C(0x10000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_space {
	struct space space;
	const uint8_t *bytes;
	size_t size;
};

static int fuzz_read(struct space *space, uint64_t addr, void *to, size_t len)
{
	struct fuzz_space *f = (struct fuzz_space *)space;

	if (addr < BASE || addr - BASE > f->size ||
	    len > f->size - (addr - BASE))
		return -EFAULT;
	memcpy(to, f->bytes + (addr - BASE), len);
	return 0;
}

static void put_right(struct registry_head *head)
{
	static const size_t elem[REGISTRY_TABLES] = {
		[REGISTRY_STRINGS] = 1,
		[REGISTRY_MODULES] = sizeof(struct registry_module),
		[REGISTRY_SITES] = sizeof(struct registry_site),
		[REGISTRY_FRAMES] = sizeof(uint64_t),
		[REGISTRY_REGIONS] = sizeof(struct registry_region),
		[REGISTRY_ARENAS] = sizeof(struct registry_arena),
		[REGISTRY_CACHES] = sizeof(struct registry_cache),
		[REGISTRY_ACCOUNTS] = sizeof(struct registry_account),
		[REGISTRY_OBJECTS] = sizeof(struct registry_object),
	};

	if (head->magic[0] & 1)
		return;
	memcpy(head->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES);
	head->version = REGISTRY_VERSION;
	head->head_bytes = sizeof(*head);
	head->self = BASE;
	head->generation &= ~UINT64_C(1); /* else 32 tries, with pauses */
	head->page_bytes = 4096;
	for (int i = 0; i < REGISTRY_TABLES; i++) {
		struct registry_table *t = &head->table[i];

		t->elem_bytes = (uint32_t)elem[i];
		t->first_elems = UINT32_C(1) << (t->first_elems & 7);
		t->count &= 0xffff;
		for (int k = 0; k < REGISTRY_CHUNKS; k++)
			t->chunk[k] = BASE + (t->chunk[k] & 0xffff);
	}
}

static volatile size_t sink;

static void read_to_end(const char *text)
{
	sink += strlen(text);
}

static void check_heap(const struct registry *reg)
{
	uint64_t *live = heap_live_bytes(reg);

	for (uint64_t i = 1; i < reg->narenas; i++) {
		uint32_t site = reg->arenas[i].site;
		uint32_t first = registry_arena(reg, site);

		if (live[i] > INT64_MAX ||
		    (site && (site >= reg->nsites || !first || first > i)))
			abort();
	}
	for (uint64_t i = 0; i < reg->ncaches; i++) {
		uint32_t arena = reg->caches[i].arena;

		if (!arena || arena >= reg->narenas || !reg->arenas[arena].site)
			abort();
	}
	for (uint64_t i = 0; i < reg->naccounts; i++)
		if (!reg->accounts[i].site ||
		    reg->accounts[i].site >= reg->nsites)
			abort();
	free(live);
}

static void decide(const struct registry *reg,
		   const struct fork_options *options,
		   const struct registry_object *object)
{
	static const struct registry_site none;
	const struct registry_site *site =
		object->site ? &reg->sites[object->site] : &none;
	struct fork_object o = {
		.flags = object->flags,
		.named = (enum fork_known)(object->low % 3),
		.sealed = (enum fork_known)(object->high % 3),
		.name = registry_string(reg, object->dev),
		.site_name = registry_string(reg, site->name),
		.owner = registry_string(reg, site->owner),
		.symbol = registry_string(reg, site->symbol),
	};

	read_to_end(fork_decide(options, &o).why);
}

static void check_objects(const struct registry *reg)
{
	struct fork_options options;

	fork_options_read(&options, registry_string(reg, reg->head.options));
	for (uint64_t i = 0; i < reg->nobjects; i++) {
		const struct registry_object *o = &reg->objects[i];

		if (!(o->flags & OBJECT_USED) || o->size > INT64_MAX ||
		    o->at % reg->head.page_bytes ||
		    (o->site && o->site >= reg->nsites))
			abort();
		decide(reg, &options, o);
	}
	if (reg->no_objects && (reg->nobjects || !reg->bad))
		abort();
}

static void check(const struct registry *reg)
{
	uint64_t end = 0;

	for (uint64_t i = 0; i < reg->nregions; i++) {
		const struct registry_region *r = &reg->regions[i];

		if (r->start < end || r->start >= r->end ||
		    (r->site && r->site >= reg->nsites))
			abort();
		read_to_end(registry_string(reg, r->own_name));
		if (registry_find(reg, r->start) != r)
			abort();
		end = r->end;
	}
	for (uint64_t i = 0; i < reg->nsites; i++) {
		const struct registry_site *s = &reg->sites[i];

		read_to_end(registry_string(reg, s->owner));
		read_to_end(registry_string(reg, s->symbol));
		read_to_end(registry_string(reg, s->name));
		registry_kind_word(s->kind);
		if (s->nframes && s->frames + s->nframes > reg->nframes)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_space f = {.space = {fuzz_read}, .size = size};
	struct registry reg;
	uint8_t *copy;

	if (size < sizeof(struct registry_head))
		return 0;
	copy = malloc(size);
	if (!copy)
		return 0;
	memcpy(copy, data, size);
	put_right((struct registry_head *)copy);
	f.bytes = copy;
	if (!registry_read(&reg, &f.space, BASE)) {
		check(&reg);
		check_heap(&reg);
		check_objects(&reg);
	}
	registry_destroy(&reg);
	free(copy);
	return 0;
}
