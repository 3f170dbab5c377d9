/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's own memory; see mem.h.
 */
#include "base/mem.h"

#include "base/sys.h"

#include <sys/mman.h>

#define LARGE_BYTES ((size_t)1 << 20)

static void (*mem_observer)(uintptr_t start, uintptr_t end);

void mem_set_observer(void (*observer)(uintptr_t start, uintptr_t end))
{
	mem_observer = observer;
}

void *mem_map(size_t bytes)
{
	size_t len = page_up(bytes);
	const int prot = PROT_READ | PROT_WRITE;
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	/* most of what is large is for later */
	long addr = len < LARGE_BYTES ? sys_mmap(NULL, len, prot, flags, -1, 0)
				      : sys_mmap_empty(len, prot, flags, -1);

	if (sys_failed(addr))
		return NULL;
	if (mem_observer)
		mem_observer((uintptr_t)addr, (uintptr_t)addr + len);
	return (void *)addr;
}
