/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Owners: whom a caller is counted to, and when that makes an arena.
 */
#include "test_heap_fixture.h"

#include "track/module.h"

#include <pthread.h>

#define SELF "test_heap_owner"
#define NOINLINE __attribute__((noinline, noclone, no_icf, used))

/* Functions that ask, in this program. */
static NOINLINE void asks(void)
{
	__asm__ volatile("nop; nop; nop; nop");
}

static NOINLINE void asks_much(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop");
}

static NOINLINE void xmalloc_here(void)
{
	__asm__ volatile("nop; nop; nop; nop; nop; nop");
}

#define ASKS ((uintptr_t)asks + 1)
#define ASKS_MUCH ((uintptr_t)asks_much + 1)

static void start(void)
{
	heap_started("naming=registry");
}

TestSuite(owner, .timeout = 60);

/* N blocks of SIZE for PC, kept; the last one's arena. */
static struct arena *hold(size_t size, size_t n, uintptr_t pc)
{
	struct arena *a = NULL;

	for (size_t i = 0; i < n; i++) {
		void *p = ask(size, pc);

		cr_assert_not_null(p);
		a = arena_at(p);
	}
	return a;
}

/* Until PC's blocks come out of an arena that is not FROM; how many. */
static size_t hold_until(size_t size, size_t most, uintptr_t pc,
			 const struct arena *from)
{
	for (size_t i = 0; i < most; i++)
		if (arena_at(ask(size, pc)) != from)
			return i;
	return most;
}

static struct place *place_of(uintptr_t pc)
{
	return caller_find(pc)->place;
}

static const char *owner_name(uintptr_t pc)
{
	return registry_text(registry_site_at(place_of(pc)->site)->owner);
}

Test(owner, a_caller_is_its_function_and_module, .init = start)
{
	const struct caller *c = caller_find(ASKS);
	uint32_t site = c->place->site;

	cr_assert_eq(c->pc, ASKS);
	cr_assert_not(c->wrapper);
	cr_assert_str_eq(owner_name(ASKS), SELF);
	cr_assert_str_eq(registry_text(registry_site_at(site)->symbol), "asks");
	cr_assert_eq(registry_site_at(site)->kind, KIND_HEAP);
	cr_assert_eq(caller_find(ASKS), c, "it stays");
}

Test(owner, functions_of_a_module_share_an_owner, .init = start)
{
	struct place *one = place_of(ASKS);

	cr_assert_eq(place_of(ASKS + 1), one, "two calls of one function");
	cr_assert_neq(place_of(ASKS_MUCH), one);
	cr_assert_eq(place_of(ASKS_MUCH)->owner, one->owner);
	cr_assert_neq(place_of(module_load(1))->owner, one->owner);
	cr_assert_str_eq(owner_name(module_load(2)), "libowner_2.so");
}

Test(owner, wrappers_are_told, .init = start)
{
	cr_assert(caller_find((uintptr_t)xmalloc_here + 1)->wrapper);
	cr_assert(caller_find(libc_function("strdup") + 1)->wrapper);
	cr_assert_not(caller_find(module_load(1))->wrapper);
}

Test(owner, nobody_owns_what_no_module_has, .init = start)
{
	const struct caller *c = caller_find(0x1234);

	cr_assert_not_null(c);
	cr_assert_not_null(ask(100, 0x1234));
}

/* Busy, as in the shim's own calls, nothing is learnt; yet there is memory. */
Test(owner, nothing_is_learnt_while_busy, .init = start)
{
	guard_enter();
	cr_assert_neq(caller_find(ASKS)->pc, ASKS);
	cr_assert_eq(arena_at(ask(100, ASKS)), arena_shared);
	guard_leave();
	cr_assert_eq(caller_find(ASKS)->pc, ASKS);
}

Test(owner, a_module_in_place_of_another, .init = start)
{
	uintptr_t pc = module_load(1);
	const struct caller *c = caller_find(pc);
	Dl_info info;
	void *module;

	cr_assert(dladdr((void *)pc, &info));
	module = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
	cr_assert_not_null(module);
	dlclose(module);
	dlclose(module);
	module = dlopen(TEST_BUILD_DIR "/plugin.so", RTLD_NOW);
	if (dlsym(module, "plugin_bss") != (void *)pc)
		cr_skip_test("it is somewhere else");
	caller_find(ASKS); /* is new: modules are looked at again */
	cr_assert_str_eq(owner_name(pc), "libplugin.so.7");
	cr_assert_eq(caller_find(pc), c, "learnt again, in its place");
}

