/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What calls tell of shared objects; see objects.c.
 */
#ifndef ANONSHIM_INTERPOSE_OBJECTS_H
#define ANONSHIM_INTERPOSE_OBJECTS_H

#include <stdbool.h>

/* Whether syscall(NR, A) writes to what a fork may copy; it is done then. */
bool objects_written_by_syscall(long nr, const long a[6], long *result);
/* syscall(NR, A) was done, with RESULT as libc has it. */
void objects_by_syscall(long nr, const long a[6], long result);
/* What is done to what FD leads to is told of no longer. */
void objects_escape(int fd);

#endif
