/* SPDX-License-Identifier: BSD-2-Clause */
/* The reader of registries, against good ones, torn ones and damaged ones. */
#include "tool/registry_read.h"

#include <criterion/criterion.h>

#include "test_tool_fixture.h"

static struct fake_registry fake;
static struct registry reg;

static void build(void)
{
	uint32_t a, b;

	fake_registry_init(&fake);
	a = fake_site(&fake, "libfoo.so.1", KIND_MMAP, "_Z3foov",
		      "libfoo.so.1: mmap foo()");
	b = fake_site(&fake, "prog", KIND_STACK, "worker",
		      "prog: stack worker");
	fake_region(&fake, 8, 16, b)->tid = 77;
	fake_region(&fake, 0, 4, a);
	fake_region(&fake, 4, 8, a)->own_name = fake_string(&fake, "JIT code");
}

static int read_fake(void)
{
	return registry_read(&reg, &fake.memory.space, FAKE_HEAD);
}

static void done(void)
{
	registry_destroy(&reg);
}

TestSuite(tool_registry_read, .init = build, .fini = done);

Test(tool_registry_read, copies_regions_in_address_order)
{
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.nregions, 3);
	cr_assert_eq(reg.regions[0].start, FAKE_PAGE);
	cr_assert_eq(reg.regions[1].start, FAKE_PAGE + 4 * 4096);
	cr_assert_eq(reg.regions[2].start, FAKE_PAGE + 8 * 4096);
	cr_assert_eq(reg.regions[2].tid, 77);
	cr_assert_eq(reg.bad, 0);
	cr_assert_eq(reg.overlaps, 0);
	cr_assert_not(reg.torn);
}

Test(tool_registry_read, resolves_strings_and_kinds)
{
	const struct registry_site *site;

	cr_assert_eq(read_fake(), 0);
	site = &reg.sites[reg.regions[2].site];
	cr_assert_str_eq(registry_string(&reg, site->owner), "prog");
	cr_assert_str_eq(registry_string(&reg, site->name),
			 "prog: stack worker");
	cr_assert_str_eq(registry_kind_word(site->kind), "stack");
	cr_assert_str_eq(registry_string(&reg, reg.regions[1].own_name),
			 "JIT code");
	cr_assert_str_eq(registry_string(&reg, 1u << 31), "");
	cr_assert_str_eq(registry_kind_word(200), "");
}

Test(tool_registry_read, finds_the_region_of_an_address)
{
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(registry_find(&reg, FAKE_PAGE), &reg.regions[0]);
	cr_assert_eq(registry_find(&reg, FAKE_PAGE + 4 * 4096 - 1),
		     &reg.regions[0]);
	cr_assert_eq(registry_find(&reg, FAKE_PAGE + 4 * 4096),
		     &reg.regions[1]);
	cr_assert_null(registry_find(&reg, FAKE_PAGE - 1));
	cr_assert_null(registry_find(&reg, FAKE_PAGE + 16 * 4096));
}

Test(tool_registry_read, follows_chunks_that_double)
{
	for (unsigned i = 0; i < 20; i++)
		fake_region(&fake, 100 + 2 * i, 101 + 2 * i, 1);
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.nregions, 23);
	cr_assert_eq(reg.regions[22].start, FAKE_PAGE + 138 * 4096);
}

Test(tool_registry_read, passes_over_free_slots)
{
	struct registry_region *region = fake_region(&fake, 50, 51, 1);

	region->end = region->start;
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.nregions, 3);
	cr_assert_eq(reg.bad, 0);
}

Test(tool_registry_read, takes_a_table_of_which_no_chunk_was_needed)
{
	struct registry_table *frames = &fake.head.table[REGISTRY_FRAMES];

	frames->chunk[0] = 0;
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.nregions, 3);
	frames->count = 2;
	registry_destroy(&reg);
	cr_assert_eq(read_fake(), -EBADMSG);
}

