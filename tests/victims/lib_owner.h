/* SPDX-License-Identifier: BSD-2-Clause */
/* What lib_owner.so does in its own name: its symbol OWNER_SYMBOL. */
#ifndef ANONSHIM_TESTS_LIB_OWNER_H
#define ANONSHIM_TESTS_LIB_OWNER_H

#include <stddef.h>

#define OWNER_SONAME "lib_owner.so"
#define OWNER_SYMBOL "owner_calls"

struct owner_calls {
	void *(*get)(size_t size);
	void *(*get_zeroed)(size_t size);
	void *(*get_aligned)(size_t alignment, size_t size);
	void *(*resize)(void *p, size_t size);
	void (*put)(void *p);
};

extern const struct owner_calls owner_calls;

#endif
