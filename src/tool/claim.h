/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Claims: ranges of which somebody knows whose they are - the shim's registry,
 * or the tool itself, which recognises a module's bss and glibc's arenas.
 * They are held against the kernel's VMAs: what of a claim is no anonymous VMA
 * is void, what no claim covers is what the kernel says it is.
 */
#ifndef ANONSHIM_TOOL_CLAIM_H
#define ANONSHIM_TOOL_CLAIM_H

#include <stddef.h>
#include <stdint.h>

#include "tool/label.h"
#include "tool/registry_read.h"
#include "tool/vma.h"

struct claim {
	uint64_t start;
	uint64_t end;
	struct label label;
	/*
	 * The claim holds whatever the kernel calls the VMA: its label was
	 * given through a template that is not for the tool to take apart.
	 */
	bool any_name;
	uint32_t arena; /* of the registry's heap, 0: no memory of it */
};

/* In address order, without overlaps. */
struct claim_list {
	struct claim *v;
	size_t count;
	size_t cap;
};

/* The registry's regions as claims; those of brk are left to the kernel. */
void claim_list_from_registry(struct claim_list *list,
			      const struct registry *reg,
			      const struct vma_list *vmas,
			      struct strpool *pool);

/* Appends a claim above all others; one that overlaps is cut to fit. */
void claim_list_add(struct claim_list *list, const struct claim *claim);

/* Adds what `more`, sorted as well, claims where list has no claim. */
void claim_list_merge(struct claim_list *list, const struct claim_list *more);

/* The index of the first claim that ends above addr. */
size_t claim_list_lower(const struct claim_list *list, uint64_t addr);

void claim_list_destroy(struct claim_list *list);

/* The label that regions of a site have, which is not 0. */
struct label claim_label_of_site(const struct registry *reg, uint32_t site,
				 struct strpool *pool);

/* The label of an account: its site's, of kind heap. */
struct label claim_label_of_account(const struct registry *reg,
				    const struct registry_account *account,
				    struct strpool *pool);

#endif
