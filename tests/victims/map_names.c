/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps and touches PAGES pages in the way that the argument says, in a
 * function called site_<argument>, and waits; with one argument more so that
 * not even its user may look at it.
 */
#include "victim.h"

#include <sys/prctl.h>

#define PROTS (PROT_READ | PROT_WRITE)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define BYTES (PAGES * PAGE)

static void *good(void *p)
{
	CHECK(p != MAP_FAILED);
	return p;
}

NOINLINE static void *site_plain(void)
{
	return good(mmap(NULL, BYTES, PROTS, PRIVATE, -1, 0));
}

NOINLINE static void *site_plain64(void)
{
	return good(mmap64(NULL, BYTES, PROTS, PRIVATE, -1, 0));
}

NOINLINE static void *site_syscall(void)
{
	return good(
		(void *)syscall(SYS_mmap, NULL, BYTES, PROTS, PRIVATE, -1, 0L));
}

NOINLINE static void *site_shared(void)
{
	return good(
		mmap(NULL, BYTES, PROTS, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}

NOINLINE static void *site_stack(void)
{
	return good(mmap(NULL, BYTES, PROTS, PRIVATE | MAP_STACK, -1, 0));
}

NOINLINE static void *site_populate(void)
{
	return good(mmap(NULL, BYTES, PROTS, PRIVATE | MAP_POPULATE, -1, 0));
}

NOINLINE static void *site_noreserve(void)
{
	return good(mmap(NULL, BYTES, PROTS, PRIVATE | MAP_NORESERVE, -1, 0));
}

NOINLINE static void *site_fixed(void)
{
	char *p = good(mmap(NULL, 3 * BYTES, PROT_NONE, PRIVATE, -1, 0));
	void *q =
		good(mmap(p + BYTES, BYTES, PROTS, PRIVATE | MAP_FIXED, -1, 0));

	munmap(p, BYTES);
	munmap(p + 2 * BYTES, BYTES);
	return q;
}

NOINLINE static void *site_protect(void)
{
	void *p = good(mmap(NULL, BYTES, PROT_NONE, PRIVATE, -1, 0));

	CHECK(mprotect(p, BYTES, PROTS) == 0);
	return p;
}

NOINLINE static void *site_shrink(void)
{
	void *p = good(mmap(NULL, 2 * BYTES, PROTS, PRIVATE, -1, 0));

	return good(mremap(p, 2 * BYTES, BYTES, 0));
}

NOINLINE static void *site_grow(void)
{
	void *p = good(mmap(NULL, PAGE, PROTS, PRIVATE, -1, 0));

	return good(mremap(p, PAGE, BYTES, MREMAP_MAYMOVE));
}

NOINLINE static void *site_move(void)
{
	void *p = good(mmap(NULL, BYTES, PROTS, PRIVATE, -1, 0));
	void *to = good(mmap(NULL, BYTES, PROT_NONE, PRIVATE, -1, 0));

	p = good(mremap(p, BYTES, BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	CHECK(p == to);
	return p;
}

NOINLINE static void *site_raw_move(void)
{
	void *p = good(mmap(NULL, BYTES, PROTS, PRIVATE, -1, 0));
	void *to = good(mmap(NULL, BYTES, PROT_NONE, PRIVATE, -1, 0));

	p = good((void *)syscall(SYS_mremap, p, BYTES, BYTES,
				 MREMAP_MAYMOVE | MREMAP_FIXED, to));
	CHECK(p == to);
	return p;
}

/* The old place stays, empty: its size counts too. */
NOINLINE static void *site_dontunmap(void)
{
	void *p = good(mmap(NULL, BYTES, PROTS, PRIVATE, -1, 0));
	void *q;

	touch(p, PAGES);
	q = mremap(p, BYTES, BYTES, MREMAP_MAYMOVE | 4);
	if (q == MAP_FAILED && errno == EINVAL)
		SKIP("no MREMAP_DONTUNMAP");
	return good(q);
}

/* A second address of the same shared pages. */
NOINLINE static void *site_alias(void)
{
	void *p = good(
		mmap(NULL, BYTES, PROTS, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

	touch(p, PAGES);
	return good(mremap(p, 0, BYTES, MREMAP_MAYMOVE));
}

/* Only the outer half of the mapping is left. */
NOINLINE static void *site_partial(void)
{
	char *p = good(mmap(NULL, 2 * BYTES, PROTS, PRIVATE, -1, 0));

	CHECK(munmap(p + BYTES, BYTES) == 0);
	return p;
}

static const struct {
	const char *word;
	void *(*map)(void);
} ways[] = {
	{"plain", site_plain},	   {"plain64", site_plain64},
	{"syscall", site_syscall}, {"shared", site_shared},
	{"stack", site_stack},	   {"populate", site_populate},
	{"fixed", site_fixed},	   {"protect", site_protect},
	{"shrink", site_shrink},   {"grow", site_grow},
	{"move", site_move},	   {"raw_move", site_raw_move},
	{"alias", site_alias},	   {"dontunmap", site_dontunmap},
	{"partial", site_partial}, {"noreserve", site_noreserve},
};

int main(int argc, char **argv)
{
	victim_begin();
	for (size_t i = 0; argc > 1 && i < sizeof(ways) / sizeof(*ways); i++)
		if (!strcmp(ways[i].word, argv[1])) {
			void *p = touch(ways[i].map(), PAGES);

			printf("address %lx\n", (unsigned long)p);
			fflush(stdout);
			if (argc > 2)
				prctl(PR_SET_DUMPABLE, 0);
			victim_wait();
		}
	return 2;
}
