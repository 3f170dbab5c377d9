/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds the registry against the kernel: random calls that change the address
 * space, from several threads at once, then the registry's regions must be
 * what /proc/self/maps says of every anonymous mapping, and where the kernel
 * shows names, each name what the registry says.
 *
 *   random_map [--sabotage=map|unmap|name] [--step] SEED OPERATIONS THREADS
 *
 * Exit status 0: equal; 1: the difference is printed; 2: bad usage; 77: not
 * under the shim.  --sabotage changes the address space once behind the shim's
 * back, by a bare instruction: the comparison must then fail.  --step, with one
 * thread, compares after each operation and tells which one went wrong.
 *
 * Two kinds of memory.  Windows, at fixed addresses far below where the kernel
 * puts things by itself, are everyone's: threads map, unmap and move over each
 * other there with no order between them, and nothing is stored in them.
 * Pieces, where the kernel chose, belong to one thread.
 *
 * Nothing is left out of the comparison.  What libc maps unseen is kept from
 * happening instead: one arena and no mmap for malloc, no cache of stacks.
 */
#include "wire/registry_abi.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
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
#define ROUNDS 10
#define THREADS_MAX 64
#define BRK_MOST (UINT64_C(4) << 20)
#define RANGES_MAX 65536
#define NAME_BYTES 128
#define DIFFERENCES_SHOWN 20

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

struct range {
	uintptr_t start;
	uintptr_t end;
	char name[NAME_BYTES]; /* "": none */
	bool named;	       /* whether the name counts */
};

static struct range of_kernel[RANGES_MAX];
static struct range of_registry[RANGES_MAX];
static char maps_text[RANGES_MAX * 128];
static struct registry_head *head;
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
	piece_keep(
		w,
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

static bool step; /* compare after each operation */
static void verify(const char *when);

static const struct {
	void (*run)(struct worker *w);
	unsigned weight;
	const char *name;
} operations[] = {
#define OP(f, weight) {f, weight, #f}
	OP(op_piece_map, 14),
	OP(op_piece_map_file, 4),
	OP(op_piece_map_over, 8),
	OP(op_piece_unmap, 14),
	OP(op_piece_protect, 4),
	OP(op_piece_remap, 10),
	OP(op_piece_dontunmap, 3),
	OP(op_piece_alias, 3),
	OP(op_piece_to_window, 3),
	OP(op_window_map, 20),
	OP(op_window_hint, 8),
	OP(op_window_file, 5),
	OP(op_window_unmap, 14),
	OP(op_window_protect, 4),
	OP(op_window_move, 16),
	OP(op_window_resize, 8),
	OP(op_window_name, 6),
	OP(op_brk, 4),
	OP(op_thread, 1),
	OP(op_thread_on_own_stack, 1),
#undef OP
};

#define KINDS (sizeof(operations) / sizeof(operations[0]))

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned sum = 0;

	for (unsigned i = 0; i < KINDS; i++)
		sum += operations[i].weight;
	for (unsigned n = 0; n < w->operations; n++) {
		unsigned pick = below(w, sum);
		unsigned i = 0;

		for (; pick >= operations[i].weight; i++)
			pick -= operations[i].weight;
		operations[i].run(w);
		if (step)
			verify(operations[i].name);
	}
	return NULL;
}

/* ---- what the kernel says ---- */

static size_t maps_read(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, maps_text + used,
			 sizeof(maps_text) - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	maps_text[used] = '\0';
	return used;
}

/* The name of an anonymous mapping; NULL where NAME is of something else. */
static const char *anonymous_name(const char *name, unsigned long inode,
				  bool shared)
{
	if (!inode && !*name)
		return "";
	if (!inode && !strcmp(name, "[heap]"))
		return "";
	if (!inode && !strncmp(name, "[anon:", 6))
		return name + 6;
	if (shared && !strncmp(name, "[anon_shmem:", 12))
		return name + 12;
	return shared && !strcmp(name, "/dev/zero (deleted)") ? "" : NULL;
}

static bool line_parse(const char *line, struct range *r)
{
	char path[512] = "";
	char perms[8];
	unsigned long inode;
	const char *name;

	if (sscanf(line, "%lx-%lx %7s %*x %*s %lu %511[^\n]", &r->start,
		   &r->end, perms, &inode, path) < 4)
		return false;
	name = anonymous_name(path, inode, perms[3] == 's');
	if (!name)
		return false;
	snprintf(r->name, sizeof(r->name), "%.*s", NAME_BYTES - 1, name);
	if (*r->name && r->name[strlen(r->name) - 1] == ']')
		r->name[strlen(r->name) - 1] = '\0';
	r->named = strcmp(path, "[heap]") != 0;
	return true;
}

