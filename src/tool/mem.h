/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of the tool itself.  A command-line tool that has run out of memory
 * can do nothing but say so: these return memory or end the program.
 */
#ifndef ANONSHIM_TOOL_MEM_H
#define ANONSHIM_TOOL_MEM_H

#include <stddef.h>

/* count * bytes, checked for overflow; never NULL.  free() gives it back. */
void *mem_alloc(size_t count, size_t bytes)
	__attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t count, size_t bytes)
	__attribute__((malloc, returns_nonnull));
void *mem_realloc(void *old, size_t count, size_t bytes)
	__attribute__((returns_nonnull));

/*
 * Makes room for one more element at the end of an array of `count` with room
 * for *cap; returns the array, moved or not.
 */
void *mem_grow(void *array, size_t count, size_t *cap, size_t bytes)
	__attribute__((returns_nonnull));

/* A copy of a string. */
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));

#endif
