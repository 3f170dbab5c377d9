/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Thread stacks: found and named by the thread that runs on one.
 */
#include "env/caps.h"
#include "env/guard.h"
#include "support.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"
#include "track/stack.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Set by hand: the interposers are not here to look at it. */
static void start_with(const char *options)
{
	shim_start(options);
	guard_ready = true;
}

static void start(void)
{
	start_with("naming=registry");
}

static int create(pthread_t *thread, const pthread_attr_t *attr,
		  void *(*routine)(void *), void *arg)
{
	struct unwind_start caller = UNWIND_CALLER();

	return stack_thread_create(thread, attr, routine, arg, &caller);
}

struct seen {
	struct registry_region region;
	bool found;
	uintptr_t frame;
	uint32_t tid;
	uintptr_t low;
	uintptr_t high;
};

static void *look_around(void *arg)
{
	struct seen *s = arg;
	const struct registry_region *r;
	pthread_attr_t attr;
	void *addr;
	size_t bytes;

	s->frame = (uintptr_t)__builtin_frame_address(0);
	s->tid = (uint32_t)gettid();
	pthread_getattr_np(pthread_self(), &attr);
	pthread_attr_getstack(&attr, &addr, &bytes);
	pthread_attr_destroy(&attr);
	s->low = (uintptr_t)addr;
	s->high = s->low + bytes;
	r = region_at(s->frame);
	s->found = !!r;
	if (r)
		s->region = *r;
	return arg;
}

static struct seen run(const pthread_attr_t *attr)
{
	struct seen s = {0};
	pthread_t thread;
	void *result;

	cr_assert_eq(create(&thread, attr, look_around, &s), 0);
	pthread_join(thread, &result);
	cr_assert_eq(result, &s);
	return s;
}

static void assert_stack(const struct seen *s)
{
	const struct registry_site *site;

	cr_assert(s->found);
	site = registry_site_at(s->region.site);
	cr_assert_eq(site->kind, KIND_STACK);
	cr_assert_str_eq(registry_text(site->symbol), "look_around");
	cr_assert_str_eq(registry_text(site->owner), "test_stack");
	cr_assert_eq(s->region.tid, s->tid);
	cr_assert_leq(s->region.start, s->low);
	cr_assert_geq(s->region.end, s->high);
	cr_assert_null(region_at(s->frame), "released at its end");
}

Test(stack, of_a_thread_with_no_attributes, .init = start)
{
	struct seen s = run(NULL);

	assert_stack(&s);
	/* the guard page below belongs to it */
	cr_assert_lt(s.region.start, s.low);
}

Test(stack, of_a_given_size, .init = start)
{
	for (size_t pages = 16; pages < 200; pages += 37)
		for (size_t guard_pages = 0; guard_pages < 3; guard_pages++) {
			pthread_attr_t attr;
			struct seen s;

			pthread_attr_init(&attr);
			pthread_attr_setstacksize(&attr, pages * PAGE);
			pthread_attr_setguardsize(&attr, guard_pages * PAGE);
			s = run(&attr);
			assert_stack(&s);
			cr_assert_geq(s.region.end - s.region.start,
				      pages * PAGE);
		}
}

Test(stack, asked_of_proc_where_there_is_no_query)
{
	struct seen s;

	start_with("naming=registry,assume=procmap=0");
	s = run(NULL);
	assert_stack(&s);
}

Test(stack, without_files)
{
	struct seen s;

	start_with("naming=registry,assume=files=0");
	s = run(NULL);
	cr_assert(s.found);
	cr_assert_eq(s.region.tid, s.tid);
	cr_assert_null(region_at(s.frame));
}

Test(stack, provided_by_the_program_stays_its_mappings, .init = start)
{
	pthread_attr_t attr;
	struct seen s;
	struct region_tag tag = {.site = site_unknown};
	char *p = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	region_set((uintptr_t)p, (uintptr_t)p + 64 * PAGE, &tag);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, p, 64 * PAGE);
	s = run(&attr);
	cr_assert(s.found);
	cr_assert_eq(s.region.site, site_unknown);
	cr_assert_eq(s.region.tid, 0);
	cr_assert(region_at((uintptr_t)p), "and after the thread");
}

static void *exits(void *arg)
{
	look_around(arg);
	pthread_exit(arg);
}

Test(stack, released_by_pthread_exit, .init = start)
{
	struct seen s = {0};
	pthread_t thread;

	cr_assert_eq(create(&thread, NULL, exits, &s), 0);
	pthread_join(thread, NULL);
	cr_assert(s.found);
	cr_assert_null(region_at(s.frame));
}

static void *waits(void *arg)
{
	look_around(arg);
	for (;;)
		pause();
	return NULL;
}

Test(stack, released_when_cancelled, .init = start)
{
	struct seen s = {0};
	pthread_t thread;
	void *result;

	cr_assert_eq(create(&thread, NULL, waits, &s), 0);
	while (!__atomic_load_n(&s.found, __ATOMIC_ACQUIRE))
		sched_yield();
	pthread_cancel(thread);
	pthread_join(thread, &result);
	cr_assert_eq(result, PTHREAD_CANCELED);
	cr_assert_null(region_at(s.frame));
}

Test(stack, create_that_fails, .init = start)
{
	pthread_attr_t attr;
	pthread_t thread;
	struct seen s = {0};

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, (size_t)1 << 46);
	cr_assert_eq(create(&thread, &attr, look_around, &s), EAGAIN);
	s = run(NULL);
	assert_stack(&s);
}

Test(stack, without_memory_of_our_own_it_is_libcs_thread, .init = start)
{
	struct seen s;

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	s = run(NULL);
	fault_none();
	cr_assert(!s.found, "unnamed, but it ran");
}

static void *nothing(void *arg)
{
	return arg;
}

Test(stack, many_at_once, .init = start, .timeout = 60)
{
	static pthread_t threads[200];
	uint64_t left;

	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 200; i++)
			cr_assert_eq(create(&threads[i], NULL, nothing, NULL),
				     0);
		for (unsigned i = 0; i < 200; i++)
			pthread_join(threads[i], NULL);
	}
	left = 0;
	for (const struct registry_region *r = region_at_or_above(0); r;
	     r = region_at_or_above(r->end))
		left += r->tid != 0;
	cr_assert_eq(left, 0);
}
