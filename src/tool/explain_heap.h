/* SPDX-License-Identifier: BSD-2-Clause */
/* What `anonshim explain` says of the heap: of its arenas and accounts. */
#ifndef ANONSHIM_TOOL_EXPLAIN_HEAP_H
#define ANONSHIM_TOOL_EXPLAIN_HEAP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tool/callstack.h"
#include "tool/subject.h"

/* An account and what its memory is called. */
struct explain_account {
	const struct registry_account *account;
	struct label label;
};

/*
 * The arenas that parts [part, part + n) belong to, with their live bytes, see
 * heap_live_bytes(); of a shared one its accounts, too.  Nothing where they
 * belong to none.
 */
void explain_arenas(struct subject *subject, const uint64_t *live,
		    const struct part *part, size_t n, FILE *to);

/*
 * Accounts [account, account + n), which it sorts, by themselves: no memory
 * in the kernel's map has their names.
 */
void explain_accounts(struct callstack *stack, struct explain_account *account,
		      size_t n, FILE *to);

/* `  key       value`, nothing where the value is empty. */
void explain_field(FILE *to, const char *key, const char *value);

#endif
