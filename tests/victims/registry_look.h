/* SPDX-License-Identifier: BSD-2-Clause */
/* The registry as a victim reads its own, unlocked: the writer is at rest. */
#ifndef ANONSHIM_TESTS_REGISTRY_LOOK_H
#define ANONSHIM_TESTS_REGISTRY_LOOK_H

#include "wire/registry_abi.h"

static struct registry_head *head;

static void *element(enum registry_table_id id, uint64_t index)
{
	const struct registry_table *t = &head->table[id];
	uint64_t chunk = 0;

	while (index >= (uint64_t)t->first_elems << chunk)
		index -= (uint64_t)t->first_elems << chunk++;
	return (char *)t->chunk[chunk] + index * t->elem_bytes;
}

#endif
