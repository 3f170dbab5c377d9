/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that threads do at once, in one program without Criterion, which
 * ThreadSanitizer cannot run.  Alone it only has to end; built with
 * --with-sanitizer=thread it has to end without a report.
 */
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/life.h"
#include "track/namer.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"
#include "track/stack.h"
#include "track/track.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define THREADS 6
#define TURNS 1000

static unsigned failures;

__attribute__((noinline, noclone)) static char *map(size_t pages)
{
	struct mmap_args a = {NULL,
			      pages * PAGE,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS,
			      -1,
			      0,
			      KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();

	return track_mmap(&a, &caller);
}

__attribute__((noinline, noclone)) static void map_and_unmap(size_t pages)
{
	char *p = map(pages);
	struct mremap_args m = {p, pages * PAGE, 2 * pages * PAGE,
				MREMAP_MAYMOVE, NULL};

	if (p == MAP_FAILED)
		return;
	track_set_name((unsigned long)p, PAGE, pages % 2 ? "odd" : "even");
	p = track_mremap(&m);
	if (p == MAP_FAILED || track_munmap(p, 2 * pages * PAGE))
		__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
}

static void *nothing(void *arg)
{
	return arg;
}

static void short_thread(void)
{
	struct unwind_start caller = {(uintptr_t)short_thread + 1, 0, 0};
	pthread_t thread;

	if (!stack_thread_create(&thread, NULL, nothing, NULL, &caller))
		pthread_join(thread, NULL);
}

static void *work(void *arg)
{
	uintptr_t me = (uintptr_t)arg;

	for (unsigned i = 0; i < TURNS; i++) {
		/* some stacks are everyone's, some are new */
		uintptr_t frames[2] = {(uintptr_t)work + 1,
				       0x230000000000 + i % 200 +
					       (i % 3 ? 0 : me * 1000)};

		map_and_unmap(1 + i % 7);
		if (!site_of_stack(KIND_MMAP, frames, 2))
			__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
		if (i % 50 == 0)
			short_thread();
	}
	return NULL;
}

int main(void)
{
	static char variable[] = "ANONSHIM_OPTIONS=naming=registry";
	char *envp[] = {variable, NULL};
	pthread_t threads[THREADS];

	config_init(envp);
	real_init();
	caps_init(namer_probe);
	if (life_start("test", ""))
		return 1;
	guard_ready = true;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, work, (void *)i);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (anonshim_registry->generation % 2)
		failures++;
	printf("%u failures, %lu calls lost\n", failures,
	       anonshim_registry->counters.lost);
	return failures != 0;
}
