/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Versions and snapshots; see history.h.
 */
#include "cow/history.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_VERSIONS 4096
#define FIRST_SHIFT 12
#define FIRST_SNAPSHOTS 256

/* Its page lies at the same index in the table of pages. */
struct version {
	uint32_t page;
	uint32_t epoch; /* index of a struct epoch */
	uint32_t left;	/* older */
	uint32_t right; /* newer */
	uint32_t next;	/* in its epoch; of a free one: the next */
	uint32_t prev;
};

/* A list of versions, and the snapshot that sees them all. */
struct epoch {
	uint64_t number; /* grows with time */
	uint32_t first;
	uint32_t count;
};

struct snapshot {
	void *owner;
	uint64_t pages;
	uint32_t epoch;
	uint32_t serial; /* odd: this is one */
	uint32_t prev;	 /* older; of a free one: the next */
	uint32_t next;
};

/* Snapshot and epoch of an index have nothing to do with each other but that
 * there are as many. */
static struct registry_table pages;
static struct registry_table versions;
static struct registry_table snapshots;
static struct registry_table epochs;
static uint32_t free_versions;
static uint32_t free_snapshots;
static uint32_t free_epochs; /* chained through `first` */
static uint64_t fresh = 1;   /* versions below this were used before */
static uint64_t fresh_snapshots = 1;
static uint64_t used_versions;
static uint64_t used_snapshots;
static uint64_t taken_pages; /* of all that has snapshots */
static uint64_t last_number;

static struct version *version_at(uint32_t v)
{
	return table_element(&versions, v, FIRST_SHIFT, sizeof(struct version));
}

static void *page_of(uint32_t v)
{
	return table_element(&pages, v, FIRST_SHIFT, PAGE_BYTES);
}

static struct snapshot *snapshot_at(uint32_t s)
{
	return table_at(&snapshots, s);
}

static struct epoch *epoch_at(uint32_t e)
{
	return table_at(&epochs, e);
}

static uint64_t number_of(uint32_t snapshot)
{
	return epoch_at(snapshot_at(snapshot)->epoch)->number;
}

/* Room -------------------------------------------------------------------- */

/* One more chunk of T. */
static int grow(struct registry_table *t)
{
	return table_add(t, table_chunk_end(t, t->count) - t->count) ? 0
								     : -ENOMEM;
}

static void begin(void)
{
	if (versions.elem_bytes)
		return;
	table_init(&pages, PAGE_BYTES, FIRST_VERSIONS);
	table_init(&versions, sizeof(struct version), FIRST_VERSIONS);
	table_init(&snapshots, sizeof(struct snapshot), FIRST_SNAPSHOTS);
	table_init(&epochs, sizeof(struct epoch), FIRST_SNAPSHOTS);
}

void history_reserved(void (*each)(uintptr_t start, uintptr_t end))
{
	static uint64_t seen;

	for (uint64_t to; seen < pages.count && pages.count > 1; seen = to) {
		uintptr_t start = (uintptr_t)table_at(&pages, seen);

		to = table_chunk_end(&pages, seen);
		each(start, start + (to - seen) * PAGE_BYTES);
	}
}

int history_reserve(uint64_t wanted)
{
	begin();
	/* pages first: who has a version has one */
	while (versions.count < wanted + 1) {
		if (pages.count <= versions.count && grow(&pages))
			return -ENOMEM;
		if (grow(&versions))
			return -ENOMEM;
	}
	while (snapshots.count <=
	       __atomic_load_n(&used_snapshots, __ATOMIC_RELAXED) + 1)
		if (epochs.count <= snapshots.count ? grow(&epochs)
						    : grow(&snapshots))
			return -ENOMEM;
	return 0;
}

struct history_counts history_counts(void)
{
	return (struct history_counts){
		.snapshots = used_snapshots,
		.versions = used_versions,
		.room = versions.count ? versions.count - 1 : 0,
		.pages = taken_pages,
	};
}

/* What is known of versions, none of which is left, is the kernel's again. */
static void forget_versions(void)
{
	for (uint64_t at = 0, end; at < fresh; at = end) {
		end = table_chunk_end(&versions, at);
		sys_madvise(version_at((uint32_t)at),
			    (end - at) * sizeof(struct version), MADV_DONTNEED);
	}
	free_versions = 0;
	fresh = 1;
}

/* Versions ---------------------------------------------------------------- */

static uint32_t version_new(void)
{
	uint32_t v = free_versions;

	if (v)
		free_versions = version_at(v)->next;
	else
		v = (uint32_t)fresh++;
	used_versions++;
	return v;
}

