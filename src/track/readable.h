/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * C++ functions by their plain names, for the 79 bytes of a kernel name:
 * `_ZN2v88internal4Heap5SetupEv` becomes `v8::internal::Heap::Setup`.
 *
 * The shim contains no demangler: the registry keeps the symbol as it is and
 * the tool makes it readable in full.  This covers names without template
 * arguments, operators and the like, most of what maps memory.
 *
 * Contract: a pure function; safe anywhere.
 */
#ifndef ANONSHIM_TRACK_READABLE_H
#define ANONSHIM_TRACK_READABLE_H

#include "base/fmt.h"

/* Append SYMBOL's plain name to F, or SYMBOL itself where that is hard. */
void readable_name(const char *symbol, struct fmt *f);

#endif
