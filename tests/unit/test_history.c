/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Versions and snapshots, beside a model that copies everything.
 */
#include "base/mem.h"
#include "base/sys.h"
#include "cow/history.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define PAGES 64
#define SNAPSHOTS 200

/* A page is one number here. */
static struct {
	struct history h;
	uint64_t now[PAGES];
	struct {
		uint32_t id;
		uint64_t page[PAGES];
	} taken[SNAPSHOTS];
	unsigned n;
	uint64_t last;
} w;

static void begin(void)
{
	memset(&w, 0, sizeof(w));
	cr_assert_eq(history_init(&w.h, PAGES), 0);
}

static void write_page(unsigned page)
{
	if (!history_is_saved(&w.h, page)) {
		uint64_t *to;

		cr_assert_eq(history_reserve(history_counts().versions + 1), 0);
		to = history_save(&w.h, page);
		*to = w.now[page];
		cr_assert(history_is_saved(&w.h, page));
	}
	w.now[page] = ++w.last;
}

static void take(void)
{
	cr_assert_eq(history_reserve(0), 0);
	w.taken[w.n].id = history_take(&w.h, &w);
	memcpy(w.taken[w.n].page, w.now, sizeof(w.now));
	w.n++;
}

static void drop(unsigned i)
{
	history_drop(&w.h, w.taken[i].id);
	w.n--;
	memmove(&w.taken[i], &w.taken[i + 1], (w.n - i) * sizeof(w.taken[0]));
}

static void check(unsigned i)
{
	for (unsigned p = 0; p < PAGES; p++) {
		const uint64_t *v = history_find(&w.h, w.taken[i].id, p);

		cr_assert_eq(v ? *v : w.now[p], w.taken[i].page[p]);
	}
}

/* Versions that somebody sees: as many as there are. */
static uint64_t versions_needed(void)
{
	uint64_t needed = 0;

	for (unsigned p = 0; p < PAGES; p++)
		for (unsigned i = 0; i < w.n; i++) {
			uint64_t newer =
				i + 1 < w.n ? w.taken[i + 1].page[p] : w.now[p];

			needed += w.taken[i].page[p] != newer;
		}
	return needed;
}

static void check_changes(unsigned i, unsigned j)
{
	uint64_t changed = 0;

	history_changes(w.taken[i].id, j < w.n ? w.taken[j].id : 0, &changed);
	for (unsigned p = 0; p < PAGES; p++) {
		bool did = false;

		for (unsigned k = i; k < j; k++)
			did |= w.taken[k].page[p] !=
			       (k + 1 < w.n ? w.taken[k + 1].page[p]
					    : w.now[p]);
		cr_assert_eq(changed >> p & 1, did);
	}
}

static void check_all(void)
{
	for (unsigned i = 0; i < w.n; i++)
		check(i);
	cr_assert_eq(history_counts().versions, versions_needed());
	cr_assert_eq(history_counts().snapshots, w.n);
}

static void drop_all(void)
{
	while (w.n)
		drop((unsigned)rand() % w.n);
	cr_assert_eq(history_counts().versions, 0);
	cr_assert_eq(history_counts().snapshots, 0);
}

Test(history, nothing_is_saved_for_nobody)
{
	begin();
	write_page(3);
	cr_assert_eq(history_counts().versions, 0);
	history_end(&w.h);
}

Test(history, once_an_epoch)
{
	begin();
	take();
	write_page(3);
	write_page(3);
	cr_assert_eq(history_counts().versions, 1);
	take();
	take();
	write_page(3);
	cr_assert_eq(history_counts().versions, 2);
	check_all();
	drop_all();
}

Test(history, a_number_used_again_is_another)
{
	uint32_t serial;
	uint32_t id;

	begin();
	take();
	id = w.taken[0].id;
	serial = history_serial(id);
	cr_assert(history_is(id, serial));
	cr_assert_eq(history_owner(id), &w);
	drop(0);
	cr_assert_not(history_is(id, serial));
	cr_assert_not(history_is(id, serial + 1));
	take();
	cr_assert_eq(w.taken[0].id, id);
	cr_assert_not(history_is(id, serial));
	cr_assert_not(history_is(0, 1));
	cr_assert_not(history_is(1 << 30, 1));
	drop_all();
}

Test(history, at_random)
{
	for (unsigned seed = 1; seed <= 300; seed++) {
		srand(seed);
		begin();
		for (int i = 0; i < 600; i++) {
			int what = rand() % 16;

			if (what < 11)
				write_page((unsigned)(rand() % PAGES) >>
					   rand() % 4);
			else if (what < 14 && w.n < SNAPSHOTS)
				take();
			else if (w.n)
				drop((unsigned)rand() % w.n);
			if (i % 50 == 0)
				check_all();
			if (i % 50 == 25 && w.n) {
				unsigned from = (unsigned)rand() % w.n;

				check_changes(from,
					      from + (unsigned)rand() %
							      (w.n - from + 1));
			}
		}
		check_all();
		drop_all();
		history_end(&w.h);
	}
}

/* What was dropped gives its memory back: also from the newest to the oldest,
 * and the other way. */
Test(history, dropped_in_order)
{
	for (int newest_first = 0; newest_first < 2; newest_first++) {
		begin();
		for (unsigned i = 0; i < SNAPSHOTS; i++) {
			take();
			write_page(i % PAGES);
			write_page(i * 7 % PAGES);
		}
		check_all();
		while (w.n) {
			drop(newest_first ? w.n - 1 : 0);
			if (w.n % 20 == 0)
				check_all();
		}
		cr_assert_eq(history_counts().versions, 0);
		history_end(&w.h);
	}
}

static bool no_memory(long nr, long *result)
{
	if (nr != SYS_mmap)
		return false;
	*result = -ENOMEM;
	return true;
}

Test(history, no_room)
{
	struct history h;

	begin();
	cr_assert_eq(history_reserve(1), 0);
	sys_hook = no_memory;
	cr_assert_eq(history_reserve(1 << 20), -ENOMEM);
	cr_assert_eq(history_init(&h, PAGES), -ENOMEM);
	sys_hook = NULL;
	cr_assert_eq(history_reserve(1 << 20), 0);
	cr_assert_geq(history_counts().room, 1 << 20);
}
