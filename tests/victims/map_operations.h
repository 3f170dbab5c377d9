/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One random call each that changes the address space; see random_map.c for
 * what windows and pieces are.
 */
#ifndef ANONSHIM_TESTS_MAP_OPERATIONS_H
#define ANONSHIM_TESTS_MAP_OPERATIONS_H

#include <linux/prctl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

#define PAGE ((uintptr_t)4096)
#define WINDOWS 4
#define WINDOW_PAGES 256
#define WINDOW_BASE UINT64_C(0x200000000000)
#define WINDOW_STEP (UINT64_C(1) << 30)
#define PIECES 96
#define FILE_PAGES 64
#define BRK_MOST (UINT64_C(4) << 20)

struct piece {
	uintptr_t start;
	size_t pages;
};

struct worker {
	uint64_t random;
	unsigned operations;
	unsigned npieces;
	struct piece piece[PIECES];
	pthread_t thread;
};

static int file_fd;
static pthread_mutex_t brk_mutex = PTHREAD_MUTEX_INITIALIZER;
static size_t brk_grown;

/* ---- numbers ---- */

static uint64_t draw(struct worker *w)
{
	uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static unsigned below(struct worker *w, unsigned n)
{
	return (unsigned)(draw(w) % n);
}

static bool chance(struct worker *w, unsigned one_in)
{
	return below(w, one_in) == 0;
}

/* A length of PAGES, at times ending within the last page. */
static size_t ragged(struct worker *w, size_t pages)
{
	return pages * PAGE - (chance(w, 4) ? below(w, PAGE - 1) : 0);
}

static int some_prot(struct worker *w)
{
	static const int prots[] = {PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE, PROT_READ,
				    PROT_NONE};

	return prots[below(w, 4)];
}

static int some_flags(struct worker *w)
{
	int flags = MAP_ANONYMOUS;

	flags |= chance(w, 4) ? MAP_SHARED : MAP_PRIVATE;
	if (chance(w, 4))
		flags |= MAP_NORESERVE;
	if (chance(w, 8))
		flags |= MAP_STACK;
	return flags;
}

/* ---- every way into mmap and its kin ---- */

static void *map(struct worker *w, void *addr, size_t len, int prot, int flags,
		 int fd)
{
	off_t offset = 0;

	if (fd >= 0)
		offset = (off_t)(below(w, FILE_PAGES) * PAGE);
	switch (below(w, 3)) {
	case 0:
		return mmap(addr, len, prot, flags, fd, offset);
	case 1:
		return mmap64(addr, len, prot, flags, fd, offset);
	default:
		return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd,
				       offset);
	}
}

static int unmap(struct worker *w, uintptr_t start, size_t len)
{
	if (chance(w, 3))
		return (int)syscall(SYS_munmap, start, len);
	return munmap((void *)start, len);
}

static void *move(struct worker *w, uintptr_t old, size_t old_len,
		  size_t new_len, int flags, uintptr_t to)
{
	if (chance(w, 3))
		return (void *)syscall(SYS_mremap, old, old_len, new_len, flags,
				       to);
	return mremap((void *)old, old_len, new_len, flags, (void *)to);
}

/* ---- pieces ---- */

static bool in_window(uintptr_t addr)
{
	return addr - WINDOW_BASE < WINDOWS * WINDOW_STEP;
}

/* Keep what a call gave, or give it back where there is no room. */
static void piece_keep(struct worker *w, void *at, size_t pages)
{
	if (at == MAP_FAILED || in_window((uintptr_t)at))
		return;
	if (w->npieces == PIECES) {
		munmap(at, pages * PAGE);
		return;
	}
	w->piece[w->npieces++] = (struct piece){(uintptr_t)at, pages};
}

/* Take a piece out of the list, or map one. */
static struct piece piece_take(struct worker *w)
{
	struct piece p = {0};
	unsigned i;
	void *at;

	if (w->npieces) {
		i = below(w, w->npieces);
		p = w->piece[i];
		w->piece[i] = w->piece[--w->npieces];
		return p;
	}
	p.pages = 1 + below(w, 32);
	at = map(w, NULL, p.pages * PAGE, PROT_READ | PROT_WRITE, some_flags(w),
		 -1);
	if (at == MAP_FAILED)
		p.pages = 0;
	p.start = (uintptr_t)at;
	return p;
}

