/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pool of strings, each kept once: equal strings have equal addresses, so
 * that names of 60,000 VMAs cost little and compare as pointers.  Strings live
 * until the pool is destroyed.  Running out of memory ends the program with
 * one line, here and in the rest of the tool (see mem.h).
 */
#ifndef ANONSHIM_TOOL_STRPOOL_H
#define ANONSHIM_TOOL_STRPOOL_H

#include <stddef.h>
#include <stdint.h>

struct strpool_block;

struct strpool {
	const char **slot; /* open addressing; NULL is free */
	size_t nslots;	   /* a power of two, or 0 */
	size_t count;
	struct strpool_block *blocks;
};

/* The empty string of every pool; what intern returns for length 0. */
extern const char strpool_empty[1];

/* A pool is ready when zeroed.  Frees all strings, leaves it ready again. */
void strpool_destroy(struct strpool *pool);

/* The pool's copy of text[0..len); bytes after an embedded NUL are dropped. */
const char *strpool_intern(struct strpool *pool, const char *text, size_t len);

/* The same of a whole C string. */
const char *strpool_add(struct strpool *pool, const char *text);

#endif
