/* SPDX-License-Identifier: BSD-2-Clause */
/* Sums of memory by owner, site, kind or name. */
#include "tool/rows.h"

#include <stdlib.h>
#include <string.h>

#include "tool/mem.h"

#define FIRST_SLOTS 64

void rows_init(struct rows *rows, enum rows_by by)
{
	memset(rows, 0, sizeof(*rows));
	rows->by = by;
}

void rows_destroy(struct rows *rows)
{
	free(rows->row);
	free(rows->slot);
	memset(rows, 0, sizeof(*rows));
}

void amounts_add(struct amounts *sum, const struct amounts *more)
{
	sum->rss_kib += more->rss_kib;
	sum->pss_kib += more->pss_kib;
	sum->swap_kib += more->swap_kib;
	sum->size_kib += more->size_kib;
	sum->vmas += more->vmas;
}

/* The part of a label that tells rows apart. */
static struct label key_of(enum rows_by by, const struct label *label)
{
	struct label key = *label;

	if (by != ROWS_BY_NAME)
		key.name = strpool_empty;
	if (by == ROWS_BY_OWNER || by == ROWS_BY_KIND)
		key.site = strpool_empty;
	if (by == ROWS_BY_OWNER)
		key.kind = strpool_empty;
	if (by == ROWS_BY_KIND)
		key.owner = strpool_empty;
	return key;
}

/* Strings are interned: their addresses are as good as their bytes. */
static size_t hash_of(const struct label *key)
{
	uint64_t hash = (uintptr_t)key->owner;

	hash = hash * UINT64_C(0x9e3779b97f4a7c15) + (uintptr_t)key->kind;
	hash = hash * UINT64_C(0x9e3779b97f4a7c15) + (uintptr_t)key->site;
	hash = hash * UINT64_C(0x9e3779b97f4a7c15) + (uintptr_t)key->name;
	return (size_t)((hash * UINT64_C(0x9e3779b97f4a7c15)) >> 20);
}

static size_t *slot_for(struct rows *rows, const struct label *key)
{
	size_t at = hash_of(key) & (rows->nslots - 1);

	while (rows->slot[at] != 0 &&
	       !label_equal(&rows->row[rows->slot[at] - 1].label, key))
		at = (at + 1) & (rows->nslots - 1);
	return &rows->slot[at];
}

static void grow_slots(struct rows *rows)
{
	rows->nslots = rows->nslots != 0 ? rows->nslots * 2 : FIRST_SLOTS;
	free(rows->slot);
	rows->slot = mem_zalloc(rows->nslots, sizeof(*rows->slot));
	for (size_t i = 0; i < rows->count; i++)
		*slot_for(rows, &rows->row[i].label) = i + 1;
}

bool rows_same(const struct rows *rows, const struct label *a,
	       const struct label *b)
{
	struct label x = key_of(rows->by, a), y = key_of(rows->by, b);

	return label_equal(&x, &y);
}

static struct row *row_of(struct rows *rows, const struct label *label)
{
	struct label key = key_of(rows->by, label);
	size_t *slot;

	if (rows->count * 2 >= rows->nslots)
		grow_slots(rows);
	slot = slot_for(rows, &key);
	if (*slot == 0) {
		rows->row = mem_grow(rows->row, rows->count, &rows->cap,
				     sizeof(*rows->row));
		rows->row[rows->count] = (struct row){.label = key};
		*slot = ++rows->count;
	}
	return &rows->row[*slot - 1];
}

struct row *rows_add(struct rows *rows, const struct label *label,
		     const struct amounts *amounts, bool anonymous)
{
	struct row *row = row_of(rows, label);

	amounts_add(&row->sum, amounts);
	if (anonymous)
		row->anon_kib += amounts->rss_kib;
	return row;
}

void rows_add_live(struct rows *rows, const struct label *label, uint64_t bytes)
{
	struct row *row = row_of(rows, label);

	row->has_live = true;
	row->live_bytes += bytes;
}

static int descending(uint64_t a, uint64_t b)
{
	return a == b ? 0 : a > b ? -1 : 1;
}

static int by_labels(const struct label *a, const struct label *b)
{
	int order = strcmp(a->owner, b->owner);

	if (order == 0)
		order = strcmp(a->kind, b->kind);
	if (order == 0)
		order = strcmp(a->site, b->site);
	if (order == 0)
		order = strcmp(a->name, b->name);
	return order;
}

static int by_amounts(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = descending(x->sum.rss_kib, y->sum.rss_kib);

	if (order == 0)
		order = descending(x->sum.swap_kib, y->sum.swap_kib);
	if (order == 0)
		order = descending(x->sum.size_kib, y->sum.size_kib);
	return order != 0 ? order : by_labels(&x->label, &y->label);
}

void rows_sort(struct rows *rows)
{
	if (rows->count > 0)
		qsort(rows->row, rows->count, sizeof(*rows->row), by_amounts);
	free(rows->slot); /* the indexes in it are stale */
	rows->slot = NULL;
	rows->nslots = 0;
}
