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
#define ANONSHIM_API_VERSION 1

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

#ifdef __cplusplus
}
#endif

#endif
