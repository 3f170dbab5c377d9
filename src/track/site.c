/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sites; see site.h.
 *
 * Two indices lead to a site.  `by_address` hashes raw return addresses: it is
 * what the mapping calls probe, without a lock; the modules' generation is in
 * the hash, so that a module gone is not mistaken for the one in its place.
 * `by_frame` hashes (module, offset) pairs, which outlive a reload, so
 * that one site stays one.  A third keeps the function of each frame.
 */
#include "track/site.h"

#include "base/fmt.h"
#include "base/index.h"
#include "base/mem.h"
#include "env/config.h"
#include "env/guard.h"
#include "track/module.h"
#include "track/name.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/skip.h"
#include "track/symbol.h"
#include "track/unwind.h"

#include <errno.h>
#include <string.h>

#define SITES_MAX 65536
#define SYMBOL_BYTES 1024
#define FIRST_EXTRAS 256
/* Call stacks remembered by address; past it they are learnt anew. */
#define ADDRESSES_MAX (4 * SITES_MAX)

uint32_t site_own;
uint32_t site_snapshots;
uint32_t site_unknown;
uint32_t site_brk;

/* What is kept of a site beside the registry's record; same index. */
struct extra {
	uint64_t address_hash;
	uint64_t frame_hash;
};

/* A function found: element of `functions`. */
struct function {
	uint64_t frame;
	uint32_t owner; /* strings */
	uint32_t symbol;
};

static struct registry_table extras;
static struct registry_table functions;
static struct index by_address;
static struct index by_frame;
static struct index function_index;
static uint32_t addresses;

static struct extra *extra_at(uint32_t id)
{
	return table_at(&extras, id);
}

static bool address_matches(uint32_t id, const void *key)
{
	return __atomic_load_n(&extra_at(id)->address_hash, __ATOMIC_RELAXED) ==
	       *(const uint64_t *)key;
}

static bool frame_matches(uint32_t id, const void *key)
{
	return extra_at(id)->frame_hash == *(const uint64_t *)key;
}

static bool function_matches(uint32_t id, const void *key)
{
	const struct function *f = table_at(&functions, id);

	return f->frame == *(const uint64_t *)key;
}

static uint64_t frame_pack(uintptr_t pc)
{
	const struct module *m = module_at(pc - 1);

	if (!m || m->id > REGISTRY_FRAME_MODULE(UINT64_MAX))
		return pc;
	return (uint64_t)m->id << REGISTRY_FRAME_OFFSET_BITS | (pc - m->bias);
}

/* Code outside of modules belongs to whoever mapped its pages. */
static uint32_t owner_of_code(uintptr_t pc)
{
	static const char unknown[] = "(unknown)";
	const struct registry_region *r;
	uint32_t owner = 0;

	if (region_lock_take()) {
		r = region_at(pc);
		if (r && r->site)
			owner = registry_site_at(r->site)->owner;
		region_lock_drop();
	}
	return owner ? owner : registry_string(unknown, strlen(unknown));
}

static void function_resolve(struct function *fn, uintptr_t pc)
{
	const struct module *m = module_at(pc - 1);
	static char text[SYMBOL_BYTES]; /* under registry_lock */
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
	if (m) {
		symbol_find(m, pc - 1, &f);
		fn->owner = registry_module_at(m->id)->owner;
	} else {
		fmt_str(&f, "(generated code)");
		fn->owner = owner_of_code(pc);
	}
	fn->symbol = registry_string(f.text, f.len);
}

/* The function that PC returns into; a null one without memory. */
static struct function function_get(uintptr_t pc, uint64_t frame)
{
	uint64_t hash = hash_mix(1, frame);
	uint32_t id =
		index_find(&function_index, hash, function_matches, &frame);
	struct function *fn;

	if (!id) {
		id = (uint32_t)table_add(&functions, 1);
		if (!id)
			return (struct function){0};
		fn = table_at(&functions, id);
		fn->frame = frame;
		function_resolve(fn, pc);
		index_add(&function_index, hash, id);
	}
	fn = table_at(&functions, id);
	return *fn;
}

static uint32_t name_make(uint8_t kind, const char *owner, const char *symbol)
{
	struct name_parts parts = {.owner = owner,
				   .kind = name_kind(kind),
				   .site = symbol,
				   .keep_marks = true};
	char name[NAME_BYTES];

	name_compose(CONFIG_TEXT(name), &parts, name);
	return registry_string(name, strlen(name));
}

/* A new site's id, its record filled but for the frames; 0: no room. */
static uint32_t site_add(const struct registry_site *site, uint64_t hash)
{
	struct registry_table *t = &anonshim_registry->table[REGISTRY_SITES];
	uint32_t id;

	id = t->count < SITES_MAX ? (uint32_t)table_add(t, 1) : 0;
	if (!id)
		return 0;
	while (extras.count <= id)
		if (!table_add(&extras, 1))
			return 0;
	*registry_site_at(id) = *site;
	extra_at(id)->frame_hash = hash;
	index_add(&by_frame, hash, id);
	return id;
}

/*
 * Who speaks for a call stack: its first frame that is no wrapper; an
 * allocator for itself, for what it maps serves many; the first frame where
 * all are wrappers.
 */