static size_t kernel_ranges(void)
{
	size_t n = 0;
	char *line = maps_text;

	maps_read();
	while (*line && n < RANGES_MAX) {
		char *end = line + strcspn(line, "\n");
		char *next = end + (*end == '\n');

		*end = '\0';
		n += line_parse(line, &of_kernel[n]);
		line = next;
	}
	return n;
}

/* ---- what the registry says ---- */

static void *element(enum registry_table_id id, uint64_t index)
{
	const struct registry_table *t = &head->table[id];
	uint64_t chunk = 0;

	while (index >= (uint64_t)t->first_elems << chunk)
		index -= (uint64_t)t->first_elems << chunk++;
	return (char *)t->chunk[chunk] + index * t->elem_bytes;
}

static int by_start(const void *a, const void *b)
{
	const struct range *x = a;
	const struct range *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static size_t registry_ranges(void)
{
	size_t n = 0;

	for (uint64_t i = 1; i < head->table[REGISTRY_REGIONS].count; i++) {
		struct registry_region *r = element(REGISTRY_REGIONS, i);
		struct registry_site *site;
		uint32_t name;

		if (r->start == r->end || n == RANGES_MAX)
			continue;
		site = element(REGISTRY_SITES, r->site);
		name = r->own_name ? r->own_name : site->name;
		of_registry[n].start = r->start;
		of_registry[n].end = r->end;
		of_registry[n].named = !(r->flags & REGION_BRK);
		snprintf(of_registry[n].name, NAME_BYTES, "%s",
			 (char *)element(REGISTRY_STRINGS, name));
		n++;
	}
	qsort(of_registry, n, sizeof(of_registry[0]), by_start);
	return n;
}

/* ---- the comparison ---- */

static unsigned differences;

static void differ(const char *what, uintptr_t start, uintptr_t end,
		   const char *kernel, const char *registry)
{
	if (differences++ < DIFFERENCES_SHOWN)
		printf("  %012lx-%012lx %6lu pages: %s%s%s%s%s\n", start, end,
		       (end - start) / PAGE, what, kernel ? "; kernel: " : "",
		       kernel ? kernel : "", registry ? "; registry: " : "",
		       registry ? registry : "");
}

/* Compare one stretch in which neither list begins or ends a range. */
static void compare_stretch(uintptr_t start, uintptr_t end,
			    const struct range *k, const struct range *r)
{
	if (k && !r)
		differ("mapped, not in the registry", start, end, k->name,
		       NULL);
	else if (r && !k)
		differ("in the registry, not mapped", start, end, NULL,
		       r->name);
	else if (k && r && head->flags & REGISTRY_NAMES_KERNEL && k->named &&
		 r->named && strcmp(k->name, r->name) != 0)
		differ("another name", start, end, k->name, r->name);
}

static void compare(size_t nk, size_t nr)
{
	size_t k = 0;
	size_t r = 0;
	uintptr_t at = 0;

	while (k < nk || r < nr) {
		const struct range *a = k < nk ? &of_kernel[k] : NULL;
		const struct range *b = r < nr ? &of_registry[r] : NULL;
		uintptr_t stop = UINTPTR_MAX;

		if (a)
			stop = at < a->start ? a->start : a->end;
		if (b && (at < b->start ? b->start : b->end) < stop)
			stop = at < b->start ? b->start : b->end;
		compare_stretch(at, stop, a && at >= a->start ? a : NULL,
				b && at >= b->start ? b : NULL);
		at = stop;
		k += a && a->end <= at;
		r += b && b->end <= at;
	}
}

/* A resync would hide what was recorded wrongly before it. */
static void check_counters(size_t nregions)
{
	const struct registry_counters *c = &head->counters;

	/* patience with a lock ends on a machine that stands still */
	if (c->lost && !(head->flags & REGISTRY_INEXACT)) {
		printf("random_map: %lu calls lost and mended\n", c->lost);
		return;
	}
	if (c->lost || c->resyncs || head->flags & REGISTRY_INEXACT)
		printf("  %lu calls lost, %lu resyncs, inexact: %s\n", c->lost,
		       c->resyncs,
		       head->flags & REGISTRY_INEXACT ? "yes" : "no");
	if (c->regions != nregions)
		printf("  %lu regions counted, %zu there\n", c->regions,
		       nregions);
	if (head->generation % 2)
		printf("  generation %lu is odd at rest\n", head->generation);
	differences += c->lost || c->resyncs || c->regions != nregions ||
		       head->flags & REGISTRY_INEXACT || head->generation % 2;
}

static void verify(const char *when)
{
	size_t nk;
	size_t nr;

	fflush(stdout);
	sbrk(0); /* the heap's end is noticed by calls of the program only */
	nk = kernel_ranges();
	nr = registry_ranges();
	compare(nk, nr);
	check_counters(nr);
	if (!differences)
		return;
	printf("random_map: %s: %u differences between %zu VMAs and %zu "
	       "regions\n",
	       when, differences, nk, nr);
	exit(1);
}

/* ---- behind the shim's back ---- */

static long bare_call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static void sabotage(const char *how)
{
	long at;

	if (!how)
		return;
	at = (long)mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!strcmp(how, "unmap"))
		bare_call(SYS_munmap, at + 4096, 4096, 0, 0, 0);
	else if (!strcmp(how, "name"))
		bare_call(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, 4096,
			  (long)"sabotage");
	else
		bare_call(SYS_mmap, 0, 4096, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* ---- the run ---- */

static void windows_map(void)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		void *want = (void *)(WINDOW_BASE + i * WINDOW_STEP);

		if (mmap(want, WINDOW_PAGES * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				 MAP_FIXED_NOREPLACE,
			 -1, 0) != want) {
			perror("random_map: no place for a window");
			exit(2);
		}
	}
}

