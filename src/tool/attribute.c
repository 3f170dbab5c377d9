/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's VMAs held against the claims. */
#include "tool/attribute.h"

#include <stdlib.h>
#include <string.h>

#include "tool/mem.h"
#include "tool/split.h"

/* The parts of the VMA at hand; the arrays are used again for the next. */
struct parts {
	struct part *part;
	size_t count;
	size_t cap;
};

static bool names_agree(const struct claim *claim, const char *kernel_name)
{
	const char *owner = claim->label.owner;

	if (claim->any_name || claim->label.name == kernel_name)
		return true;
	/* Cut to the owner where VMAs were running out (max-vmas). */
	return owner[0] != '\0' &&
	       strncmp(kernel_name, owner, strlen(owner)) == 0;
}

/*
 * Whether a claim says what this VMA is.  The kernel's word on files and on
 * its own pages is final; a name in the kernel that is not the claim's was
 * given behind the shim's back, later.
 */
static bool holds(const struct claim *claim, const struct vma *vma)
{
	if (vma->class == VMA_HEAP)
		return true;
	if (vma->class != VMA_ANON)
		return false;
	return vma->anon_name == NULL || names_agree(claim, vma->anon_name);
}

static void add_part(struct parts *parts, const struct part *part)
{
	struct part *last =
		parts->count > 0 ? &parts->part[parts->count - 1] : NULL;

	if (part->start >= part->end)
		return;
	if (last != NULL && label_equal(&last->label, &part->label) &&
	    last->arena == part->arena) {
		last->end = part->end;
		return;
	}
	parts->part =
		mem_grow(parts->part, parts->count, &parts->cap, sizeof(*part));
	parts->part[parts->count++] = *part;
}

static void find_parts(struct attribution *a, const struct vma *vma,
		       struct parts *parts)
{
	const struct claim_list *claims = a->claims;
	struct part rest = {.vma = vma, .start = vma->start};

	parts->count = 0;
	rest.label = label_of_vma(a->pool, vma, a->exe);
	for (size_t i = claim_list_lower(claims, vma->start);
	     i < claims->count && claims->v[i].start < vma->end; i++) {
		const struct claim *claim = &claims->v[i];
		struct part part = {.vma = vma, .claimed = true};

		if (!holds(claim, vma))
			continue;
		part.start =
			claim->start > vma->start ? claim->start : vma->start;
		part.end = claim->end < vma->end ? claim->end : vma->end;
		part.label = claim->label;
		part.arena = claim->arena;
		if (vma->anon_name != NULL)
			part.label.name = vma->anon_name;
		rest.end = part.start;
		add_part(parts, &rest);
		add_part(parts, &part);
		rest.start = part.end;
	}
	rest.end = vma->end;
	add_part(parts, &rest);
}

static void take_whole(struct part *part, const struct vma *vma)
{
	part->start = vma->start;
	part->end = vma->end;
	part->amounts = (struct amounts){
		.rss_kib = vma->rss_kib,
		.pss_kib = vma->pss_kib,
		.swap_kib = vma->swap_kib,
		.size_kib = vma_size_kib(vma),
		.vmas = 1,
	};
}

/* Without counting: nothing is there, or everything is and nobody shares. */
static bool count_is_plain(const struct vma *vma, struct split_part *split,
			   size_t n, uint64_t page_bytes)
{
	bool empty = vma->rss_kib == 0 && vma->swap_kib == 0;
	bool full = vma->rss_kib == vma_size_kib(vma) &&
		    vma->pss_kib == vma->rss_kib;

	for (size_t i = 0; full && i < n; i++)
		split[i].pages.exclusive =
			(split[i].end - split[i].start) / page_bytes;
	return empty || full;
}

static int count_parts(struct attribution *a, const struct vma *vma,
		       struct split_part *split, size_t n)
{
	if (count_is_plain(vma, split, n, a->page_bytes))
		return 0;
	for (size_t i = 0; i < n; i++) {
		int status = a->counter->count(a->counter, split[i].start,
					       split[i].end, &split[i].pages);

		if (status != 0)
			return status;
	}
	return 0;
}

/*
 * Several owners share the VMA and nobody can tell which pages are whose:
 * better what the kernel alone says of it than figures that are made up.
 */
static void give_up(struct attribution *a, const struct vma *vma,
		    struct parts *parts, int error)
{
	a->undivided++;
	a->undivided_error = error;
	parts->count = 1;
	parts->part[0].claimed = false;
	parts->part[0].arena = 0;
	parts->part[0].label = label_of_vma(a->pool, vma, a->exe);
	take_whole(&parts->part[0], vma);
}

static void divide(struct attribution *a, const struct vma *vma,
		   struct parts *parts)
{
	size_t n = parts->count;
	struct split_part *split = mem_zalloc(n, sizeof(*split));
	int status;

	for (size_t i = 0; i < n; i++) {
		split[i].start = parts->part[i].start;
		split[i].end = parts->part[i].end;
	}
	status = count_parts(a, vma, split, n);
	if (status == 0)
		split_figures(vma, split, n, a->page_bytes);
	for (size_t i = 0; status == 0 && i < n; i++)
		parts->part[i].amounts = (struct amounts){
			.rss_kib = split[i].rss_kib,
			.pss_kib = split[i].pss_kib,
			.swap_kib = split[i].swap_kib,
			.size_kib = (split[i].end - split[i].start) / 1024,
			.vmas = 1,
		};
	if (status != 0)
		give_up(a, vma, parts, status);
	free(split);
}

void attribute(struct attribution *a, part_fn *fn, void *arg)
{
	struct parts parts = {NULL, 0, 0};

	a->undivided = 0;
	for (size_t i = 0; i < a->vmas->count; i++) {
		const struct vma *vma = &a->vmas->v[i];

		find_parts(a, vma, &parts);
		if (parts.count == 1)
			take_whole(&parts.part[0], vma);
		else
			divide(a, vma, &parts);
		for (size_t k = 0; k < parts.count; k++)
			fn(&parts.part[k], arg);
	}
	free(parts.part);
}

bool part_is_anonymous(const struct part *part)
{
	return part->vma->class == VMA_ANON || part->vma->class == VMA_HEAP ||
	       part->vma->class == VMA_STACK;
}

bool part_is_named(const struct part *part)
{
	if (part->claimed)
		return true;
	return part->vma->class == VMA_ANON && part->vma->anon_name != NULL;
}