/* Owners' arenas ---------------------------------------------------------- */

Test(owner, begins_in_the_shared_arena, .init = start)
{
	cr_assert_eq(hold(KIB, 60, ASKS), arena_shared);
	cr_assert_eq(hold(KIB, 60, module_load(1)), arena_shared);
	cr_assert_str_eq(owner_of(arena_shared), "small owners");
}

Test(owner, gets_an_arena_past_64_kib, .init = start)
{
	uintptr_t pc = module_load(1);
	size_t n = hold_until(KIB, 200, ASKS, arena_shared);
	struct arena *a = arena_at(ask(KIB, ASKS));

	cr_assert(n >= 64 && n < 72, "after %zu KiB", n);
	cr_assert_str_eq(owner_of(a), SELF);
	cr_assert_eq(a->record->flags, 0);
	cr_assert_eq(arena_at(ask(KIB, ASKS_MUCH)), a, "all its functions");
	cr_assert_eq(arena_at(ask(MIB, ASKS)), a, "large ones too");
	cr_assert_eq(arena_at(ask(KIB, pc)), arena_shared, "nobody else");
}

Test(owner, its_functions_count_together, .init = start)
{
	cr_assert_eq(hold(KIB, 50, ASKS), arena_shared);
	cr_assert_lt(hold_until(KIB, 100, ASKS_MUCH, arena_shared), 24);
}

Test(owner, large_blocks_count, .init = start)
{
	cr_assert_eq(hold(100 * KIB, 1, ASKS), arena_shared);
	cr_assert_neq(hold(100, 1, ASKS_MUCH), arena_shared);
}

Test(owner, what_is_freed_does_not_count, .init = start)
{
	for (unsigned turn = 0; turn < 100; turn++) {
		void *had[50];

		for (unsigned i = 0; i < 50; i++) {
			had[i] = ask(KIB, ASKS);
			cr_assert_eq(arena_at(had[i]), arena_shared);
		}
		for (unsigned i = 0; i < 50; i++)
			drop(had[i]);
	}
	cr_assert_eq(live_accounts(NULL), 0);
}

Test(owner, gets_an_arena_past_20000_asks, .init = start)
{
	unsigned n = 0;
	void *p = ask(16, ASKS);

	while (arena_at(p) == arena_shared && n < 30000) {
		drop(p);
		p = ask(16, ASKS);
		n++;
	}
	cr_assert(n >= 19990 && n <= 20010, "after %u", n);
	cr_assert_str_eq(owner_of(arena_at(p)), SELF);
}

/* With 16 MiB in use a 64th of all is 256 KiB. */
Test(owner, gets_an_arena_past_a_64th_of_all, .init = start)
{
	uintptr_t pc = module_load(1);
	size_t n;

	hold(16 * KIB, 1024, ASKS);
	n = hold_until(KIB, 1000, pc, arena_shared);
	cr_assert(n >= 256 && n < 280, "after %zu KiB", n);
	cr_assert_str_eq(owner_of(arena_at(ask(KIB, pc))), "libowner_1.so");
}

Test(owner, what_was_given_out_stays, .init = start)
{
	char *had[64];

	for (unsigned i = 0; i < 64; i++) {
		had[i] = ask(KIB, ASKS);
		memset(had[i], (int)i, KIB);
	}
	hold_until(KIB, 200, ASKS, arena_shared);
	for (unsigned i = 0; i < 64; i++) {
		cr_assert_eq(arena_at(had[i]), arena_shared);
		cr_assert_eq(had[i][0], (char)i);
		cr_assert_eq(had[i][KIB - 1], (char)i);
		drop(had[i]);
	}
}

