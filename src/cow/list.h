/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An array that grows, in memory of its own: where malloc() may not be called.
 *
 * Contract: zeroed, it is empty.  It moves when it grows.  What is taken out of
 * it is whatever lowers `n`.
 */
#ifndef ANONSHIM_COW_LIST_H
#define ANONSHIM_COW_LIST_H

#include <stddef.h>

struct cow_list {
	void *at;
	size_t n;
	size_t bytes; /* mapped */
};

/* Element I of a list. */
#define COW_AT(list, type, i) (&((struct type *)(list)->at)[i])

/* Room for one more element of BYTES, which it returns; zeros, if nothing was
 * there yet.  NULL: no memory. */
void *cow_list_add(struct cow_list *list, size_t bytes);
void cow_list_drop(struct cow_list *list);

#endif
