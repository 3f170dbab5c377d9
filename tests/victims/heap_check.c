/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many owners, many threads, random calls of malloc's family; every block is
 * verified when it is changed or freed, and all that live at the end of each
 * round:
 *
 *   heap_check [--owners] [--sabotage=content|overlap|owner|page]
 *              LIBRARY SEED OPERATIONS THREADS OWNERS
 *
 * --owners: and no page holds blocks of two owners, and each block lies in
 * its owner's arena.  LIBRARY is lib_owner.so; a copy an owner is made in the
 * current directory.  Exit status 0: all true; 1: the faults are printed.
 * --sabotage falsifies what is known of one block: that must be found.
 *
 * Blocks stand in slots that belong to no thread, so that most are freed in
 * another one than they come from.  No memory of malloc's is used here.
 */
#include "heap_blocks.h"
#include "owners_load.h"
#include "victim.h"

#include <pthread.h>

#define ROUNDS 4
#define THREADS_MAX 32
#define WARM_BYTES ((size_t)4 << 20) /* what an owner gets an arena for */
#define WARM_BLOCK 1000
#define WARM_BLOCKS (WARM_BYTES / WARM_BLOCK)

struct worker {
	uint64_t random;
	unsigned long operations;
	pthread_t thread;
};

static uint64_t draw(struct worker *w)
{
	uint64_t z = w->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static size_t below(struct worker *w, size_t n)
{
	return draw(w) % n;
}

/* ---- owners ---- */

static void *warm_block(const struct owner_calls *o, unsigned way)
{
	switch (way) {
	case 0:
		return o->get(WARM_BLOCK);
	case 1:
		return o->get_zeroed(WARM_BLOCK);
	case 2:
		return o->resize(NULL, WARM_BLOCK);
	default:
		return o->get_aligned(64, WARM_BLOCK);
	}
}

/* By every call, so that each is worth an arena. */
static void warm_up(const struct owner_calls *o)
{
	static void *p[WARM_BLOCKS];

	for (unsigned way = 0; way < 4; way++) {
		for (size_t i = 0; i < WARM_BLOCKS; i++) {
			p[i] = warm_block(o, way);
			CHECK(p[i]);
			memset(p[i], 1, WARM_BLOCK);
		}
		for (size_t i = 0; i < WARM_BLOCKS; i++)
			o->put(p[i]);
	}
}

/* ---- operations ---- */

static size_t random_size(struct worker *w)
{
	size_t pick = below(w, 1000);

	if (pick < 900)
		return 1 + below(w, 600);
	if (pick < 990)
		return 1 + below(w, 16 << 10);
	if (pick < 999)
		return 1 + below(w, 128 << 10);
	return 1 + below(w, 2 << 20);
}

static void check_zero(const struct block *b)
{
	for (size_t i = 0; i < b->size; i = position_after(i, b->size)) {
		if (!b->p[i])
			continue;
		FAULT("calloc: block %p of %zu: not zero at %zu\n",
		      (void *)b->p, b->size, i);
		return;
	}
}

static void op_get(struct worker *w, struct block *b)
{
	unsigned owner = (unsigned)below(w, nowners);
	const struct owner_calls *o = owners[owner];
	size_t way = below(w, 10);
	size_t alignment = 16;

	b->size = random_size(w);
	b->id = draw(w);
	b->owners = 1U << owner;
	if (way < 6) {
		b->p = o->get(b->size);
	} else if (way < 8) {
		b->p = o->get_zeroed(b->size);
	} else if (way < 9) {
		b->p = o->resize(NULL, b->size);
	} else {
		alignment <<= below(w, below(w, 50) ? 5 : 13);
		b->p = o->get_aligned(alignment, b->size);
	}
	CHECK(b->p);
	if ((uintptr_t)b->p % alignment)
		FAULT("block %p of %zu is not aligned to %zu\n", (void *)b->p,
		      b->size, alignment);
	if (way == 6 || way == 7)
		check_zero(b);
	block_fill(b);
}

static void op_put(struct worker *w, struct block *b)
{
	block_verify(b, b->size, "free");
	owners[below(w, nowners)]->put(b->p); /* anyone may */
	b->p = NULL;
}

static void op_resize(struct worker *w, struct block *b)
{
	unsigned owner = (unsigned)__builtin_ctz(b->owners);
	size_t size = random_size(w);

	if (!below(w, 8))
		owner = (unsigned)below(w, nowners);
	block_verify(b, b->size, "before realloc");
	b->p = owners[owner]->resize(b->p, size);
	CHECK(b->p);
	block_verify(b, size, "realloc");
	b->size = size;
	b->id = draw(w);
	b->owners |= 1U << owner;
	block_fill(b);
}

static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned long i = 0; i < w->operations; i++) {
		struct slot *s = &slots[below(w, SLOTS)];

		if (atomic_flag_test_and_set(&s->busy)) {
			i--;
			continue;
		}
		if (!s->block.p)
			op_get(w, &s->block);
		else if (below(w, 3))
			op_put(w, &s->block);
		else
			op_resize(w, &s->block);
		atomic_flag_clear(&s->busy);
	}
	return NULL;
}