static void op_piece_map(struct worker *w)
{
	size_t pages = 1 + below(w, 32);
	int prot = some_prot(w);
	int flags = some_flags(w);
	void *hint = NULL;
	char *at;

	if (chance(w, 8))
		flags |= MAP_POPULATE;
	if (chance(w, 4))
		hint = (void *)(uintptr_t)((draw(w) & 0x3ffffffff) << 12);
	at = map(w, in_window((uintptr_t)hint) ? NULL : hint, ragged(w, pages),
		 prot, flags, -1);
	if (at != MAP_FAILED && prot & PROT_WRITE)
		at[0] = 1;
	piece_keep(w, at, pages);
}

static void op_piece_map_file(struct worker *w)
{
	size_t pages = 1 + below(w, 8);

	piece_keep(w,
		   map(w, NULL, ragged(w, pages), PROT_READ,
		       chance(w, 2) ? MAP_SHARED : MAP_PRIVATE, file_fd),
		   pages);
}

static void op_piece_unmap(struct worker *w)
{
	struct piece p = piece_take(w);
	size_t first;
	size_t n;

	if (!p.pages)
		return;
	first = chance(w, 2) ? 0 : below(w, (unsigned)p.pages);
	n = 1 + below(w, (unsigned)(p.pages - first));
	unmap(w, p.start + first * PAGE, ragged(w, n));
	if (first)
		piece_keep(w, (void *)p.start, first);
	if (first + n < p.pages)
		piece_keep(w, (void *)(p.start + (first + n) * PAGE),
			   p.pages - first - n);
}

static void op_piece_map_over(struct worker *w)
{
	struct piece p = piece_take(w);
	size_t first;
	size_t n;

	if (!p.pages)
		return;
	first = below(w, (unsigned)p.pages);
	n = 1 + below(w, (unsigned)(p.pages - first));
	if (chance(w, 3))
		map(w, (void *)(p.start + first * PAGE), ragged(w, n),
		    PROT_READ, MAP_PRIVATE | MAP_FIXED, file_fd);
	else
		map(w, (void *)(p.start + first * PAGE), ragged(w, n),
		    some_prot(w), some_flags(w) | MAP_FIXED, -1);
	piece_keep(w, (void *)p.start, p.pages);
}

static void op_piece_protect(struct worker *w)
{
	struct piece p = piece_take(w);
	size_t first;

	if (!p.pages)
		return;
	first = below(w, (unsigned)p.pages);
	mprotect((void *)(p.start + first * PAGE), (p.pages - first) * PAGE,
		 some_prot(w));
	piece_keep(w, (void *)p.start, p.pages);
}

/* Grow, shrink or move a piece or its beginning. */
static void op_piece_remap(struct worker *w)
{
	struct piece p = piece_take(w);
	size_t pages = 1 + below(w, 48);
	size_t old;
	void *at;

	if (!p.pages)
		return;
	old = chance(w, 2) ? p.pages : 1 + below(w, (unsigned)p.pages);
	if (old < p.pages)
		piece_keep(w, (void *)(p.start + old * PAGE), p.pages - old);
	at = move(w, p.start, ragged(w, old), ragged(w, pages),
		  chance(w, 3) ? 0 : MREMAP_MAYMOVE, 0);
	if (at == MAP_FAILED)
		piece_keep(w, (void *)p.start, old);
	else
		piece_keep(w, at, pages);
}

static void op_piece_dontunmap(struct worker *w)
{
	struct piece p = piece_take(w);

	if (!p.pages)
		return;
	piece_keep(w,
		   move(w, p.start, p.pages * PAGE, p.pages * PAGE,
			MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0),
		   p.pages);
	piece_keep(w, (void *)p.start, p.pages);
}

/* A second alias of shared memory; refused where it is private. */
static void op_piece_alias(struct worker *w)
{
	struct piece p = piece_take(w);

	if (!p.pages)
		return;
	piece_keep(w,
		   move(w, p.start, 0, ragged(w, p.pages), MREMAP_MAYMOVE, 0),
		   p.pages);
	piece_keep(w, (void *)p.start, p.pages);
}

/* ---- windows ---- */

static uintptr_t window_place(struct worker *w, size_t pages)
{
	return WINDOW_BASE + below(w, WINDOWS) * WINDOW_STEP +
	       below(w, (unsigned)(WINDOW_PAGES - pages)) * PAGE;
}

static void op_window_map(struct worker *w)
{
	size_t pages = 1 + below(w, 16);
	int flags = some_flags(w) | MAP_FIXED;

	if (chance(w, 8))
		flags |= MAP_POPULATE;
	map(w, (void *)window_place(w, pages), ragged(w, pages), some_prot(w),
	    flags, -1);
}

