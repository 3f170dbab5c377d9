/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer: a core file, from its headers to its registry. */
#include "tool/elf_core.h"
#include "tool/registry_read.h"
#include "tool/vma.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(struct elf_core *core)
{
	struct vma_list list = {0};
	struct strpool pool = {0};
	struct registry reg;
	uint64_t addr;
	char byte;

	elf_core_vmas(core, &list, &pool);
	elf_core_file_at(core, 0x400000);
	space_read(&core->space, 0x400000, &byte, 1);
	addr = elf_core_find_registry(core);
	if (addr) {
		registry_read(&reg, &core->space, addr);
		registry_destroy(&reg);
	}
	vma_list_destroy(&list);
	strpool_destroy(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	char path[64];
	struct elf_core core;

	if (fd < 0)
		fd = memfd_create("core", 0);
	if (fd < 0 || ftruncate(fd, 0) ||
	    pwrite(fd, data, size, 0) != (ssize_t)size)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!elf_core_open(&core, path))
		look(&core);
	else if (memchr(core.why, 0, sizeof(core.why)) == NULL)
		abort();
	elf_core_close(&core);
	return 0;
}