/* ---- the run ---- */

static void round_run(struct worker *w, unsigned long threads,
		      unsigned long each)
{
	for (unsigned long i = 0; i < threads; i++) {
		w[i].operations = each;
		CHECK(!pthread_create(&w[i].thread, NULL, work, &w[i]));
	}
	for (unsigned long i = 0; i < threads; i++)
		CHECK(!pthread_join(w[i].thread, NULL));
}

static struct block *some_block(size_t from)
{
	while (!slots[from].block.p)
		from++;
	return &slots[from].block;
}

static void sabotage(const char *how)
{
	struct block *b = some_block(100);
	struct block *other = some_block(5000);

	if (!how)
		return;
	if (!strcmp(how, "content"))
		b->p[b->size / 2 & 0xff]++;
	else if (!strcmp(how, "overlap"))
		*b = *other;
	else if (!strcmp(how, "owner"))
		b->owners = ~b->owners & ((1U << nowners) - 1);
	else /* behind it, where the next owner's must not be */
		for (size_t i = 0; i < SLOTS; i++)
			if (slots[i].block.p && slots[i].block.size < 64)
				slots[i].block.owners = 1U << i % nowners;
}

static void verify(bool with_owners, unsigned long seed, unsigned round)
{
	size_t n = blocks_sort();

	for (size_t i = 0; i < n; i++)
		block_verify(&sorted[i], sorted[i].size, "at rest");
	check_overlap(n);
	if (with_owners) {
		check_pages(n);
		check_owners(n);
	}
	if (!faults)
		return;
	dprintf(1, "heap_check: seed %lu, round %u: %u faults, %zu blocks\n",
		seed, round, faults, n);
	_exit(1);
}

static void give_back(void)
{
	struct worker w = {.random = 1};

	for (size_t i = 0; i < SLOTS; i++)
		if (slots[i].block.p)
			op_put(&w, &slots[i].block);
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	unsigned long seed, operations, threads;
	bool with_owners = false;
	const char *how = NULL;
	char **arg = argv + 1;

	victim_begin();
	if (argc > 1 && !strcmp(*arg, "--owners"))
		with_owners = !!arg++;
	if (*arg && !strncmp(*arg, "--sabotage=", 11))
		how = *arg++ + 11;
	CHECK(argv + argc - arg == 5);
	seed = strtoul(arg[1], NULL, 0);
	operations = strtoul(arg[2], NULL, 0);
	threads = strtoul(arg[3], NULL, 0);
	nowners = (unsigned)strtoul(arg[4], NULL, 0);
	CHECK(threads && threads <= THREADS_MAX);
	CHECK(nowners > 1 && nowners < OWNERS_MAX);
	owners_load(arg[0]);
	for (unsigned i = 0; i < nowners; i++)
		warm_up(owners[i]);
	for (unsigned long i = 0; i < threads; i++)
		workers[i].random = seed * 1000003 + i;
	for (unsigned i = 0; i < ROUNDS; i++) {
		round_run(workers, threads, operations / ROUNDS / threads);
		if (i == ROUNDS - 1)
			sabotage(how);
		verify(with_owners, seed, i);
	}
	give_back();
	verify(false, seed, ROUNDS);
	printf("heap_check: seed %lu, %lu operations, %lu threads, %u owners: "
	       "%s\n",
	       seed, operations, threads, nowners,
	       with_owners ? "each on its own pages" : "all as it was");
	return 0;
}
