/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors of this process.
 *
 * Contract: opens one of its own for the time of the call, which is left out;
 * needs /proc.  Allocation-free; safe in signal handlers and after fork.
 */
#ifndef ANONSHIM_BASE_FDLIST_H
#define ANONSHIM_BASE_FDLIST_H

typedef void fdlist_each(int fd, void *arg);

/* Call EACH for every descriptor, in no order.  Returns 0 or -errno. */
int fdlist_read(fdlist_each *each, void *arg);

#endif
