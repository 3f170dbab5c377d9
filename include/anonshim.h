/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * anonshim: who owns the anonymous memory of this process.
 *
 * For programs that want more than the transparency of
 * `LD_PRELOAD=libanonshim.so`.  No linking is needed: every function is
 * declared weak, and anonshim_available() tells whether the shim is there:
 *
 *	if (anonshim_available())
 *		anonshim_name(ring, ring_bytes, "net: mmap rx ring");
 *
 * All functions return 0, or -1 with errno set to one of the values listed
 * with each.  All are thread-safe and keep errno on success; none may be
 * called in a child of vfork().
 */
#ifndef ANONSHIM_H
#define ANONSHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this interface; grows when something is added. */
#define ANONSHIM_API_VERSION 2

#ifndef ANONSHIM_BUILD
#define ANONSHIM_WEAK __attribute__((weak))
#else
#define ANONSHIM_WEAK __attribute__((visibility("default")))
#endif

/*
 * The interface version of the shim that is loaded and started, or 0 (then
 * errno is unchanged).  Call through anonshim_available().
 *
 * Context: anywhere, signal handlers included.
 */
int anonshim_version(void) ANONSHIM_WEAK;

/* Whether the shim is loaded, started, and as new as this header. */
#ifndef ANONSHIM_BUILD
static inline int anonshim_available(void)
{
	return anonshim_version && anonshim_version() >= ANONSHIM_API_VERSION;
}
#endif

/*
 * Name LEN bytes at ADDR, as prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME) does,
 * also on kernels that take no names: the registry keeps it, and the shim
 * never overwrites it.
 *
 * ADDR	page-aligned start of anonymous memory
 * LEN	bytes, rounded up to pages
 * NAME	1 to 79 bytes of 0x20 to 0x7e without \ ` $ [ ]; by convention
 *	`owner: kind site`; NULL takes the name back
 *
 * Errors: EINVAL (ADDR or NAME, or a file is mapped there), ENOMEM (part of the
 * range is not mapped, what is mapped is named; or out of memory), ENOSYS (the
 * shim is disabled).
 *
 * Context: not in signal handlers.
 *
 * Source: prctl(2); Linux commit 9a10064f5625 (5.17).
 */
int anonshim_name(void *addr, size_t len, const char *name) ANONSHIM_WEAK;

/* Counters of the registry. */
struct anonshim_stats {
	uint32_t size;	  /* in: sizeof this struct; out: bytes filled */
	uint32_t version; /* out: ANONSHIM_API_VERSION of the shim */
	uint64_t regions; /* regions now */
	uint64_t sites;	  /* distinct call stacks that mapped memory */
	uint64_t maps;	  /* mapping calls recorded */
	uint64_t unmaps;
	uint64_t remaps;
	uint64_t named;		/* names that the kernel took */
	uint64_t name_failures; /* and that it refused */
	uint64_t lost;		/* calls not recorded (mended by a resync) */
};

/*
 * Fill STATS, whose `size` the caller has set; a newer shim fills no more, an
 * older one says in `size` how far it came.
 *
 * Errors: EINVAL (STATS is NULL or `size` below 8), ENOSYS (disabled).
 *
 * Context: anywhere, signal handlers included.
 */
int anonshim_stats(struct anonshim_stats *stats) ANONSHIM_WEAK;

/* What a child of fork gets of shared memory. */
enum anonshim_fork {
	ANONSHIM_FORK_DEFAULT, /* as the option fork= has it */
	ANONSHIM_FORK_SHARE,   /* the same pages as its parent, as ever */
	ANONSHIM_FORK_PRIVATE, /* a copy of its own, at the same addresses */
};

/*
 * Say what children get of the shared objects (shared anonymous memory,
 * memfds, unlinked files) that are mapped in LEN bytes at ADDR: all of each
 * object, through whichever addresses it is mapped, now or later.  Comes before
 * every option.  Children inherit what was said.
 *
 * ADDR	page-aligned
 * LEN	bytes, rounded up to pages
 * MODE	enum anonshim_fork
 *
 * Errors: EINVAL (ADDR, LEN or MODE), ENOMEM (part of the range is not mapped,
 * or out of memory), ENOENT (there is no shared object in it; private memory is
 * a child's own anyway), ENOSYS (the shim is disabled).
 *
 * Context: not in signal handlers.
 */
int anonshim_set_fork(void *addr, size_t len, int mode) ANONSHIM_WEAK;

/*
 * Make a region: LEN bytes of zeroed memory that can be mapped at any number of
 * addresses, and that children of fork get a copy of, aliases and all.
 *
 * ADDR	out: where it is mapped first, readable and writable
 * LEN	bytes, at least 1, rounded up to pages
 * FLAGS	0
 * NAME	as it shows up in /proc/PID/smaps, 1 to 79 bytes as for
 *	anonshim_name(); NULL: by the caller
 *
 * Errors: EINVAL, ENOMEM (or too many descriptors: a region holds one), ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_region_create(void **addr, size_t len, unsigned flags,
			   const char *name) ANONSHIM_WEAK;

/*
 * Map LEN bytes of a region, from OFFSET on, once more.
 *
 * REGION	an address in any mapping of the region
 * OFFSET	bytes, a multiple of the page size
 * LEN	bytes, rounded up to pages; 0: to the region's end
 * PROT	PROT_* as for mmap(2)
 * ALIAS	in: where, if nothing is mapped there, or NULL for anywhere
 *	out: where it is
 *
 * Errors: EINVAL (REGION is none, or OFFSET and LEN are not within it), EEXIST
 * (something is mapped at *ALIAS), EACCES (PROT is not permitted to this
 * process), EBADF (the program closed the region's descriptor), ENOMEM, ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_region_alias(void *region, size_t offset, size_t len, int prot,
			  void **alias) ANONSHIM_WEAK;

/*
 * Unmap every mapping of the region that REGION is an address in, and forget
 * it.  munmap(2) takes single ones away.
 *
 * Errors: EINVAL (REGION is none), ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_region_destroy(void *region) ANONSHIM_WEAK;

#ifdef __cplusplus
}
#endif

#endif