static void pick(struct registry_site *site, const uintptr_t *pcs,
		 const uint64_t *frames)
{
	struct function first = function_get(pcs[0], frames[0]);
	struct function fn = first;

	site->picked = 0;
	if (site->kind == KIND_MMAP &&
	    skip_is_allocator(registry_text(fn.owner),
			      registry_text(fn.symbol))) {
		site->kind = KIND_HEAP;
	} else {
		for (uint8_t i = 0; i < site->nframes; i++) {
			fn = function_get(pcs[i], frames[i]);
			site->picked = i;
			if (!skip_frame(site->kind, registry_text(fn.owner),
					registry_text(fn.symbol)))
				break;
			fn = first;
			site->picked = 0;
		}
	}
	site->owner = fn.owner;
	site->symbol = fn.symbol;
	site->name = name_make(site->kind, registry_text(fn.owner),
			       registry_text(fn.symbol));
}

static uint64_t *frames_store(struct registry_site *site, const uint64_t *f)
{
	struct registry_table *t = &anonshim_registry->table[REGISTRY_FRAMES];
	uint64_t *stored;

	site->frames = (uint32_t)table_add(t, site->nframes);
	if (!site->frames)
		return NULL;
	stored = table_at(t, site->frames);
	memcpy(stored, f, site->nframes * sizeof(*f));
	return stored;
}

static uint32_t site_find_or_add(enum registry_kind kind, const uintptr_t *pcs,
				 unsigned n)
{
	struct registry_site site = {.nframes = (uint8_t)n,
				     .kind = (uint8_t)kind};
	uint64_t frames[UNWIND_DEPTH_MAX];
	uint64_t hash = (uint64_t)kind;
	uint32_t id;

	for (unsigned i = 0; i < n; i++) {
		frames[i] = frame_pack(pcs[i]);
		hash = hash_mix(hash, frames[i]);
	}
	id = index_find(&by_frame, hash, frame_matches, &hash);
	if (id)
		return id;
	if (anonshim_registry->table[REGISTRY_SITES].count >= SITES_MAX ||
	    !frames_store(&site, frames))
		return 0;
	pick(&site, pcs, frames);
	return site_add(&site, hash);
}

static void address_learn(uint64_t hash, uint32_t id)
{
	if (addresses++ >= ADDRESSES_MAX) {
		index_clear(&by_address);
		addresses = 1;
	}
	__atomic_store_n(&extra_at(id)->address_hash, hash, __ATOMIC_RELAXED);
	index_add(&by_address, hash, id);
}

static uint32_t site_slowly(enum registry_kind kind, const uintptr_t *pcs,
			    unsigned n, uint64_t hash)
{
	uint32_t id = 0;

	guard_enter();
	if (lock_take(&registry_lock)) {
		modules_sweep();
		id = site_find_or_add(kind, pcs, n);
		if (!id && n > 1) {
			REGISTRY_COUNT(sites_lost, 1);
			id = site_find_or_add(kind, pcs, 1);
		}
		if (id)
			address_learn(hash, id);
		lock_drop(&registry_lock);
	}
	guard_leave();
	return id ? id : site_unknown;
}

uint32_t site_of_stack(enum registry_kind kind, const uintptr_t *pcs,
		       unsigned n)
{
	uint64_t now = __atomic_load_n(&modules_generation, __ATOMIC_ACQUIRE);
	uint64_t hash = hash_mix((uint64_t)kind, now);
	uint32_t id;

	for (unsigned i = 0; i < n; i++)
		hash = hash_mix(hash, pcs[i]);
	id = index_find(&by_address, hash, address_matches, &hash);
	return id ? id : site_slowly(kind, pcs, n, hash);
}

static uint32_t owner_site(enum registry_kind kind, const char *owner,
			   const char *symbol, uint32_t name)
{
	struct registry_site site = {
		.owner = registry_string(owner, strlen(owner)),
		.symbol = registry_string(symbol, strlen(symbol)),
		.kind = (uint8_t)kind,
	};
	uint64_t hash = hash_mix(
		hash_mix((uint64_t)kind + KIND_COUNT, site.owner), site.symbol);
	uint32_t id = index_find(&by_frame, hash, frame_matches, &hash);

	if (id)
		return id;
	site.name = name ? name : name_make(site.kind, owner, symbol);
	return site_add(&site, hash);
}

uint32_t site_of_owner(enum registry_kind kind, const char *owner,
		       const char *symbol)
{
	uint32_t id = owner_site(kind, owner, symbol, 0);

	return id ? id : site_unknown;
}

bool site_of_function(enum registry_kind kind, uintptr_t pc,
		      struct site_function *out)
{
	struct function fn;
	const char *owner;
	const char *symbol;

	modules_sweep();
	fn = function_get(pc, frame_pack(pc));
	if (!fn.owner)
		return false;
	owner = registry_text(fn.owner);
	symbol = registry_text(fn.symbol);
	out->wrapper = skip_frame(kind, owner, symbol);
	out->nameless = *symbol == '+';
	out->owner = fn.owner;
	out->site = site_of_owner(kind, owner, symbol);
	return out->site != site_unknown;
}

int sites_init(void)
{
	static const char own[] = "anonshim: registry";
	static const char snapshots[] = "anonshim: snapshots";
	static const char heap[] = "[heap]";

	skip_init();
	table_init(&extras, sizeof(struct extra), FIRST_EXTRAS);
	table_init(&functions, sizeof(struct function), FIRST_EXTRAS);
	site_own = owner_site(KIND_NONE, "anonshim", "registry",
			      registry_string(own, sizeof(own) - 1));
	site_snapshots =
		owner_site(KIND_SNAPSHOT, "anonshim", "snapshots",
			   registry_string(snapshots, sizeof(snapshots) - 1));
	site_unknown = owner_site(KIND_MMAP, "(unknown)", "", 0);
	site_brk = owner_site(KIND_HEAP, heap, "brk",
			      registry_string(heap, sizeof(heap) - 1));
	return site_own && site_snapshots && site_unknown && site_brk ? 0
								      : -ENOMEM;
}
