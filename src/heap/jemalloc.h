/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The private copy of jemalloc 5.3 under the heap: Debian's archive, its
 * public symbols and what it wants from libc renamed (jemalloc.syms), so that
 * a program that links jemalloc keeps its own, its variable MALLOC_CONF too.
 *
 * Contract: only heap/ includes this.  jemalloc takes its locks with signals
 * open; nothing of ours is held across a call but the arenas' refill locks and
 * heap_lock (see heap.h).  Its own metadata is mapped by us and recorded as
 * ours; it reads no environment and no file but the kernel's.
 */
#ifndef ANONSHIM_HEAP_JEMALLOC_H
#define ANONSHIM_HEAP_JEMALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* jemalloc's extent_hooks_t (see its manual page); NULL: not done. */
struct extent_hooks {
	void *(*alloc)(struct extent_hooks *, void *at, size_t size,
		       size_t alignment, bool *zero, bool *commit,
		       unsigned arena);
	void *dalloc;
	void *destroy;
	bool (*commit)(struct extent_hooks *, void *addr, size_t size,
		       size_t offset, size_t len, unsigned arena);
	bool (*decommit)(struct extent_hooks *, void *addr, size_t size,
			 size_t offset, size_t len, unsigned arena);
	void *purge_lazy;
	bool (*purge_forced)(struct extent_hooks *, void *addr, size_t size,
			     size_t offset, size_t len, unsigned arena);
	bool (*split)(struct extent_hooks *, void *addr, size_t size,
		      size_t size_a, size_t size_b, bool committed,
		      unsigned arena);
	bool (*merge)(struct extent_hooks *, void *a, size_t size_a, void *b,
		      size_t size_b, bool committed, unsigned arena);
};

/* jemalloc's arena_config_t. */
struct arena_config {
	struct extent_hooks *hooks;
	bool metadata_use_hooks; /* whether its own records lie there too */
};

/* The flags of the calls that end in x. */
#define JE_ALIGN(a) ((int)__builtin_ctzl(a))
#define JE_ZERO 0x40
#define JE_TCACHE(tc) ((int)(((tc) + 2) << 8))
#define JE_NO_TCACHE JE_TCACHE(-1)
#define JE_ARENA(a) ((int)(((a) + 1) << 20))

void *ahj_mallocx(size_t size, int flags);
size_t ahj_xallocx(void *p, size_t size, size_t extra, int flags);
size_t ahj_sallocx(const void *p, int flags);
void ahj_dallocx(void *p, int flags);
void ahj_sdallocx(void *p, size_t size, int flags);
size_t ahj_nallocx(size_t size, int flags);
int ahj_mallctl(const char *name, void *old, size_t *old_len, void *new,
		size_t new_len);
int ahj_mallctlnametomib(const char *name, size_t *mib, size_t *len);
int ahj_mallctlbymib(const size_t *mib, size_t len, void *old, size_t *old_len,
		     void *new, size_t new_len);

/* Before anything else. */
void jemalloc_start(void);

/*
 * How deep this thread is in a jemalloc that takes locks.  A signal handler
 * that forks may have interrupted that: what is locked then stays so, and goes
 * on in parent and child where it was, as libc's malloc does.
 */
extern __thread unsigned jemalloc_depth
	__attribute__((tls_model("initial-exec")));

static inline void jemalloc_enter(void)
{
	jemalloc_depth++;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void jemalloc_leave(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	jemalloc_depth--;
}

/*
 * Before this thread gives back into its own cache: one that has never taken
 * anything has none, for jemalloc takes it to be about to end.
 */
void jemalloc_thread_begin(void);

/* This thread takes nothing of jemalloc any more, but may give back. */
void jemalloc_thread_end(void);

/* What jemalloc wants done around fork. */
void jemalloc_fork_prepare(void);
void jemalloc_fork_parent(void);
void jemalloc_fork_child(void);

#endif