/* A head that is wrong in one way after the other. */
Test(tool_registry_read, refuses_a_damaged_head)
{
	const struct registry_head good = fake.head;

#define REFUSED(damage)                                       \
	do {                                                  \
		fake.head = good;                             \
		damage;                                       \
		cr_assert_eq(read_fake(), -EBADMSG, #damage); \
		cr_assert_neq(reg.why[0], '\0', #damage);     \
		registry_destroy(&reg);                       \
	} while (0)

	REFUSED(fake.head.magic[3] = 'x');
	REFUSED(fake.head.version = REGISTRY_VERSION + 1);
	REFUSED(fake.head.version = __builtin_bswap32(REGISTRY_VERSION));
	REFUSED(fake.head.head_bytes--);
	REFUSED(fake.head.self += 4096);
	REFUSED(fake.head.page_bytes = 0);
	REFUSED(fake.head.page_bytes = 4097);
	for (int id = 0; id < REGISTRY_ARENAS; id++) {
		struct registry_table *table = &fake.head.table[id];

		REFUSED(table->elem_bytes++);
		REFUSED(table->first_elems = 0);
		REFUSED(table->first_elems = 3);
		REFUSED(table->count = UINT64_MAX);
		REFUSED(table->count = UINT64_C(1) << 40);
		REFUSED(table->count = 100000);
		REFUSED(table->chunk[0] = 0x1234; table->count = 2);
	}
#undef REFUSED
}

/* Of the heap and of shared objects: regions are known without them. */
Test(tool_registry_read, does_without_a_damaged_table_that_can_be_spared)
{
	const struct registry_head good = fake.head;

#define SPARED(damage)                                                         \
	do {                                                                   \
		fake.head = good;                                              \
		damage;                                                        \
		cr_assert_eq(read_fake(), 0, #damage);                         \
		cr_assert_eq(reg.bad, 1, #damage);                             \
		cr_assert_eq(reg.nregions, 3, #damage);                        \
		cr_assert(reg.narenas <= 1 && reg.ncaches == 0 &&              \
				  reg.naccounts == 0 && reg.nobjects == 0,     \
			  #damage);                                            \
		cr_assert_eq(reg.no_objects, id == REGISTRY_OBJECTS, #damage); \
		cr_assert_eq(registry_arena(&reg, 1), 0);                      \
		registry_destroy(&reg);                                        \
	} while (0)

	for (int id = REGISTRY_ARENAS; id <= REGISTRY_OBJECTS; id++) {
		struct registry_table *table = &fake.head.table[id];

		SPARED(table->elem_bytes++);
		SPARED(table->first_elems = 0);
		SPARED(table->first_elems = 3);
		SPARED(table->count = UINT64_MAX);
		SPARED(table->count = UINT64_C(1) << 40);
		SPARED(table->count = 100000);
		SPARED(table->chunk[0] = 0x1234; table->count = 2);
	}
#undef SPARED
}

Test(tool_registry_read, reads_the_heap)
{
	uint32_t arena = fake_arena(&fake, 1, 0, 100);

	fake_arena(&fake, 2, ARENA_SHARED, 0);
	fake_arena(&fake, 1, 0, 7);
	fake_cache(&fake, arena, 50)->magazine[3] =
		(struct registry_magazine){0, 2, 8};
	fake_cache(&fake, 0, 0); /* free slots */
	fake_account(&fake, 0, 0);
	fake_account(&fake, 2, 99);
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.bad, 0);
	cr_assert_eq(reg.narenas, 4);
	cr_assert_eq(reg.arenas[1].direct, 100);
	cr_assert_eq(registry_arena(&reg, 1), 1);
	cr_assert_eq(registry_arena(&reg, 2), 2);
	cr_assert_eq(registry_arena(&reg, 0), 0);
	cr_assert_eq(registry_arena(&reg, UINT32_MAX), 0);
	cr_assert_eq(reg.ncaches, 1);
	cr_assert_eq(reg.caches[0].magazine[3].n, 2);
	cr_assert_eq(reg.naccounts, 1);
	cr_assert_eq(reg.accounts[0].live, 99);
}

Test(tool_registry_read, takes_a_heap_of_which_no_chunk_was_needed)
{
	for (int id = REGISTRY_ARENAS; id <= REGISTRY_ACCOUNTS; id++)
		fake.head.table[id].chunk[0] = 0;
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.bad, 0);
	cr_assert_eq(reg.nregions, 3);
	cr_assert_eq(registry_arena(&reg, 1), 0);
}

Test(tool_registry_read, leaves_out_what_of_the_heap_makes_no_sense)
{
	uint32_t good = fake_arena(&fake, 1, 0, -5);
	uint32_t bad = fake_arena(&fake, 3, 0, 0); /* no such site */

	fake_arena(&fake, 2, 0, INT64_MAX);
	fake_cache(&fake, good, -5);
	fake_cache(&fake, bad, 5); /* falls with its arena, not by itself */
	fake_cache(&fake, 4, 5);
	fake_cache(&fake, good, INT64_MIN);
	fake_cache(&fake, good, 5)->magazine[1].n = 1; /* above its cap */
	fake_cache(&fake, good, 5)->magazine[HEAP_CLASSES - 1].cap = UINT32_MAX;
	fake_account(&fake, 3, 1);
	fake_account(&fake, 1, INT64_MAX);
	fake_account(&fake, 1, -1);
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.bad, 2 + 4 + 2);
	cr_assert_eq(reg.narenas, 4);
	cr_assert_eq(reg.arenas[bad].site, 0);
	cr_assert_eq(registry_arena(&reg, 2), 0);
	cr_assert_eq(reg.ncaches, 1);
	cr_assert_eq(reg.caches[0].net, -5);
	cr_assert_eq(reg.naccounts, 1);
	cr_assert_eq(reg.accounts[0].live, -1);
}

Test(tool_registry_read, reads_shared_objects)
{
	fake_object(&fake, OBJECT_ALIASED, 2)->ino = 7;
	fake_object(&fake, 0, 0)->flags = 0; /* a free slot */
	fake_object(&fake, OBJECT_FOREIGN, 0)->size = 8192;
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.bad, 0);
	cr_assert_not(reg.no_objects);
	cr_assert_eq(reg.nobjects, 2);
	cr_assert_eq(reg.objects[0].flags, OBJECT_USED | OBJECT_ALIASED);
	cr_assert_eq(reg.objects[0].site, 2);
	cr_assert_eq(reg.objects[0].ino, 7);
	cr_assert_eq(reg.objects[1].size, 8192);
}

Test(tool_registry_read, leaves_out_objects_that_make_no_sense)
{
	fake_object(&fake, 0, 1)->at = 5;
	fake_object(&fake, 0, 1)->size = UINT64_MAX;
	fake_object(&fake, OBJECT_ALIASED, 9999);
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.bad, 3);
	cr_assert_eq(reg.nobjects, 1);
	cr_assert_eq(reg.objects[0].site, 0);
}

Test(tool_registry_read, says_which_version_it_met)
{
	fake.head.version = 9;
	cr_assert_eq(read_fake(), -EBADMSG);
	cr_assert_str_eq(reg.why, "its version is 9 and this tool reads 3");
}

/* The heap is read first and would be there, unchecked. */
Test(tool_registry_read, leaves_nothing_behind_that_was_not_checked)
{
	fake_cache(&fake, fake_arena(&fake, 1, 0, 1), 1)->arena = UINT32_MAX;
	fake_account(&fake, UINT32_MAX, 1);
	fake_object(&fake, 0, UINT32_MAX);
	fake.head.table[REGISTRY_SITES].chunk[0] = 0x1234;
	cr_assert_eq(read_fake(), -EBADMSG);
	cr_assert_eq(reg.narenas + reg.ncaches + reg.naccounts, 0);
	cr_assert_eq(reg.nobjects, 0);
	cr_assert_eq(reg.nregions, 0);
	cr_assert_neq(reg.why[0], '\0');
}

Test(tool_registry_read, passes_errors_of_the_memory_on)
{
	fake.memory.error = -EPERM;
	cr_assert_eq(read_fake(), -EPERM);
	registry_destroy(&reg);
	fake.memory.error = -ESRCH;
	cr_assert_eq(read_fake(), -ESRCH);
}

Test(tool_registry_read, leaves_out_regions_that_make_no_sense)
{
	fake_region(&fake, 30, 20, 1);
	fake_region(&fake, 40, 41, 9999);
	fake_region(&fake, 42, 43, 1)->start += 5;
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.nregions, 3);
	cr_assert_eq(reg.bad, 3);
}

Test(tool_registry_read, leaves_out_regions_that_overlap)
{
	fake_region(&fake, 2, 6, 1);
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.overlaps, 1);
	cr_assert_eq(reg.nregions, 3);
	for (uint64_t i = 1; i < reg.nregions; i++)
		cr_assert_geq(reg.regions[i].start, reg.regions[i - 1].end);
}