/* More owners than there are arenas: the last share. */
Test(owner, without_an_arena_left, .init = start)
{
	unsigned shared = 0;

	for (unsigned i = 0; i < ARENAS_MAX + 4; i++) {
		uintptr_t pc = module_load(i);
		struct arena *a;

		hold(200 * KIB, 2, pc);
		a = arena_at(ask(KIB, pc));
		if (a == arena_shared)
			shared++;
		else
			cr_assert_str_eq(owner_of(a), owner_name(pc));
	}
	cr_assert_eq(shared, ARENAS_MAX + 4 - (ARENAS_MAX - 2));
}

/* Sites' arenas ----------------------------------------------------------- */

#define BLOCK (4 * KIB)
#define BLOCKS_OF(bytes) ((bytes) / BLOCK)

/* A site of a large owner; the owner's arena. */
static struct arena *large_owner(void)
{
	hold_until(KIB, 200, ASKS, arena_shared);
	return arena_at(ask(KIB, ASKS));
}

Test(owner, a_site_gets_an_arena_past_16_mib, .init = start)
{
	struct arena *of_owner = large_owner();
	size_t n = hold_until(BLOCK, BLOCKS_OF(32 * MIB), ASKS_MUCH, of_owner);
	struct arena *a = arena_at(ask(BLOCK, ASKS_MUCH));

	cr_assert(n >= BLOCKS_OF(15 * MIB) && n < BLOCKS_OF(17 * MIB),
		  "after %zu KiB", n * BLOCK / KIB);
	cr_assert_str_eq(owner_of(a), SELF);
	cr_assert_str_eq(symbol_of(a), "asks_much");
	cr_assert_eq(arena_at(ask(BLOCK, ASKS)), of_owner, "nobody else");
}

/* With 320 MiB in use an eighth of all is 40 MiB. */
Test(owner, a_site_gets_an_arena_past_an_eighth, .init = start)
{
	struct arena *of_owner = large_owner();
	uintptr_t pc = module_load(1);
	size_t n;

	hold(20 * MIB, 16, pc);
	n = hold_until(BLOCK, BLOCKS_OF(64 * MIB), ASKS_MUCH, of_owner);
	cr_assert(n >= BLOCKS_OF(38 * MIB) && n < BLOCKS_OF(50 * MIB),
		  "after %zu KiB", n * BLOCK / KIB);
}

Test(owner, no_site_gets_one_with_heap_owner)
{
	struct arena *of_owner;

	heap_started("naming=registry,heap=owner");
	of_owner = large_owner();
	cr_assert_eq(hold(BLOCK, BLOCKS_OF(40 * MIB), ASKS_MUCH), of_owner);
}

Test(owner, sites_get_one_early_with_heap_site)
{
	struct arena *of_owner;
	size_t n;

	heap_started("naming=registry,heap=site");
	of_owner = large_owner();
	n = hold_until(BLOCK, BLOCKS_OF(16 * MIB), ASKS_MUCH, of_owner);
	cr_assert(n >= BLOCKS_OF(MIB) * 7 / 8 && n < BLOCKS_OF(2 * MIB),
		  "after %zu KiB", n * BLOCK / KIB);
}

/* Sites leave arenas to the owners: a quarter of all is theirs at most. */
Test(owner, sites_do_not_take_all_arenas)
{
	uintptr_t pc;
	struct arena *of_owner;
	unsigned own = 0;

	heap_started("naming=registry,heap=site");
	pc = module_load(1);
	hold(64 * KIB, 2, pc);
	of_owner = arena_at(ask(KIB, pc));
	cr_assert_neq(of_owner, arena_shared);
	for (unsigned i = 1; i < ARENAS_MAX + 4; i++)
		own += hold(BLOCK, BLOCKS_OF(4 * MIB), pc + i * 64) != of_owner;
	cr_assert_gt(own, 8u);
	cr_assert_leq(own, ARENAS_MAX * 3u / 4);
	pc = module_load(2);
	hold(4 * MIB, 8, pc);
	cr_assert_str_eq(owner_of(arena_at(ask(KIB, pc))), "libowner_2.so");
}

/* Accounts ---------------------------------------------------------------- */

#define LIVE 2000

