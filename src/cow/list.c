/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An array that grows; see list.h.
 */
#include "cow/list.h"

#include "base/mem.h"
#include "base/sys.h"

#include <sys/mman.h>

#define FIRST_BYTES (4 * PAGE_BYTES)

void *cow_list_add(struct cow_list *list, size_t bytes)
{
	size_t need = (list->n + 1) * bytes;
	size_t more = list->bytes ? list->bytes * 2 : FIRST_BYTES;
	long at;

	if (need > list->bytes) {
		at = list->bytes ? sys_mremap(list->at, list->bytes, more,
					      MREMAP_MAYMOVE, NULL)
				 : sys_mmap_private(more);
		if (sys_failed(at))
			return NULL;
		list->at = (void *)at;
		list->bytes = more;
	}
	list->n++;
	return (char *)list->at + need - bytes;
}

void cow_list_drop(struct cow_list *list)
{
	if (list->bytes)
		sys_munmap(list->at, list->bytes);
	*list = (struct cow_list){0};
}