static void version_free(uint32_t v)
{
	if (sys_failed(
		    sys_madvise(page_of(v), PAGE_BYTES, MADV_DONTNEED_LOCKED)))
		memset(page_of(v), 0, PAGE_BYTES); /* as the next one is told */
	version_at(v)->next = free_versions;
	free_versions = v;
	if (!--used_versions)
		forget_versions();
}

/* The higher it is the nearer to the root: any order that is no order. */
static uint32_t priority(uint32_t v)
{
	return v * UINT32_C(2654435761);
}

static uint64_t age(uint32_t v)
{
	return epoch_at(version_at(v)->epoch)->number;
}

/* The version of ROOT with the lowest epoch that is at least NUMBER, or 0. */
static uint32_t tree_find(uint32_t root, uint64_t number)
{
	uint32_t best = 0;

	while (root) {
		if (age(root) >= number) {
			best = root;
			root = version_at(root)->left;
		} else {
			root = version_at(root)->right;
		}
	}
	return best;
}

/* V is newer than all. */
static void tree_append(uint32_t *root, uint32_t v)
{
	while (*root && priority(*root) > priority(v))
		root = &version_at(*root)->right;
	version_at(v)->left = *root;
	version_at(v)->right = 0;
	*root = v;
}

static void tree_remove(uint32_t *root, uint32_t v)
{
	uint64_t number = age(v);
	uint32_t a = version_at(v)->left;
	uint32_t b = version_at(v)->right;

	while (*root != v)
		root = age(*root) > number ? &version_at(*root)->left
					   : &version_at(*root)->right;
	while (a && b) { /* a's are older than b's */
		if (priority(a) > priority(b)) {
			*root = a;
			root = &version_at(a)->right;
			a = *root;
		} else {
			*root = b;
			root = &version_at(b)->left;
			b = *root;
		}
	}
	*root = a ? a : b;
}

static void list_add(uint32_t epoch, uint32_t v)
{
	struct epoch *e = epoch_at(epoch);

	version_at(v)->epoch = epoch;
	version_at(v)->prev = 0;
	version_at(v)->next = e->first;
	if (e->first)
		version_at(e->first)->prev = v;
	e->first = v;
	e->count++;
}

static void list_remove(uint32_t v)
{
	struct version *at = version_at(v);
	struct epoch *e = epoch_at(at->epoch);

	if (at->prev)
		version_at(at->prev)->next = at->next;
	else
		e->first = at->next;
	if (at->next)
		version_at(at->next)->prev = at->prev;
	e->count--;
}

static void version_drop(struct history *h, uint32_t v)
{
	tree_remove(&h->roots[version_at(v)->page], v);
	list_remove(v);
	version_free(v);
}

/* Snapshots --------------------------------------------------------------- */

int history_init(struct history *h, uint64_t count)
{
	long p = sys_mmap_private(page_up(count * sizeof(*h->roots)));

	if (sys_failed(p))
		return -ENOMEM;
	*h = (struct history){.roots = (uint32_t *)p, .pages = count};
	return 0;
}

int history_grow(struct history *h, uint64_t count)
{
	long p = sys_mremap(h->roots, page_up(h->pages * sizeof(*h->roots)),
			    page_up(count * sizeof(*h->roots)), MREMAP_MAYMOVE,
			    NULL);

	if (sys_failed(p))
		return -ENOMEM;
	h->roots = (uint32_t *)p;
	if (h->newest)
		taken_pages += count - h->pages;
	h->pages = count;
	return 0;
}

void history_end(struct history *h)
{
	sys_munmap(h->roots, page_up(h->pages * sizeof(*h->roots)));
	h->roots = NULL;
}

static uint32_t epoch_new(void)
{
	uint32_t e = free_epochs;

	if (e)
		free_epochs = epoch_at(e)->first;
	else
		e = (uint32_t)fresh_snapshots; /* as many, see below */
	*epoch_at(e) = (struct epoch){.number = ++last_number};
	return e;
}

uint32_t history_take(struct history *h, void *owner)
{
	uint32_t epoch = epoch_new();
	uint32_t s = free_snapshots;
	struct snapshot *at;

	/* those freed are as many as the epochs freed */
	if (s)
		free_snapshots = snapshot_at(s)->prev;
	else
		s = (uint32_t)fresh_snapshots++;
	at = snapshot_at(s);
	*at = (struct snapshot){
		.owner = owner,
		.pages = h->pages,
		.epoch = epoch,
		.serial = at->serial + 1,
		.prev = h->newest,
	};
	if (h->newest)
		snapshot_at(h->newest)->next = s;
	else
		taken_pages += h->pages;
	h->newest = s;
	used_snapshots++;
	return s;
}

