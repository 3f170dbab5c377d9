/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * As many VMAs as the argument says: pages of alternating protection, each
 * touched; "gaps" behind it: as many pages with a hole behind each.  Without
 * any: until the kernel takes no more, and then what every call says there,
 * printed, one a line.
 */
#include "victim.h"

#define MOST 200000

NOINLINE static void *map_one(int i)
{
	int prot = i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
	void *p = mmap(NULL, PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	NO_TAIL_CALL();
	return p;
}

/* A large mapping, every second page of it unmapped; then one mapping more. */
static void make_gaps(size_t n)
{
	char *p = anon(2 * n);

	for (size_t i = 0; i < n; i++)
		CHECK(!munmap(p + 2 * i * PAGE, PAGE));
	touch(anon(3), 3);
}

static void tell(const char *what, int failed)
{
	printf("%s %s\n", what, failed ? strerror(errno) : "works");
}

/* At the limit: cutting a VMA fails, what needs no VMA works. */
static void at_limit(char *block)
{
	void *p;

	tell("split by munmap", munmap(block + 4 * PAGE, PAGE));
	tell("split by mprotect", mprotect(block + 4 * PAGE, PAGE, PROT_NONE));
	p = mmap(NULL, PAGE, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	tell("one more", p == MAP_FAILED);
	p = mremap(block + 4 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	tell("mremap of a part", p == MAP_FAILED);
	block[4 * PAGE] = 1;
	tell("munmap of all", munmap(block, 9 * PAGE));
}

/* PAGES that are a VMA of their own, whatever is mapped beside them. */
static char *fenced(size_t pages)
{
	char *p = mmap(NULL, (pages + 2) * PAGE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	CHECK(!mprotect(p + PAGE, pages * PAGE, PROT_READ | PROT_WRITE));
	return touch(p + PAGE, pages);
}

int main(int argc, char **argv)
{
	int wanted = argc > 1 ? atoi(argv[1]) : MOST;
	char *block = fenced(9);
	int made = 0;
	void *p;

	victim_begin();
	if (argc > 2) {
		make_gaps((size_t)wanted);
		victim_wait();
	}
	while (made < wanted && (p = map_one(made)) != MAP_FAILED) {
		made++;
		*(volatile char *)p;
	}
	CHECK(made == wanted || errno == ENOMEM);
	if (argc > 1) {
		CHECK(made == wanted);
		victim_wait();
	}
	if (made == wanted)
		SKIP("this kernel takes any number of VMAs");
	printf("enough %d\n", made > 20000);
	at_limit(block);
	return 0;
}