/* The kernel takes a hint where nothing is in its way. */
static void op_window_hint(struct worker *w)
{
	size_t pages = 1 + below(w, 4);
	int flags = some_flags(w);

	if (chance(w, 2))
		flags |= MAP_FIXED_NOREPLACE;
	piece_keep(w,
		   map(w, (void *)window_place(w, pages), ragged(w, pages),
		       some_prot(w), flags, -1),
		   pages);
}

static void op_window_file(struct worker *w)
{
	size_t pages = 1 + below(w, 8);

	map(w, (void *)window_place(w, pages), ragged(w, pages), PROT_READ,
	    (chance(w, 2) ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, file_fd);
}

static void op_window_unmap(struct worker *w)
{
	size_t pages = 1 + below(w, 24);

	unmap(w, window_place(w, pages), ragged(w, pages));
}

static void op_window_protect(struct worker *w)
{
	size_t pages = 1 + below(w, 16);

	mprotect((void *)window_place(w, pages), pages * PAGE, some_prot(w));
}

/* From anywhere in the windows to anywhere else, over what is there. */
static void op_window_move(struct worker *w)
{
	size_t old = 1 + below(w, 6);
	size_t new = chance(w, 2) ? old : 1 + below(w, 6);
	int flags = MREMAP_MAYMOVE | MREMAP_FIXED;

	if (chance(w, 4)) {
		flags |= MREMAP_DONTUNMAP;
		new = old;
	}
	move(w, window_place(w, old), chance(w, 8) ? 0 : ragged(w, old),
	     ragged(w, new), flags, window_place(w, new));
}

static void op_window_resize(struct worker *w)
{
	size_t old = 1 + below(w, 6);
	size_t new = 1 + below(w, 6);

	piece_keep(w,
		   move(w, window_place(w, old), old * PAGE, ragged(w, new),
			chance(w, 2) ? MREMAP_MAYMOVE : 0, 0),
		   new);
}

/* Out of a piece, into a window. */
static void op_piece_to_window(struct worker *w)
{
	struct piece p = piece_take(w);

	if (!p.pages)
		return;
	if (move(w, p.start, p.pages * PAGE, p.pages * PAGE,
		 MREMAP_MAYMOVE | MREMAP_FIXED,
		 window_place(w, p.pages)) == MAP_FAILED) {
		/* of several VMAs some may have moved: they are gone */
		unmap(w, p.start, p.pages * PAGE);
	}
}

static void op_window_name(struct worker *w)
{
	static const char *const names[] = {"first", "second", "a third: x",
					    NULL, "bad$name"};
	size_t pages = 1 + below(w, 16);

	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, window_place(w, pages),
	      ragged(w, pages), names[below(w, 5)]);
}

/* ---- brk and threads ---- */

/* libc's sbrk is for one thread at a time. */
static void op_brk(struct worker *w)
{
	size_t by = 1 + below(w, 16 * PAGE);
	char *now;

	pthread_mutex_lock(&brk_mutex);
	now = sbrk(0);
	if (brk_grown + by > BRK_MOST || (brk_grown > by && chance(w, 2))) {
		if (by < brk_grown && sbrk(-(intptr_t)by) != (void *)-1)
			brk_grown -= by;
	} else if (chance(w, 3)) {
		if (!brk(now + by))
			brk_grown += by;
	} else if (sbrk((intptr_t)by) != (void *)-1) {
		brk_grown += by;
	}
	pthread_mutex_unlock(&brk_mutex);
}

static void *short_life(void *arg)
{
	struct worker w = {.random = (uintptr_t)arg};

	op_window_map(&w);
	op_window_unmap(&w);
	return NULL;
}

static void op_thread(struct worker *w)
{
	pthread_attr_t attr;
	pthread_t thread;
	int failed;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (16 + below(w, 64)) * PAGE);
	pthread_attr_setguardsize(&attr, below(w, 3) * PAGE);
	failed = pthread_create(&thread, chance(w, 2) ? &attr : NULL,
				short_life, (void *)(uintptr_t)draw(w));
	if (!failed)
		pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
}

static void op_thread_on_own_stack(struct worker *w)
{
	size_t bytes = (16 + below(w, 16)) * PAGE;
	void *stack = map(w, NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1);
	pthread_attr_t attr;
	pthread_t thread;

	if (stack == MAP_FAILED)
		return;
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, bytes);
	if (!pthread_create(&thread, &attr, short_life,
			    (void *)(uintptr_t)draw(w)))
		pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	if (chance(w, 2))
		unmap(w, (uintptr_t)stack, bytes);
	else
		piece_keep(w, stack, bytes / PAGE);
}

#endif
