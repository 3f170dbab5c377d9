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
#define ANONSHIM_API_VERSION 3

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

/*
 * Change the protection of LEN bytes of a region through all of its mappings;
 * where one refuses, all stay as they were.
 *
 * REGION	an address in any mapping of the region
 * OFFSET	bytes into the region, a multiple of the page size
 * LEN	bytes, rounded up to pages; 0: to the region's end
 * PROT	PROT_* as for mprotect(2)
 *
 * Errors: EINVAL (REGION is none, or OFFSET and LEN are not within it), EACCES
 * (PROT is not permitted to this process), ENOMEM, ENOSYS.
 *
 * Context: not in signal handlers.  Mappings change one after the other.
 */
int anonshim_region_protect(void *region, size_t offset, size_t len,
			    int prot) ANONSHIM_WEAK;

/*
 * A descriptor of the region, to be handed to another process, which then
 * shares it on purpose; closed on exec, and the caller's to close.  What
 * another process writes no snapshot notices.
 *
 * REGION	an address in any mapping of the region
 * FD	out
 *
 * Errors: EINVAL (REGION is none), EBADF (it has none: a view, or the program
 * closed it), ENOMEM (too many are open), ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_region_fd(void *region, int *fd) ANONSHIM_WEAK;

/*
 * Take a snapshot of shared memory: of a region, of a view, or of any memfd or
 * shared anonymous memory, all of it, through whichever addresses it is mapped.
 * It costs what was written since the one before; what it holds is what is
 * written later, once however many snapshots see it.
 *
 * REGION	an address in any mapping of the memory
 * SNAPSHOT	out: its number, never 0, and never used again
 *
 * Noticed are stores of this process, through all mappings, and what the kernel
 * writes through them: read(2), O_DIRECT, io_uring without registered buffers,
 * process_vm_writev(2); and write(2) and the like on a descriptor,
 * ftruncate(2), madvise(MADV_REMOVE), if they are libc's functions.  Not
 * noticed: stdio on such a descriptor, truncate(2), other processes, and what
 * writes to memory that was pinned before (buffers registered with io_uring,
 * RDMA).  Where the process changes its user, group or namespaces while others
 * of its threads run, all that snapshots see is copied first.  A page that this
 * process mapped nowhere when it was seen first reads as zeros.
 *
 * A child of fork() has its parent's snapshots and views, as long as the memory
 * is private to it (anonshim_set_fork()); what it takes and drops is its own.
 *
 * Errors: EINVAL (there is no such memory at REGION), EPERM (the kernel does
 * not permit userfaultfd(2) for the kernel's own faults: `anonshim doctor`
 * tells what would), ENOMEM (no memory, address space for what may be written
 * until the next one, or descriptors), ENOSYS (the shim is disabled).
 *
 * Context: not in signal handlers.  Threads that write meanwhile wait; what
 * they write is in the snapshot or not in the order in which they wrote it.
 *
 * Source: userfaultfd(2); write protection of shared memory: Linux 5.19.
 */
int anonshim_snapshot_take(void *region, uint64_t *snapshot) ANONSHIM_WEAK;

/*
 * Map what a snapshot saw: memory as large as the region, readable and
 * writable, at an address of its own.  A page of it takes memory once it is
 * touched.  It is a region: it can have aliases and snapshots, what is written
 * there is its own, and anonshim_region_destroy() or munmap(2) ends it.  It
 * outlives the snapshot.
 *
 * SNAPSHOT	its number
 * VIEW	out: where
 *
 * Errors: EINVAL (SNAPSHOT is none), EPERM, ENOMEM, ENOSYS.
 *
 * Context: not in signal handlers.  A debugger cannot read pages of it that
 * nobody has touched.
 */
int anonshim_snapshot_view(uint64_t snapshot, void **view) ANONSHIM_WEAK;

/*
 * Let a snapshot go; memory that no other and no view needs is the kernel's
 * again at once.
 *
 * Errors: EINVAL (SNAPSHOT is none), ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_snapshot_release(uint64_t snapshot) ANONSHIM_WEAK;

/* Bytes of a region. */
struct anonshim_range {
	uint64_t offset;
	uint64_t len;
};

/*
 * Which pages were written between two snapshots of one region, or since one.
 *
 * SINCE	the earlier snapshot
 * UNTIL	the later one; 0: now
 * FROM	bytes: where to begin
 * RANGES	out: room for *N of them, in order, not touching
 * N	in: how many fit; out: how many there are, which may be more: go on
 *	from the end of the last one
 *
 * Errors: EINVAL (they are no snapshots of one region in this order), ENOMEM,
 * ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_snapshot_changes(uint64_t since, uint64_t until, uint64_t from,
			      struct anonshim_range *ranges,
			      size_t *n) ANONSHIM_WEAK;

/*
 * A descriptor that becomes readable when the region is written for the first
 * time since its last snapshot; a snapshot taken makes it unreadable.  The
 * caller's to close; of more than one the last is served.  It is this
 * process's: nothing a child writes shows up there.  It ends, as a pipe does,
 * where the process changes its user, group or namespaces.
 *
 * REGION	an address in any mapping of memory with a live snapshot
 * FD	out: for poll(2) and the like, closed on exec
 *
 * Errors: EINVAL (no snapshot of it is alive), ENOMEM (too many are open),
 * EPERM (/proc is not there), ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_snapshot_watch(void *region, int *fd) ANONSHIM_WEAK;

/* What snapshots hold. */
struct anonshim_snapshot_stats {
	uint32_t size;	    /* in: sizeof this struct; out: bytes filled */
	uint32_t version;   /* out: ANONSHIM_API_VERSION of the shim */
	uint64_t snapshots; /* alive, those that only views need included */
	uint64_t views;
	uint64_t saved_bytes; /* of pages kept for snapshots */
	uint64_t view_bytes;  /* of pages that views have */
};

/*
 * Fill STATS, whose `size` the caller has set, as anonshim_stats() does.
 *
 * Errors: EINVAL (STATS is NULL or `size` below 8), ENOSYS.
 *
 * Context: not in signal handlers.
 */
int anonshim_snapshot_stats(struct anonshim_snapshot_stats *stats)
	ANONSHIM_WEAK;

#ifdef __cplusplus
}
#endif

#endif