Test(tool_registry_read, mends_indexes_that_lead_nowhere)
{
	fake.sites[1].owner = 5000;
	fake.sites[1].kind = 99;
	fake.sites[2].frames = UINT32_MAX;
	fake.sites[2].nframes = 200;
	fake.regions[0][1].own_name = UINT32_MAX;
	cr_assert_eq(read_fake(), 0);
	cr_assert_eq(reg.bad, 4);
	cr_assert_eq(reg.sites[1].owner, 0);
	cr_assert_eq(reg.sites[1].kind, KIND_NONE);
	cr_assert_eq(reg.sites[2].nframes, 0);
}

Test(tool_registry_read, ends_the_last_string)
{
	struct registry_table *table = &fake.head.table[REGISTRY_STRINGS];
	uint64_t last;

	memset(fake.strings + table->count, 'x', 4);
	last = table->count;
	table->count += 4;
	cr_assert_eq(read_fake(), 0);
	cr_assert_str_eq(registry_string(&reg, last), "xxx");
}

/* A writer that is at work during the first reads and then rests. */
static void write_a_while(struct fake_space *space)
{
	if (space->reads < 12)
		fake.head.generation++;
	else if (fake.head.generation % 2 != 0)
		fake.head.generation++;
}

Test(tool_registry_read, takes_a_torn_copy_again)
{
	fake.memory.before = write_a_while;
	cr_assert_eq(read_fake(), 0);
	cr_assert_not(reg.torn);
	cr_assert_eq(reg.head.generation % 2, 0);
	cr_assert_eq(reg.nregions, 3);
}