void *history_owner(uint32_t snapshot)
{
	return snapshot_at(snapshot)->owner;
}

bool history_is(uint32_t snapshot, uint32_t serial)
{
	return snapshot && snapshot < snapshots.count && serial & 1 &&
	       snapshot_at(snapshot)->serial == serial;
}

uint32_t history_serial(uint32_t snapshot)
{
	return snapshot_at(snapshot)->serial;
}

uint64_t history_pages(uint32_t snapshot)
{
	return snapshot_at(snapshot)->pages;
}

uint32_t history_next(uint32_t snapshot)
{
	return snapshot_at(snapshot)->next;
}

static void epoch_free(uint32_t epoch)
{
	epoch_at(epoch)->first = free_epochs;
	free_epochs = epoch;
}

/*
 * Epoch LATER, that of no snapshot any more, and EARLIER, the one before,
 * become one: of a page that both have the later version goes.  Returns the one
 * that stays.
 */
static uint32_t epochs_join(struct history *h, uint32_t earlier, uint32_t later)
{
	bool swap = epoch_at(later)->count > epoch_at(earlier)->count;
	uint32_t few = swap ? earlier : later;
	uint32_t many = swap ? later : earlier;
	uint64_t number = epoch_at(earlier)->number;
	uint32_t next;

	/* first those that go, while both have a number of their own */
	for (uint32_t v = epoch_at(few)->first; v; v = next) {
		uint32_t *root = &h->roots[version_at(v)->page];
		uint32_t twin = tree_find(*root, epoch_at(many)->number);

		next = version_at(v)->next;
		if (twin && version_at(twin)->epoch == many)
			version_drop(h, swap ? twin : v);
	}
	for (uint32_t v = epoch_at(few)->first; v; v = next) {
		next = version_at(v)->next;
		list_remove(v);
		list_add(many, v);
	}
	epoch_at(many)->number = number;
	epoch_free(few);
	return many;
}

static void epoch_drop(struct history *h, uint32_t epoch)
{
	while (epoch_at(epoch)->first)
		version_drop(h, epoch_at(epoch)->first);
	epoch_free(epoch);
}

void history_drop(struct history *h, uint32_t snapshot)
{
	struct snapshot *s = snapshot_at(snapshot);

	if (s->prev) {
		struct snapshot *before = snapshot_at(s->prev);

		before->epoch = epochs_join(h, before->epoch, s->epoch);
		before->next = s->next;
	} else {
		epoch_drop(h, s->epoch);
	}
	if (s->next)
		snapshot_at(s->next)->prev = s->prev;
	else
		h->newest = s->prev;
	if (!h->newest)
		taken_pages -= h->pages;
	s->serial++;
	s->owner = NULL;
	s->prev = free_snapshots;
	free_snapshots = snapshot;
	used_snapshots--;
}

/* Pages ------------------------------------------------------------------- */

static uint32_t newest_of(const struct history *h, uint64_t page)
{
	return tree_find(h->roots[page], number_of(h->newest));
}

bool history_is_written(const struct history *h)
{
	return h->newest && epoch_at(snapshot_at(h->newest)->epoch)->count;
}

bool history_is_saved(const struct history *h, uint64_t page)
{
	return !h->newest || newest_of(h, page);
}

void *history_save(struct history *h, uint64_t page)
{
	uint32_t v = version_new();

	version_at(v)->page = (uint32_t)page;
	list_add(snapshot_at(h->newest)->epoch, v);
	tree_append(&h->roots[page], v);
	return page_of(v);
}

const void *history_find(const struct history *h, uint32_t snapshot,
			 uint64_t page)
{
	uint32_t v = tree_find(h->roots[page], number_of(snapshot));

	return v ? page_of(v) : NULL;
}

void history_changes(uint32_t from, uint32_t until, uint64_t *changed)
{
	for (uint32_t s = from; s && s != until; s = snapshot_at(s)->next) {
		uint32_t v = epoch_at(snapshot_at(s)->epoch)->first;

		for (; v; v = version_at(v)->next) {
			uint64_t page = version_at(v)->page;

			changed[page / 64] |= UINT64_C(1) << page % 64;
		}
	}
}
