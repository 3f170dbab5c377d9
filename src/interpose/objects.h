/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What calls tell of shared objects; see objects.c.
 */
#ifndef ANONSHIM_INTERPOSE_OBJECTS_H
#define ANONSHIM_INTERPOSE_OBJECTS_H

/* syscall(NR, A) was done, with RESULT as libc has it. */
void objects_by_syscall(long nr, const long a[6], long result);

#endif
