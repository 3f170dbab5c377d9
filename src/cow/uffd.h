/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * userfaultfd(2), as far as shared memory needs it.
 *
 * Only one that sees the kernel's own accesses will do, for read(2) into such
 * memory would fail with one that does not: that takes CAP_SYS_PTRACE, the
 * sysctl vm.unprivileged_userfaultfd or /dev/userfaultfd, and Linux 5.19.
 *
 * Contract: results as of sys.h; allocation-free; safe anywhere.
 */
#ifndef ANONSHIM_COW_UFFD_H
#define ANONSHIM_COW_UFFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uffd_range {
	uintptr_t start;
	uintptr_t end;
};

enum uffd_mode {
	UFFD_WRITES = 1,  /* to pages that are protected */
	UFFD_MISSING = 2, /* pages that the object has not */
};

/* A descriptor, non-blocking and closed on exec; -EPERM: not permitted. */
long uffd_open(void);
long uffd_register(int fd, struct uffd_range range, unsigned mode);
long uffd_unregister(int fd, struct uffd_range range);
/* Who writes to it waits, */
long uffd_protect(int fd, struct uffd_range range);
/* the same where there may be several VMAs, of which kernels before 6.5 take
 * one at a time, */
long uffd_protect_vmas(int fd, struct uffd_range range);
/* no longer. */
long uffd_lift(int fd, struct uffd_range range);
/* Who waits for a page of it looks again. */
long uffd_wake(int fd, struct uffd_range range);
/*
 * Put LEN bytes of FROM, or of zeros, at TO, in a range registered for missing
 * pages, up to the first page that is there.  Returns the bytes put, -EEXIST
 * where TO's first page is there.
 */
long uffd_copy(int fd, uintptr_t to, uintptr_t from, uint64_t len);
long uffd_zero(int fd, uintptr_t to, uint64_t len);
/* uffd_copy(), and who writes there waits. */
long uffd_copy_protected(int fd, uintptr_t to, uintptr_t from, uint64_t len);
/* Who waits, and why. */
struct uffd_fault {
	uintptr_t addr;
	bool is_protected; /* the page is there: to write it */
};

/* Faults that wait, at most N; returns how many. */
size_t uffd_faults(int fd, struct uffd_fault *faults, size_t n);

#endif
