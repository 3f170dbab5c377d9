/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who asks for memory; see owner.h.
 */
#include "heap/owner.h"

#include "base/index.h"
#include "base/table.h"
#include "env/config.h"
#include "env/guard.h"
#include "track/module.h"
#include "track/registry.h"
#include "track/site.h"
#include "track/unwind.h"

#include <errno.h>

/* Of the shared arena, live: an owner gets an arena past this, and past a
 * share of all. */
#define OWNER_BYTES (64 << 10)
#define OWNER_SHARE 64
/* It asks this often: then counting its bytes costs more than an arena. */
#define OWNER_ASKS 20000
/* Of a site: the bytes by which it made its owner's arena larger than it ever
 * was before. A site that takes what is free again does not. */
#define SITE_BYTES (16 << 20)
#define SITE_BYTES_FINE (1 << 20) /* heap=site */
#define SITE_SHARE 8
#define SITE_SHARE_FINE 64
/* Arenas left to owners. */
#define SITES_ARENAS_MAX (ARENAS_MAX / 4)
#define SITES_ARENAS_MAX_FINE (ARENAS_MAX / 2)

#define OWNERS_MAX 4096
#define PLACES_MAX 32768
#define CALLERS_MAX 262144
#define FIRST 64

struct lock heap_lock = LOCK_INIT(LOCK_HEAP);

static struct registry_table owners;
static struct registry_table places;
static struct registry_table callers;
static struct index owner_index;
static struct index place_index;
static struct index caller_index;
static unsigned site_arenas;

/* What nobody can be named for: it stays in the shared arena. */
static struct owner nobody = {.settled = true};
static struct place nowhere = {.settled = true, .owner = &nobody};
static const struct caller no_caller = {.place = &nowhere};

static bool owner_matches(uint32_t id, const void *key)
{
	const struct owner *o = table_at(&owners, id);

	return o->name == *(const uint32_t *)key;
}

static bool place_matches(uint32_t id, const void *key)
{
	const struct place *p = table_at(&places, id);

	return p->site == *(const uint32_t *)key;
}

static bool caller_matches(uint32_t id, const void *key)
{
	const struct caller *have = table_at(&callers, id);

	return have->pc == *(const uintptr_t *)key;
}

/* A new element of T, in INDEX under HASH; NULL: no room. */
static void *add(struct registry_table *t, struct index *index, uint64_t hash,
		 uint32_t max, uint32_t *id)
{
	*id = t->count < max ? (uint32_t)table_add(t, 1) : 0;
	return *id && index_add(index, hash, *id) ? table_at(t, *id) : NULL;
}

static struct owner *owner_get(uint32_t name)
{
	uint64_t hash = hash_mix(1, name);
	uint32_t id = index_find(&owner_index, hash, owner_matches, &name);
	struct owner *o;

	if (id)
		return table_at(&owners, id);
	o = add(&owners, &owner_index, hash, OWNERS_MAX, &id);
	if (!o)
		return NULL;
	o->name = name;
	return o;
}

static struct place *place_get(const struct site_function *fn)
{
	struct registry_table *t = &anonshim_registry->table[REGISTRY_ACCOUNTS];
	uint64_t hash = hash_mix(1, fn->site);
	uint32_t id = index_find(&place_index, hash, place_matches, &fn->site);
	struct owner *o;
	struct place *p;
	struct registry_account *account;

	if (id)
		return table_at(&places, id);
	o = owner_get(fn->owner);
	if (!o)
		return NULL;
	p = add(&places, &place_index, hash, PLACES_MAX, &id);
	if (!p)
		return NULL;
	p->owner = o;
	p->site = fn->site;
	while (t->count <= id)
		if (!table_add(t, 1))
			return p;
	account = table_at(t, id);
	account->site = fn->site;
	p->account = (uint16_t)id;
	return p;
}

static bool is_fresh(const struct caller *c, uint64_t generation)
{
	return __atomic_load_n(&c->generation, __ATOMIC_ACQUIRE) == generation;
}

/*
 * Learn who PC returns into; again, in the same place, where another module
 * may be there now.
 */
static const struct caller *learn(uintptr_t pc, uint64_t hash,
				  uint64_t generation)
{
	uint32_t id = index_find(&caller_index, hash, caller_matches, &pc);
	bool known = id;
	struct site_function fn;
	struct place *p;
	struct caller *c;

	if (!site_of_function(KIND_HEAP, pc, &fn))
		return &no_caller;
	p = place_get(&fn);
	if (!p)
		return &no_caller;
	if (!known && callers.count < CALLERS_MAX)
		id = (uint32_t)table_add(&callers, 1);
	if (!id)
		return &no_caller;
	c = table_at(&callers, id);
	/* others may read what they know already; it rarely is otherwise now */
	if (c->pc != pc || c->place != p) {
		c->pc = pc;
		__atomic_store_n(&c->wrapper, fn.wrapper, __ATOMIC_RELAXED);
		c->undecided = fn.nameless && !fn.wrapper;
		c->place = p;
		c->rule = unwind_rule(pc);
	}
	__atomic_store_n(&c->generation, generation, __ATOMIC_RELEASE);
	return known || index_add(&caller_index, hash, id) ? c : &no_caller;
}

