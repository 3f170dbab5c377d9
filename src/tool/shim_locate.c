/* SPDX-License-Identifier: BSD-2-Clause */
/* From a mapped libanonshim.so to the head of the registry. */
#include "tool/shim_locate.h"

#include <errno.h>
#include <string.h>

#include "tool/elf_sym.h"
#include "wire/registry_abi.h"

bool shim_locate_is_shim(const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t len = strlen(SHIM_FILE);

	if (slash == NULL || strncmp(slash + 1, SHIM_FILE, len) != 0)
		return false;
	/* Also libanonshim.so.0.1 and one replaced since: " (deleted)". */
	return strchr(". ", slash[1 + len]) != NULL;
}

static int head_of(struct space *space, uint64_t base, uint64_t *head)
{
	struct elf_module module;
	uintptr_t pointer;
	uint64_t at;
	int status = elf_sym_open(&module, space, base);

	if (status == 0)
		status = elf_sym_find(&module, space, REGISTRY_SYMBOL, &at);
	if (status == 0)
		status = space_read(space, at, &pointer, sizeof(pointer));
	if (status == 0 && pointer == 0)
		status = -EAGAIN;
	if (status == 0)
		*head = pointer;
	/* A shim that makes no sense has no registry; it is there, though. */
	return status == -ENOENT || status == -ENOEXEC ? -EAGAIN : status;
}

int shim_locate(const struct vma_list *vmas, struct space *space,
		uint64_t *head)
{
	int status = -ENOENT;

	for (size_t i = 0; i < vmas->count && status != 0; i++) {
		const struct vma *vma = &vmas->v[i];

		if (vma->class == VMA_FILE && vma->offset == 0 &&
		    shim_locate_is_shim(vma->name))
			status = head_of(space, vma->start, head);
	}
	return status;
}