static void round_run(struct worker *w, unsigned threads, unsigned each)
{
	for (unsigned i = 0; i < threads; i++) {
		w[i].operations = each;
		if (pthread_create(&w[i].thread, NULL, work, &w[i])) {
			perror("random_map: pthread_create");
			exit(2);
		}
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(w[i].thread, NULL);
}

/* A child's registry must be as right as its parent's, and stay so. */
static void in_child(struct worker *w, pid_t (*make)(void), const char *when)
{
	int status = 1;
	pid_t pid;

	fflush(stdout);
	pid = make();
	if (!pid) {
		/* the raw child is noticed by the first call it makes */
		op_window_map(w);
		verify(when);
		w->operations = 1000;
		work(w);
		verify(when);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		printf("random_map: %s: status %#x\n", when, status);
		exit(1);
	}
}

/* Keep libc from mapping memory that nobody can see it map. */
static void quieten_libc(char **argv)
{
	static const char tunables[] = "glibc.pthread.stack_cache_size=0";
	const char *now = getenv("GLIBC_TUNABLES");

	if (!now || strcmp(now, tunables) != 0) {
		setenv("GLIBC_TUNABLES", tunables, 1);
		execv("/proc/self/exe", argv);
		perror("random_map: exec");
		exit(2);
	}
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 8 << 20);
	free(malloc(1 << 20)); /* from here on the heap need not grow */
}

static void registry_find(void)
{
	struct registry_head **symbol = dlsym(RTLD_DEFAULT, REGISTRY_SYMBOL);

	if (!symbol || !*symbol) {
		printf("random_map: skipped: not under the shim\n");
		exit(77);
	}
	head = *symbol;
	if (memcmp(head->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES) != 0 ||
	    head->version != REGISTRY_VERSION) {
		printf("random_map: a registry of another version\n");
		exit(2);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: random_map [--sabotage=map|unmap|name] "
			"[--step] SEED OPERATIONS THREADS(1-64)\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	const char *how = NULL;
	unsigned long seed;
	unsigned long ops;
	unsigned long threads;
	int arg = 1;

	if (arg < argc && !strncmp(argv[arg], "--sabotage=", 11))
		how = argv[arg++] + 11;
	if (arg < argc && !strcmp(argv[arg], "--step")) {
		step = true;
		arg++;
	}
	if (argc - arg != 3)
		return usage();
	seed = strtoul(argv[arg], NULL, 0);
	ops = strtoul(argv[arg + 1], NULL, 0);
	threads = strtoul(argv[arg + 2], NULL, 0);
	if (!threads || threads > THREADS_MAX || (step && threads > 1))
		return usage();
	quieten_libc(argv);
	registry_find();
	/* not a memfd: those take names, which then hide what they are */
	file_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (file_fd < 0) {
		perror("random_map: /proc/self/exe");
		return 2;
	}
	verify("before the first call");
	windows_map();
	for (unsigned long i = 0; i < threads; i++)
		workers[i].random = seed * 1000003 + i;
	for (unsigned i = 0; i < ROUNDS; i++) {
		char when[64];

		snprintf(when, sizeof(when), "seed %lu, round %u", seed, i);
		round_run(workers, (unsigned)threads,
			  (unsigned)(ops / ROUNDS / threads));
		verify(when);
	}
	in_child(workers, fork, "in a child");
	in_child(workers, _Fork, "in a child of _Fork");
	sabotage(how);
	verify("at the end");
	printf("random_map: seed %lu, %lu operations, %lu threads: %lu regions "
	       "as the kernel says%s\n",
	       seed, ops, threads, head->counters.regions,
	       head->flags & REGISTRY_NAMES_KERNEL ? ", names too" : "");
	return 0;
}
