/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening a core file as the subject of a command. */
#include "tool/subject.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tool/cli.h"

static int fail_core(const struct subject *subject, int status)
{
	const char *why = subject->elf_core.why;

	if (status != -EBADMSG)
		return cli_fail("read core file", subject->core, -status,
				"check its path and permissions");
	return cli_fail_text("read core file", subject->core, why,
			     strstr(why, "truncated") != NULL
				     ? "raise ulimit -c, make room on disk and "
				       "dump it again"
				     : "give a file that the kernel or gcore "
				       "wrote on such a machine");
}

/* The executable is what the entry point is mapped from. */
static void read_names(struct subject *subject)
{
	const struct elf_core *core = &subject->elf_core;
	const struct elf_core_file *exe = elf_core_file_at(core, core->entry);

	subject->pid = core->pid;
	snprintf(subject->comm, sizeof(subject->comm), "%s", core->comm);
	subject->exe = exe != NULL ? vma_basename(exe->path, &subject->pool)
				   : strpool_add(&subject->pool, core->comm);
}

static void read_registry(struct subject *subject)
{
	struct registry *reg = &subject->registry;
	uint64_t head = elf_core_find_registry(&subject->elf_core);

	if (head == 0) {
		cli_note("core file %s holds no registry: showing what its "
			 "notes tell; start the program with anonshim run",
			 subject->core);
		return;
	}
	if (registry_read(reg, subject->space, head) != 0) {
		cli_note("the registry in core file %s cannot be used: %s; "
			 "showing what its notes tell",
			 subject->core, reg->why);
		return;
	}
	subject->has_registry = true;
	if (reg->torn)
		cli_note("the process died while it wrote its registry; one "
			 "region in core file %s may be stale",
			 subject->core);
	if (reg->bad + reg->overlaps > 0)
		cli_note("the registry in core file %s is damaged: left out "
			 "%llu entries that make no sense and %llu regions "
			 "that overlap others",
			 subject->core, (unsigned long long)reg->bad,
			 (unsigned long long)reg->overlaps);
}

static void name_heap_at(struct subject *subject, uint64_t addr)
{
	const struct vma *vma = vma_list_find(&subject->vmas, addr);
	struct vma *heap;

	if (vma == NULL || vma->class != VMA_ANON)
		return;
	heap = &subject->vmas.v[vma - subject->vmas.v];
	heap->name = strpool_add(&subject->pool, "[heap]");
	vma_classify(heap, false, &subject->pool);
}

/* The registry knows where brk grows; the core's notes do not. */
static void name_heap(struct subject *subject)
{
	const struct registry *reg = &subject->registry;

	if (reg->head.brk_start != 0)
		name_heap_at(subject, reg->head.brk_start);
	for (uint64_t i = 0; i < reg->nregions; i++)
		if ((reg->regions[i].flags & REGION_BRK) != 0)
			name_heap_at(subject, reg->regions[i].start);
}

int subject_open_core(struct subject *subject, const char *path)
{
	int status;

	memset(subject, 0, sizeof(*subject));
	subject->core = path;
	subject->space = &subject->elf_core.space;
	subject->counter = &subject->elf_core.counter;
	status = elf_core_open(&subject->elf_core, path);
	subject->page_bytes = subject->elf_core.page_bytes;
	if (status == 0)
		status = elf_core_vmas(&subject->elf_core, &subject->vmas,
				       &subject->pool);
	if (status != 0)
		return fail_core(subject, status);
	read_names(subject);
	read_registry(subject);
	if (!subject->has_registry) {
		subject->names_from_kernel = true;
		return CLI_OK;
	}
	name_heap(subject);
	claim_list_from_registry(&subject->claims, &subject->registry,
				 &subject->vmas, &subject->pool);
	return CLI_OK;
}
