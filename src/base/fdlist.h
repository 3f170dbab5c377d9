/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors of this process.
 *
 * Contract: needs /proc.  Allocation-free; safe in signal handlers and after
 * fork.
 */
#ifndef ANONSHIM_BASE_FDLIST_H
#define ANONSHIM_BASE_FDLIST_H

typedef void fdlist_each(int fd, void *arg);

/*
 * Call EACH for every descriptor, in no order, but for one that is open for the
 * time of the call.  Returns 0 or -errno.
 */
int fdlist_read(fdlist_each *each, void *arg);

/* Where descriptor FD of thread TID is found; TID 0: of this process. */
#define FDLIST_PATH_BYTES 64
void fdlist_path(long tid, int fd, char path[FDLIST_PATH_BYTES]);
/* The same, opened anew with FLAGS: a descriptor or -errno. */
long fdlist_open(long tid, int fd, int flags);

#endif
