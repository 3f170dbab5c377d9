/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The region map.
 *
 * A treap over the registry's table of regions: a search tree by start, a heap
 * by a hash of the slot's number, so that its depth is logarithmic whatever
 * the order of the calls, with no balance kept anywhere.  Slots keep their
 * place for life; free ones are chained through `right`.  No recursion: it
 * runs on signal stacks.
 *
 * Invariants, whenever the lock is free: regions are not empty and do not
 * overlap; no two neighbours that touch are alike; `generation` is even.
 */
#include "track/region.h"

#include "base/index.h"
#include "base/lock.h"
#include "track/registry.h"

static struct lock map_lock = LOCK_INIT(LOCK_MAP);
static uint32_t root;
static uint32_t free_slots;

static struct registry_region *at(uint32_t slot)
{
	return table_element(&anonshim_registry->table[REGISTRY_REGIONS], slot,
			     REGIONS_FIRST_SHIFT,
			     sizeof(struct registry_region));
}

static uint32_t priority(uint32_t slot)
{
	return (uint32_t)hash_mix(0, slot);
}

bool region_lock_take(void)
{
	return lock_take(&map_lock);
}

void region_lock_drop(void)
{
	lock_drop(&map_lock);
}

bool region_lock_reset(void)
{
	bool torn = anonshim_registry->generation & 1;

	if (torn)
		anonshim_registry->generation++;
	return lock_reset(&map_lock) || torn;
}

static void write_begin(void)
{
	__atomic_fetch_add(&anonshim_registry->generation, 1, __ATOMIC_ACQ_REL);
}

static void write_end(void)
{
	__atomic_fetch_add(&anonshim_registry->generation, 1, __ATOMIC_RELEASE);
}

static uint32_t slot_take(void)
{
	uint32_t slot = free_slots;

	if (slot) {
		free_slots = at(slot)->right;
		return slot;
	}
	return (uint32_t)table_add(&anonshim_registry->table[REGISTRY_REGIONS],
				   1);
}

static void slot_give(uint32_t slot)
{
	*at(slot) = (struct registry_region){.right = free_slots};
	free_slots = slot;
}

/* Slot of the first region that ends above ADDR, or 0. */
static uint32_t find_ending_above(uintptr_t addr)
{
	uint32_t best = 0;

	for (uint32_t n = root; n;) {
		if (at(n)->end > addr) {
			best = n;
			n = at(n)->left;
		} else {
			n = at(n)->right;
		}
	}
	return best;
}

/* Slot of the region that ends at ADDR exactly, or 0. */
static uint32_t find_ending_at(uintptr_t addr)
{
	uint32_t n = addr ? find_ending_above(addr - 1) : 0;

	return n && at(n)->end == addr ? n : 0;
}

static void tree_insert(uint32_t slot)
{
	struct registry_region *new = at(slot);
	uint32_t *link = &root;
	uint32_t *low = &new->left;
	uint32_t *high = &new->right;
	uint32_t rest;

	while (*link && priority(*link) >= priority(slot))
		link = at(*link)->start < new->start ? &at(*link)->right
						     : &at(*link)->left;
	rest = *link;
	*link = slot;
	/* split the subtree that was there around the new start */
	while (rest) {
		if (at(rest)->start < new->start) {
			*low = rest;
			low = &at(rest)->right;
		} else {
			*high = rest;
			high = &at(rest)->left;
		}
		rest = at(rest)->start < new->start ? *low : *high;
	}
	*low = 0;
	*high = 0;
}

static void tree_remove(uint32_t slot)
{
	uint32_t *link = &root;
	uint32_t a = at(slot)->left;
	uint32_t b = at(slot)->right;

	while (*link != slot)
		link = at(*link)->start < at(slot)->start ? &at(*link)->right
							  : &at(*link)->left;
	while (a && b) {
		if (priority(a) >= priority(b)) {
			*link = a;
			link = &at(a)->right;
			a = *link;
		} else {
			*link = b;
			link = &at(b)->left;
			b = *link;
		}
	}
	*link = a ? a : b;
}

static bool alike(const struct registry_region *r, const struct region_tag *t)
{
	return r->site == t->site && r->own_name == t->own_name &&
	       r->tid == t->tid && r->flags == t->flags;
}

