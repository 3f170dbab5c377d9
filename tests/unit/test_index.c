/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hash index, and readers of it while a writer works.
 */
#include "base/index.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>

#define MANY 20000

static bool same(uint32_t id, const void *key)
{
	return id == *(const uint32_t *)key;
}

static uint64_t hash_of(uint32_t id)
{
	return hash_mix(99, id);
}

static uint32_t find(const struct index *index, uint32_t id)
{
	return index_find(index, hash_of(id), same, &id);
}

Test(index, finds_what_was_added_and_nothing_else)
{
	struct index index = {0};

	cr_assert_eq(find(&index, 1), 0);
	for (uint32_t id = 1; id <= MANY; id += 2)
		cr_assert(index_add(&index, hash_of(id), id));
	for (uint32_t id = 1; id <= MANY; id++)
		cr_assert_eq(find(&index, id), id % 2 ? id : 0);
}

/* All in one home slot: the matcher tells them apart. */
Test(index, equal_hashes)
{
	struct index index = {0};

	for (uint32_t id = 1; id <= 2000; id++)
		cr_assert(index_add(&index, 42, id));
	for (uint32_t id = 1; id <= 2000; id++)
		cr_assert_eq(index_find(&index, 42, same, &id), id);
}

Test(index, clear_forgets_and_room_comes_back)
{
	struct index index = {0};

	for (unsigned round = 0; round < 50; round++) {
		for (uint32_t id = 1; id <= 700; id++)
			cr_assert(index_add(&index, hash_of(id), id));
		cr_assert_eq(find(&index, 700), 700);
		index_clear(&index);
		cr_assert_eq(find(&index, 700), 0);
	}
}

Test(index, out_of_memory)
{
	struct index index = {0};
	uint32_t id = 1;

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert(!index_add(&index, 1, 1));
	cr_assert_eq(find(&index, 1), 0);
	fault_set(SYS_mmap, -ENOMEM, 1, -1);
	while (index_add(&index, hash_of(id), id))
		id++;
	fault_none();
	cr_assert_gt(id, 500);
	for (uint32_t i = 1; i < id; i++)
		cr_assert_eq(find(&index, i), i, "what is there stays");
	cr_assert(index_add(&index, hash_of(id), id), "and it goes on");
	cr_assert_eq(find(&index, id), id);
}

static struct index shared;
static uint32_t published;
static bool finished;

static void *reader(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	uintptr_t wrong = 0;

	while (!__atomic_load_n(&finished, __ATOMIC_ACQUIRE)) {
		uint32_t n = __atomic_load_n(&published, __ATOMIC_ACQUIRE);
		uint32_t id;

		if (!n)
			continue;
		id = 1 + (uint32_t)(draw(&state) % n);
		wrong += find(&shared, id) != id;
		wrong += find(&shared, id + MANY * 10) != 0;
	}
	return (void *)wrong;
}

Test(index, readers_find_all_while_it_grows)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, reader, (void *)(i + 1));
	for (uint32_t id = 1; id <= MANY; id++) {
		index_add(&shared, hash_of(id), id);
		__atomic_store_n(&published, id, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&finished, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
}

static void *careful_reader(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	uintptr_t wrong = 0;

	while (!__atomic_load_n(&finished, __ATOMIC_ACQUIRE)) {
		uint32_t id = 1 + (uint32_t)(draw(&state) % 1000);
		uint32_t have = find(&shared, id);

		wrong += have != 0 && have != id;
	}
	return (void *)wrong;
}

/* Readers may miss what is there while it is cleared; never find another. */
Test(index, readers_never_find_a_stranger_while_it_is_cleared)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, careful_reader,
			       (void *)(i + 1));
	for (unsigned round = 0; round < 300; round++) {
		for (uint32_t id = 1; id <= 1000; id++)
			index_add(&shared, hash_of(id), id);
		index_clear(&shared);
	}
	__atomic_store_n(&finished, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
}
