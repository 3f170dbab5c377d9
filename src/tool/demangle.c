/* SPDX-License-Identifier: BSD-2-Clause */
/* C++ names, through the C++ run-time library where there is one. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "tool/demangle.h"

#include <stdlib.h>
#include <string.h>

#ifdef HAVE_CXA_DEMANGLE
/* Itanium C++ ABI, chapter 3.4; <cxxabi.h> is not for C. */
char *__cxa_demangle(const char *mangled, char *buffer, size_t *length,
		     int *status);

/*
 * A symbol from a hostile process could be built to make the demangler recurse
 * or expand without end.
 */
#define LONGEST_MANGLED 8192

static char *demangle(const char *symbol)
{
	int status;

	if (strncmp(symbol, "_Z", 2) != 0 || strlen(symbol) > LONGEST_MANGLED)
		return NULL;
	return __cxa_demangle(symbol, NULL, NULL, &status);
}
#else
static char *demangle(const char *symbol)
{
	(void)symbol;
	return NULL;
}
#endif

const char *demangle_intern(struct strpool *pool, const char *symbol)
{
	char *readable = demangle(symbol);
	const char *kept;

	if (readable == NULL)
		return strpool_add(pool, symbol);
	kept = strpool_add(pool, readable);
	free(readable);
	return kept;
}
