/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the registry.  The tables come over as they are, each bounded, and
 * are then checked against each other, see registry_check.h.  Strings, modules,
 * sites and frames only grow, and are counted after the regions and the heap
 * were read: what those point at is there.
 *
 * The heap's tables and that of shared objects are left out where they cannot
 * be read: whose memory is whose is known without them.
 */
#include "tool/registry_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool/mem.h"
#include "tool/registry_check.h"

/* 32 tries, the pause growing by 200 us: 100 ms at the very worst. */
#define TRIES 32
#define PAUSE_NS 200000L

/* What a process with every limit raised could still have, and no more. */
#define MOST_STRINGS (UINT64_C(128) << 20)
#define MOST_MODULES (UINT64_C(1) << 16)
#define MOST_SITES (UINT64_C(1) << 22)
#define MOST_FRAMES (UINT64_C(1) << 25)
#define MOST_REGIONS (UINT64_C(1) << 23)
#define MOST_ARENAS (UINT64_C(1) << 16)
#define MOST_CACHES (UINT64_C(1) << 20)
#define MOST_ACCOUNTS MOST_SITES
#define MOST_OBJECTS (UINT64_C(1) << 23)

static int refuse(struct registry *reg, const char *why)
{
	snprintf(reg->why, sizeof(reg->why), "%s", why);
	return -EBADMSG;
}

static int check_head(struct registry *reg, uint64_t addr)
{
	const struct registry_head *head = &reg->head;

	if (memcmp(head->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES) != 0)
		return refuse(reg, "its magic is missing");
	if (head->version != REGISTRY_VERSION) {
		snprintf(reg->why, sizeof(reg->why),
			 "its version is %u and this tool reads %d",
			 head->version, REGISTRY_VERSION);
		return -EBADMSG;
	}
	if (head->head_bytes != sizeof(*head))
		return refuse(reg, "its head has another size");
	if (head->self != addr)
		return refuse(reg, "it is not where it says it is");
	if (head->page_bytes < 4096 ||
	    (head->page_bytes & (head->page_bytes - 1)) != 0)
		return refuse(reg, "its page size is no power of two");
	return 0;
}

static int read_head(struct registry *reg, struct space *space, uint64_t addr)
{
	int status = space_read(space, addr, &reg->head, sizeof(reg->head));

	if (status == -EFAULT)
		return refuse(reg, "its head is not mapped");
	return status != 0 ? status : check_head(reg, addr);
}

/* The part of chunk k that is in use, in elements; 0 past the last. */
static uint64_t chunk_elems(const struct registry_table *table, int k)
{
	uint64_t size = (uint64_t)table->first_elems << k;
	/* All chunks before k hold first * (2^k - 1) elements. */
	uint64_t before = size - table->first_elems;

	if (table->count <= before)
		return 0;
	return table->count - before < size ? table->count - before : size;
}

static int check_table(struct registry *reg, int id, size_t elem, uint64_t most)
{
	const struct registry_table *table = &reg->head.table[id];
	uint64_t first = table->first_elems;

	if (table->elem_bytes != elem)
		return refuse(reg, "a table's elements have another size");
	if (first == 0 || (first & (first - 1)) != 0)
		return refuse(reg, "a table's first chunk is no power of two");
	if (table->count > most)
		return refuse(reg, "a table is larger than any can be");
	if (table->count > first * ((UINT64_C(1) << REGISTRY_CHUNKS) - 1))
		return refuse(reg, "a table counts more than its chunks hold");
	return 0;
}

/* Copies a table into one array; the caller frees *to in any case. */
static int read_table(struct registry *reg, struct space *space, int id,
		      size_t elem, uint64_t most, void **to, uint64_t *count)
{
	const struct registry_table *table = &reg->head.table[id];
	int status = check_table(reg, id, elem, most);
	uint64_t have = 0;

	*count = 0;
	if (status != 0)
		return status;
	for (int k = 0; k < REGISTRY_CHUNKS && have < table->count; k++) {
		uint64_t elems = chunk_elems(table, k);

		*to = mem_realloc(*to, have + elems, elem);
		/* The null element alone needs no chunk. */
		if (table->count == 1 && table->chunk[0] == 0) {
			memset(*to, 0, elem);
			have = 1;
			break;
		}
		status = space_read(space, table->chunk[k],
				    (char *)*to + have * elem, elems * elem);
		if (status == -EFAULT)
			return refuse(reg, "a part of a table is not mapped");
		if (status != 0)
			return status;
		have += elems;
	}
	*count = have;
	return 0;
}

