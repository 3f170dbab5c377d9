/* SPDX-License-Identifier: BSD-2-Clause */
/* Claims on ranges of memory, from the registry and elsewhere. */
#include "tool/claim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/demangle.h"
#include "tool/mem.h"

/* NAME with %t and %p, which the registry leaves in, filled in. */
static const char *fill_marks(const struct registry *reg, const char *name,
			      uint32_t tid, struct strpool *pool)
{
	char text[256];
	size_t len = 0;

	if (strchr(name, '%') == NULL)
		return name;
	for (; *name != '\0' && len + 16 < sizeof(text); name++) {
		bool mark =
			name[0] == '%' && (name[1] == 't' || name[1] == 'p');
		uint32_t id = name[1] == 't' ? tid : reg->head.pid;

		if (!mark) {
			text[len++] = *name;
			continue;
		}
		if (id != 0)
			len += (size_t)snprintf(text + len, 16, "%u", id);
		name++;
	}
	while (len > 0 && text[len - 1] == ' ')
		len--;
	text[len] = '\0';
	return strpool_add(pool, text);
}

static struct label label_of_site(const struct registry *reg, uint32_t index,
				  uint32_t tid, struct strpool *pool)
{
	const struct registry_site *site = &reg->sites[index];
	const char *name =
		fill_marks(reg, registry_string(reg, site->name), tid, pool);
	const char *owner = registry_string(reg, site->owner);
	struct label label;

	/* The shim's own memory: `anonshim: registry`. */
	if (owner[0] == '\0' || site->kind == KIND_NONE)
		return label_parse(pool, name);
	label = label_make(pool, owner, registry_kind_word(site->kind), "",
			   name);
	label.site = demangle_intern(pool, registry_string(reg, site->symbol));
	return label;
}

/* The label of a region, its site's or its own name. */
static struct label label_of_region(const struct registry *reg,
				    const struct registry_region *region,
				    struct strpool *pool)
{
	const char *own = registry_string(reg, region->own_name);
	struct label label;

	if (region->site == 0 || region->site >= reg->nsites) {
		if (own[0] != '\0')
			return label_parse(pool, own);
		return label_make(pool, LABEL_UNATTRIBUTED, LABEL_UNATTRIBUTED,
				  "", "");
	}
	label = label_of_site(reg, region->site, region->tid, pool);
	if (own[0] != '\0')
		label.name = strpool_add(pool, own);
	return label;
}

struct label claim_label_of_site(const struct registry *reg, uint32_t site,
				 struct strpool *pool)
{
	return label_of_site(reg, site, 0, pool);
}

struct label claim_label_of_account(const struct registry *reg,
				    const struct registry_account *account,
				    struct strpool *pool)
{
	struct label label = label_of_site(reg, account->site, 0, pool);

	label.kind = strpool_add(pool, registry_kind_word(KIND_HEAP));
	return label;
}

void claim_list_add(struct claim_list *list, const struct claim *claim)
{
	struct claim cut = *claim;

	if (list->count > 0 && cut.start < list->v[list->count - 1].end)
		cut.start = list->v[list->count - 1].end;
	if (cut.start >= cut.end)
		return;
	list->v = mem_grow(list->v, list->count, &list->cap, sizeof(cut));
	list->v[list->count++] = cut;
}

/* Whether names are given through another template than the default one. */
static bool has_template(const struct registry *reg)
{
	const char *options = registry_string(reg, reg->head.options);

	return strstr(options, "name=") != NULL;
}

/* A stack of the kernel's kind grows downwards without a call. */
static uint64_t start_of(const struct registry_region *region,
			 const struct vma_list *vmas)
{
	const struct vma *vma;

	if ((region->flags & REGION_GROWSDOWN) == 0)
		return region->start;
	vma = vma_list_find(vmas, region->end - 1);
	return vma != NULL && vma->start < region->start ? vma->start
							 : region->start;
}

/*
 * A module that was unloaded may leave its bss in the registry until the shim
 * notices; where it is still there, its data lies below.
 */
static bool is_stale(const struct registry *reg,
		     const struct registry_region *region,
		     const struct vma_list *vmas)
{
	const struct vma *below;

	if (region->site == 0 || region->site >= reg->nsites ||
	    reg->sites[region->site].kind != KIND_BSS)
		return false;
	below = vma_list_find(vmas, region->start - 1);
	return below == NULL || below->class != VMA_FILE;
}

void claim_list_from_registry(struct claim_list *list,
			      const struct registry *reg,
			      const struct vma_list *vmas, struct strpool *pool)
{
	bool any_name = has_template(reg);

	for (uint64_t i = 0; i < reg->nregions; i++) {
		const struct registry_region *region = &reg->regions[i];
		struct claim claim = {
			.start = start_of(region, vmas),
			.end = region->end,
			.any_name = any_name,
			.arena = registry_arena(reg, region->site),
		};

		if ((region->flags & REGION_BRK) != 0 ||
		    is_stale(reg, region, vmas))
			continue;
		claim.label = label_of_region(reg, region, pool);
		if (strcmp(claim.label.owner, LABEL_UNATTRIBUTED) != 0)
			claim_list_add(list, &claim);
	}
}

/* Adds to `to` what of one claim lies between the claims of `taken`. */
static void add_uncovered(struct claim_list *to, const struct claim *claim,
			  const struct claim_list *taken)
{
	struct claim piece = *claim;

	for (size_t i = claim_list_lower(taken, claim->start);
	     i < taken->count && taken->v[i].start < claim->end; i++) {
		piece.end = taken->v[i].start;
		if (piece.start < piece.end)
			claim_list_add(to, &piece);
		piece.start = taken->v[i].end;
	}
	piece.end = claim->end;
	if (piece.start < piece.end)
		claim_list_add(to, &piece);
}

static int by_start(const void *a, const void *b)
{
	const struct claim *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

void claim_list_merge(struct claim_list *list, const struct claim_list *more)
{
	struct claim_list added = {NULL, 0, 0};

	for (size_t i = 0; i < more->count; i++)
		add_uncovered(&added, &more->v[i], list);
	for (size_t i = 0; i < added.count; i++) {
		list->v = mem_grow(list->v, list->count, &list->cap,
				   sizeof(*list->v));
		list->v[list->count++] = added.v[i];
	}
	if (added.count > 0)
		qsort(list->v, list->count, sizeof(*list->v), by_start);
	claim_list_destroy(&added);
}

size_t claim_list_lower(const struct claim_list *list, uint64_t addr)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (list->v[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void claim_list_destroy(struct claim_list *list)
{
	free(list->v);
	memset(list, 0, sizeof(*list));
}