/* At any time the accounts add up to what is live in the shared arena. */
Test(owner, accounts_add_up, .init = start)
{
	static void *had[LIVE];
	uintptr_t pcs[4] = {ASKS, ASKS_MUCH, module_load(1), module_load(2)};
	uint64_t state = 11;

	for (unsigned i = 0; i < 20000; i++) {
		unsigned k = (unsigned)(draw(&state) % LIVE);
		size_t size = (size_t)(draw(&state) % 300);

		drop(had[k]);
		had[k] = i % 500 ? ask(size, pcs[i % 4])
				 : ask(size * KIB, pcs[i % 4]);
		if (i % 100 == 0)
			cr_assert_eq(live_accounts(NULL), live_of(arena_shared),
				     "turn %u", i);
	}
	for (unsigned k = 0; k < LIVE; k++)
		drop(had[k]);
	cr_assert_eq(live_accounts(NULL), 0);
	cr_assert_eq(live_all(), 0);
}

Test(owner, accounts_tell_whose, .init = start)
{
	uintptr_t pc = module_load(1);
	void *of_other = ask(1000, pc);
	void *of_self = ask(30, ASKS);

	cr_assert_eq(live_accounts("libowner_1.so"), 1024);
	cr_assert_eq(live_accounts(SELF), 32);
	drop(of_other);
	cr_assert_eq(live_accounts("libowner_1.so"), 0);
	cr_assert_eq(live_accounts(SELF), 32);
	drop(of_self);
}

Test(owner, accounts_follow_realloc, .init = start)
{
	struct unwind_start other = asker(module_load(1));
	char *p = ask(MIB, ASKS);

	cr_assert_eq(live_accounts(SELF), MIB);
	p = heap_realloc(p, 512 * KIB, &other);
	cr_assert_eq(live_accounts(NULL), live_of(arena_shared));
	p = heap_realloc(p, 100, &other);
	cr_assert_eq(live_accounts(SELF), 0);
	cr_assert_eq(live_accounts("libowner_1.so"), 112);
	p = heap_realloc(p, 112, &other);
	cr_assert_eq(live_accounts(NULL), live_of(arena_shared));
	heap_free(p);
	cr_assert_eq(live_accounts(NULL), 0);
}

/* At once ----------------------------------------------------------------- */

#define THREADS 4

static uintptr_t base;

/* Callers known and new, owners that grow out of the shared arena. */
static void *ask_much(void *arg)
{
	uint64_t state = (uintptr_t)arg;
	void *had[64] = {NULL};

	for (unsigned i = 0; i < 30000; i++) {
		unsigned k = (unsigned)(draw(&state) % 64);
		uintptr_t pc = base + draw(&state) % 3000;

		drop(had[k]);
		had[k] = ask(16 + draw(&state) % 3000, pc);
		if (!had[k] || caller_find(pc)->pc != pc)
			return arg;
	}
	for (unsigned k = 0; k < 64; k++)
		drop(had[k]);
	return NULL;
}

#define ROUNDS 40

static uintptr_t pcs[ROUNDS];
static pthread_barrier_t barrier;

static void *ask_together(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		pthread_barrier_wait(&barrier);
		ask(100 * KIB, pcs[i]);
		ask(KIB, pcs[i]);
	}
	return arg;
}

/* Of many who find an owner large at the same time one makes its arena. */
Test(owner, promoted_once, .init = start)
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < ROUNDS; i++)
		pcs[i] = module_load(i);
	hold(10 * KIB, 1, ASKS);
	pthread_barrier_init(&barrier, NULL, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, ask_together, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 2; i < ARENAS_MAX && arenas[i]; i++)
		for (unsigned k = 2; k < i; k++)
			cr_assert_neq(arenas[i]->site, arenas[k]->site);
	cr_assert_not_null(arenas[ROUNDS / 2]);
}

Test(owner, learnt_and_promoted_at_once, .init = start)
{
	pthread_t threads[THREADS];

	base = module_load(1);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, ask_much, (void *)(i + 1));
	for (unsigned i = 0; i < THREADS; i++) {
		void *wrong;

		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
	cr_assert_not_null(arenas[2]);
	cr_assert_null(arenas[3], "one arena an owner");
	cr_assert_eq(live_all(), 0);
	cr_assert_eq(live_accounts(NULL), 0);
}
