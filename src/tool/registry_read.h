/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A copy of the shim's registry, taken out of a live process or a core file
 * and checked.
 *
 * Nothing the process holds is trusted: after registry_read has succeeded
 * every index in the copy is inside its table, every string ends, regions are
 * in address order, page aligned, not empty and do not overlap.  What did not
 * fit was left out and is counted in `bad` and `overlaps`.
 *
 * The heap's arenas keep their indexes, for caches name them by index; one
 * that is not in use or was left out has site 0.  Caches and accounts are those
 * in use, and no number of bytes is larger than an address space.  Of objects,
 * too, those in use are there, and none is larger than a file can be.
 */
#ifndef ANONSHIM_TOOL_REGISTRY_READ_H
#define ANONSHIM_TOOL_REGISTRY_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/space.h"
#include "wire/registry_abi.h"

struct registry {
	struct registry_head head;
	char *strings;
	uint64_t nstrings;
	struct registry_module *modules;
	uint64_t nmodules;
	struct registry_site *sites;
	uint64_t nsites;
	uint64_t *frames;
	uint64_t nframes;
	struct registry_region *regions; /* those in use */
	uint64_t nregions;
	struct registry_arena *arenas;
	uint64_t narenas;
	struct registry_cache *caches;
	uint64_t ncaches;
	struct registry_account *accounts;
	uint64_t naccounts;
	struct registry_object *objects; /* those in use */
	uint64_t nobjects;
	bool no_objects;	 /* their table could not be read */
	uint32_t *arena_of_site; /* see registry_arena; NULL: no arenas */
	uint64_t bad;		 /* entries left out, for they made no sense */
	uint64_t overlaps; /* regions left out, for they overlapped others */
	bool torn;     /* the process went on writing; a region may be stale */
	char why[128]; /* of a failure: what is wrong, for people */
};

/*
 * Reads the registry whose head is at addr.  A copy that the process changed
 * meanwhile is taken again, a bounded number of times; the last one stays and
 * is marked torn.  0; -EBADMSG: not a registry, another version or damaged
 * (see why); or the -errno of the space.  The copy, empty after a failure,
 * needs registry_destroy.
 */
int registry_read(struct registry *reg, struct space *space, uint64_t addr);

/* Whether the head at addr looks like one: its magic and its own address. */
bool registry_is_head(struct space *space, uint64_t addr);

/* Whether the process has changed its regions since the copy was taken. */
bool registry_moved(const struct registry *reg, struct space *space);

void registry_destroy(struct registry *reg);

/* The string at an index; "" for one outside the table. */
const char *registry_string(const struct registry *reg, uint64_t index);

/* The word for a kind in names; "" for KIND_NONE. */
const char *registry_kind_word(unsigned kind);

/*
 * The arena whose regions are of a site, the first of several; 0: no heap of
 * ours.
 */
uint32_t registry_arena(const struct registry *reg, uint32_t site);

/* The region that holds addr, or NULL. */
const struct registry_region *registry_find(const struct registry *reg,
					    uint64_t addr);

#endif
