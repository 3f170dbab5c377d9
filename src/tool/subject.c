/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is the same for live processes and core files.  The two ways to open
 * one are in subject_live.c and subject_core.c.
 */
#include "tool/subject.h"

#include <string.h>

#include "tool/cli.h"

void subject_close(struct subject *subject)
{
	claim_list_destroy(&subject->claims);
	registry_destroy(&subject->registry);
	vma_list_destroy(&subject->vmas);
	strpool_destroy(&subject->pool);
	if (subject->core != NULL) {
		elf_core_close(&subject->elf_core);
	} else {
		pagemap_destroy(&subject->pagemap);
		procfs_close(&subject->proc);
	}
	memset(subject, 0, sizeof(*subject));
}

void subject_attribute(struct subject *subject, part_fn *fn, void *arg)
{
	struct attribution a = {
		.vmas = &subject->vmas,
		.claims = &subject->claims,
		.pool = &subject->pool,
		.exe = subject->exe,
		.counter = subject->counter,
		.page_bytes = subject->page_bytes,
	};

	attribute(&a, fn, arg);
	if (a.undivided > 0)
		cli_note("%llu VMAs hold memory of several owners and their "
			 "pages could not be counted: %s; each is reported as "
			 "the kernel shows it",
			 (unsigned long long)a.undivided,
			 strerror(-a.undivided_error));
}

const char *subject_source(const struct subject *subject)
{
	return subject->names_from_kernel ? "kernel" : "registry";
}
