/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A core file's segments as VMAs.  A core has no names of VMAs but those of
 * files: what the kernel calls [stack] and [vdso] is found by addresses in the
 * auxiliary vector.
 */
#include "tool/elf_core.h"

#include <elf.h>
#include <string.h>

#define GATE UINT64_C(0xffffffffff600000) /* [vsyscall] on x86-64 */
#define VVAR_PAGES 8			  /* more than any kernel has had */

static bool holds(const struct elf_core_load *load, uint64_t addr)
{
	return addr != 0 && load->start <= addr && addr < load->end;
}

/* Pages of clock data, which nothing can write, lie right below the vdso. */
static bool is_vvar(const struct elf_core *core, size_t i)
{
	for (; i + 1 < core->nloads; i++) {
		const struct elf_core_load *load = &core->load[i];

		if (load->flags != PF_R || load->end != load[1].start ||
		    core->vdso - load->start > VVAR_PAGES * core->page_bytes)
			return false;
		if (holds(&load[1], core->vdso))
			return true;
	}
	return false;
}

static const char *name_of(const struct elf_core *core, size_t i,
			   const struct elf_core_file *file)
{
	const struct elf_core_load *load = &core->load[i];

	if (file != NULL)
		return file->path;
	if (holds(load, core->vdso))
		return "[vdso]";
	if (holds(load, core->execfn))
		return "[stack]";
	if (load->start == GATE)
		return "[vsyscall]";
	return is_vvar(core, i) ? "[vvar]" : "";
}

static struct vma make_vma(const struct elf_core *core, size_t i,
			   struct strpool *pool)
{
	const struct elf_core_load *load = &core->load[i];
	const struct elf_core_file *file = elf_core_file_at(core, load->start);
	struct vma vma = {
		.start = load->start,
		.end = load->end,
		.offset = file != NULL
				  ? file->offset + (load->start - file->start)
				  : 0,
		.perms = "---p",
		.name = strpool_add(pool, name_of(core, i, file)),
	};

	if ((load->flags & PF_R) != 0)
		vma.perms[0] = 'r';
	if ((load->flags & PF_W) != 0)
		vma.perms[1] = 'w';
	if ((load->flags & PF_X) != 0)
		vma.perms[2] = 'x';
	/* Only shared anonymous memory has this path. */
	vma_classify(&vma, true, pool);
	return vma;
}

int elf_core_vmas(struct elf_core *core, struct vma_list *list,
		  struct strpool *pool)
{
	for (size_t i = 0; i < core->nloads; i++) {
		struct vma vma = make_vma(core, i, pool);
		struct page_count count;
		int status = core->counter.count(&core->counter, vma.start,
						 vma.end, &count);

		if (status != 0)
			return status;
		vma.rss_kib = count.exclusive * (core->page_bytes / 1024);
		vma.pss_kib = vma.rss_kib;
		vma_list_add(list, &vma);
	}
	return 0;
}
