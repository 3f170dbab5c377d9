/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growing tables.
 */
#include "base/table.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

static struct registry_table t;

Test(table, elements_stay_and_keep_their_values)
{
	void *where[1000];

	table_init(&t, sizeof(uint64_t), 4);
	for (uint64_t i = 1; i < 1000; i++) {
		cr_assert_eq(table_add(&t, 1), i);
		where[i] = table_at(&t, i);
		*(uint64_t *)where[i] = i;
	}
	for (uint64_t i = 1; i < 1000; i++) {
		cr_assert_eq(table_at(&t, i), where[i]);
		cr_assert_eq(*(uint64_t *)where[i], i);
	}
}

/* The layout of wire/registry_abi.h, computed the slow way. */
Test(table, chunks_double)
{
	table_init(&t, sizeof(uint32_t), 8);
	for (unsigned i = 1; i < 5000; i++)
		table_add(&t, 1);
	for (uint64_t i = 0; i < t.count; i++) {
		uint64_t rest = i;
		unsigned chunk = 0;

		while (rest >= (UINT64_C(8) << chunk))
			rest -= UINT64_C(8) << chunk++;
		cr_assert_eq((uint64_t)(uintptr_t)table_at(&t, i),
			     t.chunk[chunk] + rest * sizeof(uint32_t));
		cr_assert_eq(table_chunk_end(&t, i),
			     i - rest + (UINT64_C(8) << chunk));
	}
}

/* Several at once are neighbours in one chunk; skipped ones are zero. */
Test(table, runs_do_not_straddle_chunks)
{
	uint64_t state = 1;

	table_init(&t, 1, 16);
	for (unsigned n = 0; n < 2000; n++) {
		size_t count = 1 + draw(&state) % 40;
		uint64_t before = t.count;
		uint64_t at = table_add(&t, count);
		char *first = table_at(&t, at);

		cr_assert_geq(at, before);
		cr_assert_eq(t.count, at + count);
		for (uint64_t i = before; i < at; i++)
			cr_assert_eq(*(char *)table_at(&t, i), 0);
		for (size_t i = 0; i < count; i++)
			cr_assert_eq((char *)table_at(&t, at + i), first + i);
		memset(first, 'x', count);
	}
}

Test(table, index_0_is_there_and_zero)
{
	table_init(&t, 8, 4);
	cr_assert_eq(table_add(&t, 4), 4, "no room in the first chunk");
	cr_assert_eq(*(uint64_t *)table_at(&t, 0), 0);
}

Test(table, out_of_memory)
{
	uint64_t n = 0;

	table_init(&t, 4096, 1);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert_eq(table_add(&t, 1), 0);
	cr_assert_eq(t.count, 1);
	fault_set(SYS_mmap, -ENOMEM, 3, -1);
	while (table_add(&t, 1))
		n++;
	cr_assert_eq(n, 6, "three chunks of 1, 2 and 4 but element 0");
	fault_none();
	cr_assert_eq(table_add(&t, 1), 7, "and it goes on");
}

Test(table, out_of_chunks)
{
	table_init(&t, 1, 1);
	t.count = (UINT64_C(1) << REGISTRY_CHUNKS) - 1;
	cr_assert_eq(table_add(&t, 1), 0);
	cr_assert_eq(table_add(&t, 1000), 0);
	t.count = 1;
	cr_assert_eq(table_add(&t, 1 << 20), 0, "larger than any chunk");
}

static bool finished;

static void *reader(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	uintptr_t wrong = 0;

	while (!__atomic_load_n(&finished, __ATOMIC_ACQUIRE)) {
		uint64_t n = __atomic_load_n(&t.count, __ATOMIC_ACQUIRE);
		uint64_t i;

		if (n < 3)
			continue;
		/* the last one is being filled in */
		i = 1 + draw(&state) % (n - 2);
		wrong += __atomic_load_n((uint64_t *)table_at(&t, i),
					 __ATOMIC_RELAXED) != i;
	}
	return (void *)wrong;
}

Test(table, readers_while_it_grows)
{
	pthread_t threads[4];

	table_init(&t, sizeof(uint64_t), 4);
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, reader, (void *)(i + 1));
	for (unsigned n = 0; n < 100000; n++) {
		uint64_t i = table_add(&t, 1);

		__atomic_store_n((uint64_t *)table_at(&t, i), i,
				 __ATOMIC_RELEASE);
	}
	__atomic_store_n(&finished, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
}
