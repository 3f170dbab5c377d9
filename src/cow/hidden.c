/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mappings that are none of the program's; see plan.h.
 */
#include "cow/lazy.h"
#include "cow/plan.h"
#include "cow/watch.h"

#include "base/mem.h"

#include <errno.h>

static struct uffd_range *range(const struct cow_list *list, size_t i)
{
	return COW_AT(list, uffd_range, i);
}

int cow_hide(struct cow_list *to, const void *at, size_t bytes)
{
	struct uffd_range *r = cow_list_add(to, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct uffd_range){(uintptr_t)at, (uintptr_t)at + bytes};
	return 0;
}

/* Most are in order: what came last is first, and lowest. */
static void sort(const struct cow_list *list)
{
	for (size_t i = 1; i < list->n; i++) {
		struct uffd_range r = *range(list, i);
		size_t j = i;

		for (; j && range(list, j - 1)->start > r.start; j--)
			*range(list, j) = *range(list, j - 1);
		*range(list, j) = r;
	}
}

int cow_hidden(struct cow_list *to)
{
	int result = lazy_hidden(to);

	for (const struct watched *w = watched_all; !result && w; w = w->next)
		if (w->present || !w->history.newest)
			result = cow_hide(to, w->at, w->pages * PAGE_BYTES);
	sort(to);
	return result;
}

bool cow_hides(const struct cow_list *list, uintptr_t addr)
{
	size_t low = 0;
	size_t high = list->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (range(list, middle)->end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low < list->n && range(list, low)->start <= addr;
}
