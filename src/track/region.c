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
#include "env/guard.h"
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

bool region_enter(void)
{
	guard_enter();
	if (region_lock_take())
		return true;
	guard_leave();
	return false;
}

void region_leave(void)
{
	region_lock_drop();
	guard_leave();
}

static void write_begin(void)
{
	/* the only writer: no read-modify-write is needed */
	__atomic_store_n(&anonshim_registry->generation,
			 anonshim_registry->generation + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

static void write_end(void)
{
	__atomic_store_n(&anonshim_registry->generation,
			 anonshim_registry->generation + 1, __ATOMIC_RELEASE);
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

/* The regions on both sides of an address; slots, 0: none. */
struct place {
	uint32_t below; /* the last that starts below */
	uint32_t above; /* the first that starts at or above */
};

static struct place locate(uintptr_t addr)
{
	struct place p = {0, 0};

	for (uint32_t n = root; n;) {
		struct registry_region *r = at(n);

		if (r->start < addr) {
			p.below = n;
			n = r->right;
		} else {
			p.above = n;
			n = r->left;
		}
	}
	return p;
}

/* Slot of the first region that ends above ADDR, or 0. */
static uint32_t find_ending_above(uintptr_t addr)
{
	struct place p = locate(addr);

	return p.below && at(p.below)->end > addr ? p.below : p.above;
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

static void drop(uint32_t slot)
{
	tree_remove(slot);
	slot_give(slot);
	anonshim_registry->counters.regions--;
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

/*
 * Add a region where there is none, at P = locate(START); grow a neighbour
 * where it is alike.
 */
static void insert_at(struct place p, uintptr_t start, uintptr_t end,
		      const struct region_tag *tag)
{
	bool below =
		p.below && at(p.below)->end == start && alike(at(p.below), tag);
	bool above =
		p.above && at(p.above)->start == end && alike(at(p.above), tag);
	uint32_t slot;

	if (below) {
		at(p.below)->end = above ? at(p.above)->end : end;
		if (above)
			drop(p.above);
		return;
	}
	if (above) {
		at(p.above)->start = start; /* its place in the order stays */
		return;
	}
	slot = slot_take();
	if (!slot) {
		REGISTRY_COUNT(lost, 1);
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

static void insert(uintptr_t start, uintptr_t end, const struct region_tag *tag)
{
	insert_at(locate(start), start, end, tag);
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
		drop(slot);
	}
}

/* The first region that overlaps [START, END), given P = locate(START). */
static uint32_t overlap(struct place p, uintptr_t start, uintptr_t end)
{
	if (p.below && at(p.below)->end > start)
		return p.below;
	return p.above && at(p.above)->start < end ? p.above : 0;
}

/* Clear [START, END) of which P = locate(START); returns it as it is then. */
static struct place clear(struct place p, uintptr_t start, uintptr_t end)
{
	uint32_t slot;

	while (start < end && (slot = overlap(p, start, end))) {
		cut(slot, start, end);
		p = locate(start);
	}
	return p;
}

void region_clear(uintptr_t start, uintptr_t end)
{
	struct place p = locate(start);

	uint32_t slot = start < end ? overlap(p, start, end) : 0;

	if (!slot)
		return;
	write_begin();
	/* as a rule one region, and the call is made often */
	if (at(slot)->end >= end)
		cut(slot, start, end);
	else
		clear(p, start, end);
	write_end();
}

void region_set(uintptr_t start, uintptr_t end, const struct region_tag *tag)
{
	if (start >= end)
		return;
	write_begin();
	insert_at(clear(locate(start), start, end), start, end, tag);
	write_end();
}

size_t region_copy(uintptr_t from, size_t len, uintptr_t to)
{
	uintptr_t done = from;
	size_t copied = 0;

	write_begin();
	clear(locate(to), to, to + len);
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
		copied += end - start;
		done = end;
	}
	write_end();
	return copied;
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

/* Build the tree anew from the slots; of two that overlap one goes. */
static void rebuild(void)
{
	uint64_t count = anonshim_registry->table[REGISTRY_REGIONS].count;

	root = 0;
	free_slots = 0;
	anonshim_registry->counters.regions = 0;
	for (uint32_t slot = 1; slot < count; slot++) {
		struct registry_region *r = at(slot);

		r->left = 0;
		r->right = 0;
		if (r->start >= r->end ||
		    overlap(locate(r->start), r->start, r->end)) {
			slot_give(slot);
			continue;
		}
		tree_insert(slot);
		anonshim_registry->counters.regions++;
	}
}

bool region_lock_reset(void)
{
	bool held = lock_reset(&map_lock);

	if (anonshim_registry->generation & 1) {
		rebuild();
		write_end();
	}
	return held;
}