const struct caller *caller_find(uintptr_t pc)
{
	uint64_t now = __atomic_load_n(&modules_generation, __ATOMIC_ACQUIRE);
	uint64_t hash = hash_mix(1, pc);
	uint32_t id = index_find(&caller_index, hash, caller_matches, &pc);
	const struct caller *found = id ? table_at(&callers, id) : &no_caller;

	if ((id && is_fresh(found, now)) || !guard_open())
		return found;
	guard_enter();
	if (lock_take(&heap_lock)) {
		if (lock_take(&registry_lock)) {
			found = learn(pc, hash, now);
			lock_drop(&registry_lock);
		}
		lock_drop(&heap_lock);
	}
	guard_leave();
	return found;
}

void caller_decide(const struct caller *c, bool wrapper)
{
	struct caller *own = (struct caller *)c;

	__atomic_store_n(&own->wrapper, wrapper, __ATOMIC_RELAXED);
	__atomic_store_n(&own->undecided, false, __ATOMIC_RELEASE);
}

/* Growing out of an arena ------------------------------------------------- */

static bool past_share(int64_t bytes, int64_t least, int share)
{
	return bytes >= least &&
	       bytes >= __atomic_load_n(&arena_total, __ATOMIC_RELAXED) / share;
}

/* About so many: what threads add at once may count once. */
static uint64_t add_about(uint64_t *count, uint64_t n)
{
	uint64_t sum = __atomic_load_n(count, __ATOMIC_RELAXED) + n;

	__atomic_store_n(count, sum, __ATOMIC_RELAXED);
	return sum;
}

/* Whether who has *WHERE and *SETTLED has an arena or cannot have one. */
static bool has_grown(struct arena *const *where, const bool *settled)
{
	return __atomic_load_n(where, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(settled, __ATOMIC_RELAXED);
}

/*
 * An arena of SITE, or of NAME's owner at large, goes to *WHERE.  False: it
 * does not.
 */
static bool promote(struct arena **where, bool *settled, uint32_t site,
		    uint32_t name)
{
	struct arena *a = NULL;

	if (!guard_open())
		return false;
	guard_enter();
	if (lock_take(&heap_lock)) {
		if (!has_grown(where, settled)) {
			if (!site && lock_take(&registry_lock)) {
				site = site_of_owner(KIND_HEAP,
						     registry_text(name), "");
				lock_drop(&registry_lock);
			}
			a = site ? arena_make(site, false) : NULL;
			__atomic_store_n(settled, !a, __ATOMIC_RELAXED);
			__atomic_store_n(where, a, __ATOMIC_RELEASE);
		}
		lock_drop(&heap_lock);
	}
	guard_leave();
	return a;
}

/* How much larger than ever A has become with BYTES more. */
static int64_t growth(struct arena *a, size_t bytes)
{
	int64_t held = __atomic_load_n(&a->held, __ATOMIC_RELAXED);
	int64_t most = __atomic_load_n(&a->held_most, __ATOMIC_RELAXED);

	if (held <= most)
		return 0;
	__atomic_store_n(&a->held_most, held, __ATOMIC_RELAXED);
	return held - most < (int64_t)bytes ? held - most : (int64_t)bytes;
}

void place_took(struct place *place, struct arena *a, size_t bytes)
{
	int64_t grown = growth(a, bytes);
	bool fine = CONFIG_NUMBER(heap) == HEAP_SITE;
	unsigned most = fine ? SITES_ARENAS_MAX_FINE : SITES_ARENAS_MAX;

	if (!grown)
		return;
	grown = __atomic_add_fetch(&place->grown, grown, __ATOMIC_RELAXED);
	if (has_grown(&place->arena, &place->settled) ||
	    !__atomic_load_n(&place->owner->arena, __ATOMIC_RELAXED) ||
	    CONFIG_NUMBER(heap) == HEAP_OWNER)
		return;
	if (__atomic_load_n(&site_arenas, __ATOMIC_RELAXED) >= most ||
	    !past_share(grown, fine ? SITE_BYTES_FINE : SITE_BYTES,
			fine ? SITE_SHARE_FINE : SITE_SHARE))
		return;
	if (promote(&place->arena, &place->settled, place->site, 0))
		__atomic_fetch_add(&site_arenas, 1, __ATOMIC_RELAXED);
}

void account_holds(uint16_t account, int64_t bytes)
{
	struct registry_account *a;
	struct place *place;

	if (!account)
		return;
	a = table_at(&anonshim_registry->table[REGISTRY_ACCOUNTS], account);
	__atomic_fetch_add(&a->live, bytes, __ATOMIC_RELAXED);
	place = table_at(&places, account);
	__atomic_fetch_add(&place->owner->live, bytes, __ATOMIC_RELAXED);
}

void place_holds(struct place *place, int64_t bytes)
{
	struct owner *o = place->owner;
	uint64_t asks = add_about(&o->asks, 1);

	account_holds(place->account, bytes);
	if (has_grown(&o->arena, &o->settled))
		return;
	if (asks > OWNER_ASKS ||
	    past_share(__atomic_load_n(&o->live, __ATOMIC_RELAXED), OWNER_BYTES,
		       OWNER_SHARE))
		promote(&o->arena, &o->settled, 0, o->name);
}

int owners_init(void)
{
	table_init(&owners, sizeof(struct owner), FIRST);
	table_init(&places, sizeof(struct place), FIRST);
	table_init(&callers, sizeof(struct caller), FIRST * 4);
	return 0;
}