#define READ_TABLE(reg, space, id, field, most)                 \
	read_table(reg, space, id, sizeof(*(reg)->field), most, \
		   (void **)&(reg)->field, &(reg)->n##field)

/* A table that is spared counts once, however often it was tried. */
static int read_objects(struct registry *reg, struct space *space)
{
	int status =
		READ_TABLE(reg, space, REGISTRY_OBJECTS, objects, MOST_OBJECTS);

	reg->no_objects = status == -EBADMSG;
	if (!reg->no_objects)
		return status;
	reg->nobjects = 0;
	return 0;
}

/*
 * One try at the regions and objects: 0 consistent, 1 changed meanwhile, or an
 * error.  The head that stays is the one read last.
 */
static int read_regions(struct registry *reg, struct space *space,
			uint64_t addr)
{
	uint64_t before;
	int status = read_head(reg, space, addr);

	if (status != 0)
		return status;
	before = reg->head.generation;
	status =
		READ_TABLE(reg, space, REGISTRY_REGIONS, regions, MOST_REGIONS);
	if (status == 0)
		status = read_objects(reg, space);
	if (status != 0)
		return status;
	status = read_head(reg, space, addr);
	if (status != 0)
		return status;
	return before != reg->head.generation || before % 2 != 0;
}

static void pause_before(int try)
{
	struct timespec pause = {0, PAUSE_NS * try};

	nanosleep(&pause, NULL);
}

/* A table that cannot be read is one bad entry. */
static int spare(struct registry *reg, int status, uint64_t *count)
{
	if (status != -EBADMSG)
		return status;
	*count = 0;
	reg->bad++;
	return 0;
}

/* Caches first and arenas counted after them: a cache's arena is there. */
static int read_heap(struct registry *reg, struct space *space, uint64_t addr)
{
	int status = read_head(reg, space, addr);

	if (status != 0)
		return status;
	status = READ_TABLE(reg, space, REGISTRY_CACHES, caches, MOST_CACHES);
	status = spare(reg, status, &reg->ncaches);
	if (status == 0)
		status = read_head(reg, space, addr);
	if (status != 0)
		return status;
	status = READ_TABLE(reg, space, REGISTRY_ARENAS, arenas, MOST_ARENAS);
	status = spare(reg, status, &reg->narenas);
	if (status != 0)
		return status;
	status = READ_TABLE(reg, space, REGISTRY_ACCOUNTS, accounts,
			    MOST_ACCOUNTS);
	return spare(reg, status, &reg->naccounts);
}

static int read_tables(struct registry *reg, struct space *space, uint64_t addr)
{
	int status = read_heap(reg, space, addr);

	if (status != 0)
		return status;
	status = 1;
	for (int try = 0; try < TRIES && status == 1; try++) {
		if (try > 0)
			pause_before(try);
		status = read_regions(reg, space, addr);
	}
	if (status < 0)
		return status;
	reg->torn = status == 1;
	reg->bad += reg->no_objects;
	status =
		READ_TABLE(reg, space, REGISTRY_STRINGS, strings, MOST_STRINGS);
	if (status == 0)
		status = READ_TABLE(reg, space, REGISTRY_MODULES, modules,
				    MOST_MODULES);
	if (status == 0)
		status = READ_TABLE(reg, space, REGISTRY_SITES, sites,
				    MOST_SITES);
	if (status == 0)
		status = READ_TABLE(reg, space, REGISTRY_FRAMES, frames,
				    MOST_FRAMES);
	return status;
}

/* Nothing of a copy that was not checked stays, but why. */
static int drop(struct registry *reg, int status)
{
	char why[sizeof(reg->why)];

	memcpy(why, reg->why, sizeof(why));
	registry_destroy(reg);
	memcpy(reg->why, why, sizeof(why));
	return status;
}

int registry_read(struct registry *reg, struct space *space, uint64_t addr)
{
	int status;

	memset(reg, 0, sizeof(*reg));
	status = read_tables(reg, space, addr);
	if (status != 0)
		return drop(reg, status);
	if (reg->nstrings > 0)
		reg->strings[reg->nstrings - 1] = '\0';
	registry_check(reg);
	return 0;
}

bool registry_is_head(struct space *space, uint64_t addr)
{
	struct registry_head head;

	return space_read(space, addr, &head, sizeof(head)) == 0 &&
	       memcmp(head.magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES) == 0 &&
	       head.self == addr;
}

bool registry_moved(const struct registry *reg, struct space *space)
{
	uint64_t now, at = reg->head.self +
			   offsetof(struct registry_head, generation);

	return space_read(space, at, &now, sizeof(now)) != 0 ||
	       now != reg->head.generation;
}

void registry_destroy(struct registry *reg)
{
	free(reg->strings);
	free(reg->modules);
	free(reg->sites);
	free(reg->frames);
	free(reg->regions);
	free(reg->arenas);
	free(reg->caches);
	free(reg->accounts);
	free(reg->objects);
	free(reg->arena_of_site);
	memset(reg, 0, sizeof(*reg));
}

const char *registry_string(const struct registry *reg, uint64_t index)
{
	return index < reg->nstrings ? reg->strings + index : "";
}

const char *registry_kind_word(unsigned kind)
{
	static const char *const words[] = {
#define X(constant, word) word,
		REGISTRY_KINDS(X)
#undef X
	};

	return kind < KIND_COUNT ? words[kind] : "";
}

uint32_t registry_arena(const struct registry *reg, uint32_t site)
{
	if (reg->arena_of_site == NULL || site >= reg->nsites)
		return 0;
	return reg->arena_of_site[site];
}

const struct registry_region *registry_find(const struct registry *reg,
					    uint64_t addr)
{
	uint64_t low = 0, high = reg->nregions;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (reg->regions[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == reg->nregions || reg->regions[low].start > addr)
		return NULL;
	return &reg->regions[low];
}
