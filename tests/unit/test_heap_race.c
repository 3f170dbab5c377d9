/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that threads do with the heap at once, in one program without
 * Criterion, which ThreadSanitizer cannot run.  Alone it only has to end with
 * every block as it was left; built with --with-sanitizer=thread it has to end
 * without a report: jemalloc is not instrumented, but its locks are libc's, so
 * that what goes through it is seen to be in order.
 */
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "heap/cache.h"
#include "heap/heap.h"
#include "track/life.h"
#include "track/namer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define THREADS 4
#define TURNS 30000
#define LIVE 200
#define SHELF 64
#define MODULES 3

struct block {
	size_t size;
	unsigned char mark;
	unsigned char rest[];
};

static unsigned failures;
static struct block *shelf[SHELF];
static uintptr_t base[MODULES];

static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ z >> 27;
}

static void wrong(void)
{
	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
}

static void *ask(size_t size, uintptr_t pc)
{
	struct unwind_start caller = {.pc = pc};
	void *p = cache_pop(size, pc);

	return p ? p : heap_alloc(size, HEAP_ALIGN, false, &caller);
}

static void drop(void *p)
{
	if (!cache_push(p))
		heap_free(p);
}

static bool intact(const struct block *b)
{
	return b->rest[0] == b->mark &&
	       b->rest[b->size - sizeof(*b) - 1] == b->mark;
}

static struct block *fill(struct block *b, size_t size, unsigned char mark)
{
	if (!b) {
		wrong();
		return NULL;
	}
	b->size = size;
	b->mark = mark;
	memset(b->rest, mark, size - sizeof(*b));
	return b;
}

static size_t some_size(uint64_t *state)
{
	uint64_t z = draw(state);
	size_t most = z % 64 ? z % 8 ? 400 : 20000 : 300000;

	return 32 + (size_t)(draw(state) % most);
}

/* Known callers, and new ones now and then. */
static uintptr_t some_caller(uint64_t *state)
{
	uint64_t z = draw(state);

	return base[z % MODULES] + (z >> 8) % (z % 50 ? 8 : 2000);
}

static struct block *make(uint64_t *state)
{
	size_t size = some_size(state);

	return fill(ask(size, some_caller(state)), size,
		    (unsigned char)draw(state));
}

static struct block *change(struct block *b, uint64_t *state)
{
	struct unwind_start caller = {.pc = some_caller(state)};
	size_t size = some_size(state);
	unsigned char mark = b->mark;

	b = heap_realloc(b, size, &caller);
	if (!b || b->mark != mark || b->rest[0] != mark)
		wrong();
	return fill(b, size, mark);
}

static struct block *step(struct block *b, uint64_t *state)
{
	unsigned what = (unsigned)(draw(state) % 16);

	if (!b)
		return make(state);
	if (!intact(b))
		wrong();
	if (what == 0)
		return change(b, state);
	if (what < 5)
		return __atomic_exchange_n(&shelf[draw(state) % SHELF], b,
					   __ATOMIC_ACQ_REL);
	drop(b);
	return NULL;
}

static void *work(void *arg)
{
	struct block *had[LIVE] = {NULL};
	uint64_t state = (uintptr_t)arg;

	for (unsigned i = 0; i < TURNS; i++) {
		unsigned k = (unsigned)(draw(&state) % LIVE);

		had[k] = step(had[k], &state);
		if (i % 5000 == 4999)
			heap_trim();
		if (i % 1000 == 0)
			heap_totals();
	}
	for (unsigned k = 0; k < LIVE; k++)
		if (had[k])
			drop(had[k]);
	return NULL;
}

/* One generation of threads after the other, so that heaps change hands. */
static void generations(void)
{
	for (unsigned n = 0; n < 3; n++) {
		pthread_t threads[THREADS];

		for (uintptr_t i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, work,
				       (void *)(n * THREADS + i + 1));
		for (unsigned i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	for (unsigned i = 0; i < SHELF; i++)
		if (shelf[i])
			drop(shelf[i]);
}

static bool start(void)
{
	static char variable[] = "ANONSHIM_OPTIONS=naming=registry,heap=site";
	static const char *const modules[MODULES - 1] = {"libm.so.6",
							 "libresolv.so.2"};
	char *envp[] = {variable, NULL};

	base[0] = (uintptr_t)&failures;
	for (unsigned i = 1; i < MODULES; i++) {
		void *module = dlopen(modules[i - 1], RTLD_NOW);

		base[i] = (uintptr_t)dlsym(module, i == 1 ? "cos"
							  : "ns_name_"
							    "pton");
	}
	config_init(envp);
	real_init();
	caps_init(namer_probe);
	if (life_start("test", ""))
		return false;
	guard_ready = true;
	return !heap_start();
}

int main(void)
{
	if (!start())
		return 1;
	generations();
	caches_trim();
	if (!arenas[MODULES + 1])
		wrong(); /* not each module had an arena */
	printf("%u failures, %zu bytes lost\n", failures, heap_totals().held);
	return failures || heap_totals().held;
}
