/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's own memory; see mem.h.
 */
#include "base/mem.h"

#include "base/sys.h"

#include <sys/mman.h>

static void (*mem_observer)(uintptr_t start, uintptr_t end);

void mem_set_observer(void (*observer)(uintptr_t start, uintptr_t end))
{
	mem_observer = observer;
}

void *mem_map(size_t bytes)
{
	size_t len = page_up(bytes);
	long addr =
		sys_mmap(NULL, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (sys_failed(addr))
		return NULL;
	if (mem_observer)
		mem_observer((uintptr_t)addr, (uintptr_t)addr + len);
	return (void *)addr;
}
