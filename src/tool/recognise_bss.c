/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bss: where a PT_LOAD is larger in memory than in the file, the loader maps
 * anonymous memory behind the file's pages.  The program headers come from
 * memory, or from the file if their page is not resident.
 */
#include "tool/recognise.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "tool/elf_sym.h"
#include "tool/filespace.h"

int recognise_read(const struct recognise *r, uint64_t addr, void *to,
		   size_t len)
{
	uint64_t page = addr & ~(r->page_bytes - 1);

	for (; page < addr + len; page += r->page_bytes)
		if (!pagemap_is_resident(r->pagemap, page))
			return -EFAULT;
	return space_read(r->space, addr, to, len);
}

static int open_module(const struct recognise *r, const struct vma *vma,
		       struct elf_module *module)
{
	struct filespace file;
	int status = -EFAULT;

	if (pagemap_is_resident(r->pagemap, vma->start))
		status = elf_sym_open(module, r->space, vma->start);
	if (status == 0 || status == -ENOEXEC)
		return status;
	status = filespace_open(&file, r->proc, vma->name);
	if (status != 0)
		return status;
	/* The path may lead to another file by now. */
	status = file.inode == vma->inode ? elf_sym_open(module, &file.space, 0)
					  : -ESTALE;
	module->bias += vma->start;
	filespace_close(&file);
	return status;
}

/* The anonymous part of a segment, if the kernel has it where it must be. */
static void claim_segment(const struct recognise *r, const struct vma *first,
			  const struct elf_module *module,
			  const ElfW(Phdr) * phdr, struct claim_list *claims)
{
	uint64_t mask = r->page_bytes - 1;
	uint64_t begin = module->bias + phdr->p_vaddr;
	uint64_t file_end = (begin + phdr->p_filesz + mask) & ~mask;
	const char *owner = first->owner != NULL
				    ? first->owner
				    : vma_basename(first->name, r->pool);
	struct claim claim = {.start = file_end};
	const struct vma *vma;
	char name[PATH_MAX];

	if (phdr->p_filesz == 0)
		claim.start = begin & ~mask;
	claim.end = (begin + phdr->p_memsz + mask) & ~mask;
	vma = vma_list_find(r->vmas, claim.start);
	if (vma == NULL || claim.start >= claim.end ||
	    vma->start != claim.start || vma->anon_name != NULL ||
	    (vma->class != VMA_ANON && vma->class != VMA_HEAP))
		return;
	snprintf(name, sizeof(name), "%s: bss", owner);
	claim.label = label_make(r->pool, owner, "bss", "", name);
	claim_list_add(claims, &claim);
}

void recognise_bss(const struct recognise *r, struct claim_list *claims)
{
	for (size_t i = 0; i < r->vmas->count; i++) {
		const struct vma *vma = &r->vmas->v[i];
		struct elf_module module;

		if (vma->class != VMA_FILE || vma->offset != 0 ||
		    vma->perms[0] != 'r' || vma->inode == 0)
			continue;
		if (open_module(r, vma, &module) != 0)
			continue;
		for (size_t k = 0; k < module.nphdrs; k++)
			if (module.phdr[k].p_type == PT_LOAD &&
			    module.phdr[k].p_memsz > module.phdr[k].p_filesz)
				claim_segment(r, vma, &module, &module.phdr[k],
					      claims);
	}
}
