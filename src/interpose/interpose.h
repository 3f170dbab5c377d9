/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of this storey share.
 */
#ifndef ANONSHIM_INTERPOSE_INTERPOSE_H
#define ANONSHIM_INTERPOSE_INTERPOSE_H

#include "track/unwind.h"

#define EXPORT __attribute__((visibility("default")))

/* The watched part of syscall(2); called by syscall.S. */
long interpose_syscall(long nr, const long a[6],
		       const struct unwind_start *caller);

#endif
