/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C++ names for people.  Without __cxa_demangle (configure looks for it) names
 * stay as the symbol table has them.
 */
#ifndef ANONSHIM_TOOL_DEMANGLE_H
#define ANONSHIM_TOOL_DEMANGLE_H

#include "tool/strpool.h"

/* The name as people read it, interned; symbol itself if it is not mangled. */
const char *demangle_intern(struct strpool *pool, const char *symbol);

#endif