struct region_tag region_tag_of(const struct registry_region *r)
{
	return (struct region_tag){
		.site = r->site,
		.own_name = r->own_name,
		.tid = r->tid,
		.flags = r->flags,
	};
}

/* Add a region where there is none; grow a neighbour where it is alike. */
static void insert(uintptr_t start, uintptr_t end, const struct region_tag *tag)
{
	uint32_t before = find_ending_at(start);
	uint32_t after = find_ending_above(end);
	uint32_t slot;

	if (after && (at(after)->start != end || !alike(at(after), tag)))
		after = 0;
	if (before && alike(at(before), tag)) {
		at(before)->end = after ? at(after)->end : end;
		if (after) {
			tree_remove(after);
			slot_give(after);
			anonshim_registry->counters.regions--;
		}
		return;
	}
	if (after) {
		at(after)->start = start; /* its place in the order stays */
		return;
	}
	slot = slot_take();
	if (!slot) {
		anonshim_registry->counters.lost++;
		registry_flag_set(REGISTRY_INEXACT);
		return;
	}
	*at(slot) = (struct registry_region){
		.start = start,
		.end = end,
		.site = tag->site,
		.own_name = tag->own_name,
		.tid = tag->tid,
		.flags = tag->flags,
	};
	tree_insert(slot);
	anonshim_registry->counters.regions++;
}

/* Take [START, END) out of the region in SLOT, which overlaps it. */
static void cut(uint32_t slot, uintptr_t start, uintptr_t end)
{
	struct registry_region *r = at(slot);
	struct region_tag tag = region_tag_of(r);
	uintptr_t tail = r->end;

	if (r->start < start) {
		r->end = start;
		if (tail > end)
			insert(end, tail, &tag);
	} else if (tail > end) {
		r->start = end;
	} else {
		tree_remove(slot);
		slot_give(slot);
		anonshim_registry->counters.regions--;
	}
}

static void clear(uintptr_t start, uintptr_t end)
{
	uint32_t slot;

	while (start < end && (slot = find_ending_above(start)) &&
	       at(slot)->start < end)
		cut(slot, start, end);
}

void region_clear(uintptr_t start, uintptr_t end)
{
	uint32_t slot = find_ending_above(start);

	if (start >= end || !slot || at(slot)->start >= end)
		return;
	write_begin();
	clear(start, end);
	write_end();
}

void region_set(uintptr_t start, uintptr_t end, const struct region_tag *tag)
{
	if (start >= end)
		return;
	write_begin();
	clear(start, end);
	insert(start, end, tag);
	write_end();
}

void region_copy(uintptr_t from, size_t len, uintptr_t to)
{
	uintptr_t done = from;

	write_begin();
	clear(to, to + len);
	/* inserting may merge and move slots: search anew for every piece */
	while (done < from + len) {
		uint32_t slot = find_ending_above(done);
		struct region_tag tag;
		uintptr_t start;
		uintptr_t end;

		if (!slot || at(slot)->start >= from + len)
			break;
		start = at(slot)->start > done ? at(slot)->start : done;
		end = at(slot)->end < from + len ? at(slot)->end : from + len;
		tag = region_tag_of(at(slot));
		tag.flags &= ~(uint32_t)REGION_BRK;
		insert(start - from + to, end - from + to, &tag);
		done = end;
	}
	write_end();
}

struct registry_region *region_at_or_above(uintptr_t addr)
{
	uint32_t slot = find_ending_above(addr);

	return slot ? at(slot) : NULL;
}

struct registry_region *region_at(uintptr_t addr)
{
	struct registry_region *r = region_at_or_above(addr);

	return r && r->start <= addr ? r : NULL;
}

void region_set_own_name(uintptr_t start, uintptr_t end, uint32_t name)
{
	uintptr_t done = start;
	struct registry_region *r;

	while (done < end && (r = region_at_or_above(done)) && r->start < end) {
		struct region_tag tag = region_tag_of(r);
		uintptr_t from = r->start > done ? r->start : done;
		uintptr_t to = r->end < end ? r->end : end;

		tag.own_name = name;
		region_set(from, to, &tag);
		done = to;
	}
}