static void write_always(struct fake_space *space)
{
	(void)space;
	fake.head.generation += 2;
}

Test(tool_registry_read, gives_up_on_a_writer_without_rest)
{
	fake.memory.before = write_always;
	cr_assert_eq(read_fake(), 0);
	cr_assert(reg.torn);
	cr_assert_eq(reg.nregions, 3);
}

Test(tool_registry_read, marks_a_copy_of_a_writer_that_died_at_work)
{
	fake.head.generation = 7;
	cr_assert_eq(read_fake(), 0);
	cr_assert(reg.torn);
}

Test(tool_registry_read, tells_whether_regions_have_changed_since)
{
	cr_assert_eq(read_fake(), 0);
	cr_assert_not(registry_moved(&reg, &fake.memory.space));
	fake.head.generation += 2;
	cr_assert(registry_moved(&reg, &fake.memory.space));
}

Test(tool_registry_read, knows_a_head_by_its_own_address)
{
	cr_assert(registry_is_head(&fake.memory.space, FAKE_HEAD));
	cr_assert_not(registry_is_head(&fake.memory.space, FAKE_HEAD + 8));
	fake.head.self = 1;
	cr_assert_not(registry_is_head(&fake.memory.space, FAKE_HEAD));
}

static uint32_t damage(uint32_t seed, void *bytes, size_t size)
{
	seed = seed * 1103515245 + 12345;
	((char *)bytes)[(seed >> 8) % size] ^= (char)(seed >> 24);
	return seed;
}

static void check_bounds(void)
{
	for (uint64_t i = 0; i < reg.nregions; i++)
		cr_assert(reg.regions[i].site == 0 ||
			  reg.regions[i].site < reg.nsites);
	for (uint64_t i = 1; i < reg.narenas; i++)
		cr_assert(reg.arenas[i].site == 0 ||
			  reg.arenas[i].site < reg.nsites);
	for (uint64_t i = 0; i < reg.ncaches; i++)
		cr_assert(reg.caches[i].arena < reg.narenas);
	for (uint64_t i = 0; i < reg.naccounts; i++)
		cr_assert(reg.accounts[i].site < reg.nsites);
}

/* Random damage anywhere: any answer will do, but an answer, and in bounds. */
Test(tool_registry_read, survives_random_damage)
{
	uint32_t seed = 1;

	for (int round = 0; round < 3000; round++) {
		build();
		for (uint32_t i = 1; i < 4; i++) {
			fake_cache(&fake, fake_arena(&fake, i % 3, 0, 9), 9);
			fake_account(&fake, i % 3, 9);
		}
		for (int hit = 0; hit < 4; hit++) {
			seed = damage(seed, &fake.head, sizeof(fake.head));
			seed = damage(seed, fake.sites, sizeof(fake.sites));
			seed = damage(seed, fake.regions[0], 160);
			seed = damage(seed, fake.arenas, 64);
			seed = damage(seed, fake.caches, 2752);
			seed = damage(seed, fake.accounts, 64);
		}
		fake.head.generation = 2; /* or each round would take 100 ms */
		if (read_fake() == 0)
			check_bounds();
		registry_destroy(&reg);
	}
}
