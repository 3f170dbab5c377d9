/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each call that changes the address space, and what the map then holds:
 * always compared with the kernel's list, page by page.
 */
#include "base/procmaps.h"
#include "env/caps.h"
#include "env/guard.h"
#include "support.h"
#include "track/life.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/site.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Far from where the kernel puts things by itself. */
#define AREA ((uintptr_t)0x210000000000)
#define AREA_PAGES 64

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define SHARED (MAP_SHARED | MAP_ANONYMOUS)

static int file_fd;

static uintptr_t at(size_t page)
{
	return AREA + page * PAGE;
}

/* Its caller is the site. */
__attribute__((noinline, noclone)) static void *do_mmap(uintptr_t addr,
							size_t len, int flags)
{
	struct mmap_args a = {(void *)addr,
			      len,
			      PROT_READ | PROT_WRITE,
			      flags,
			      flags & MAP_ANONYMOUS ? -1 : file_fd,
			      0,
			      KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();

	return track_mmap(&a, &caller);
}

static void *do_mremap(uintptr_t old, size_t old_len, size_t new_len, int flags,
		       uintptr_t to)
{
	struct mremap_args a = {(void *)old, old_len, new_len, flags,
				(void *)to};

	return track_mremap(&a);
}

static bool anonymous_now[AREA_PAGES];

static void note_pages(const struct procmap_vma *vma, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < AREA_PAGES; i++)
		if (vma->start <= at(i) && at(i) < vma->end)
			anonymous_now[i] = procmap_anonymous(vma);
}

static void assert_exact(void)
{
	memset(anonymous_now, 0, sizeof(anonymous_now));
	cr_assert_eq(procmaps_read(note_pages, NULL), 0);
	for (size_t i = 0; i < AREA_PAGES; i++)
		cr_assert_eq(!!region_at(at(i)), anonymous_now[i], "page %zu",
			     i);
}

static uint32_t site_at(size_t page)
{
	const struct registry_region *r = region_at(at(page));

	return r ? r->site : 0;
}

static void start(void)
{
	shim_start("naming=registry");
	file_fd = memfd_create("test", 0);
	cr_assert(!ftruncate(file_fd, AREA_PAGES * PAGE));
}

Test(track, mmap_records_pages_and_site, .init = start)
{
	void *p = do_mmap(at(0), 3 * PAGE - 5, ANON | MAP_FIXED);
	const struct registry_region *r = region_at(at(2));

	cr_assert_eq(p, (void *)at(0));
	cr_assert(r && r->start == at(0) && r->end == at(3));
	cr_assert_eq(registry_site_at(r->site)->kind, KIND_MMAP);
	cr_assert_str_eq(registry_text(registry_site_at(r->site)->owner),
			 "test_track");
	assert_exact();
}

Test(track, a_failed_mmap_changes_nothing_and_keeps_errno, .init = start)
{
	uint64_t maps = anonshim_registry->counters.maps;

	errno = 0;
	cr_assert_eq(do_mmap(0, 0, ANON), MAP_FAILED);
	cr_assert_eq(errno, EINVAL);
	errno = 0;
	cr_assert_eq(do_mmap(0, SIZE_MAX / 2, ANON), MAP_FAILED);
	cr_assert_eq(errno, ENOMEM);
	cr_assert_eq(anonshim_registry->counters.maps, maps);
}

Test(track, success_keeps_errno, .init = start)
{
	errno = 4242;
	do_mmap(at(0), PAGE, ANON | MAP_FIXED);
	do_mremap(at(0), PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0);
	track_sbrk(0);
	track_munmap((void *)at(0), 2 * PAGE);
	cr_assert_eq(errno, 4242);
}

Test(track, a_file_over_anonymous_memory, .init = start)
{
	do_mmap(at(0), 8 * PAGE, ANON | MAP_FIXED);
	do_mmap(at(2), 3 * PAGE, MAP_PRIVATE | MAP_FIXED);
	assert_exact();
	cr_assert_null(region_at(at(3)));
	do_mmap(at(3), PAGE, SHARED | MAP_FIXED);
	assert_exact();
	cr_assert(region_at(at(3))->flags & REGION_SHARED);
}

Test(track, fixed_over_others_is_the_new_ones_site, .init = start)
{
	uint32_t before;

	do_mmap(at(0), 8 * PAGE, ANON | MAP_FIXED);
	before = site_at(3);
	do_mmap(at(3), PAGE, ANON | MAP_FIXED | MAP_NORESERVE);
	cr_assert_neq(site_at(3), 0);
	cr_assert_neq(site_at(3), before, "another call, another site");
	cr_assert_eq(site_at(2), before);
	assert_exact();
}

Test(track, partial_munmap_and_holes, .init = start)
{
	do_mmap(at(0), 8 * PAGE, ANON | MAP_FIXED);
	do_mmap(at(20), 8 * PAGE, ANON | MAP_FIXED);
	cr_assert_eq(track_munmap((void *)at(2), PAGE + 1), 0);
	assert_exact();
	cr_assert_eq(track_munmap((void *)at(0), AREA_PAGES * PAGE), 0);
	assert_exact();
	errno = 0;
	cr_assert_eq(track_munmap((void *)(at(0) + 1), PAGE), -1);
	cr_assert_eq(errno, EINVAL);
}

Test(track, mremap_in_place, .init = start)
{
	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED);
	cr_assert_eq(do_mremap(at(0), 4 * PAGE, 6 * PAGE, 0, 0), (void *)at(0));
	cr_assert_eq(site_at(5), site_at(0));
	assert_exact();
	cr_assert_eq(do_mremap(at(0), 6 * PAGE, 2 * PAGE, 0, 0), (void *)at(0));
	assert_exact();
	do_mmap(at(3), PAGE, ANON | MAP_FIXED);
	errno = 0;
	cr_assert_eq(do_mremap(at(0), 2 * PAGE, 9 * PAGE, 0, 0), MAP_FAILED);
	cr_assert_eq(errno, ENOMEM);
	assert_exact();
}

Test(track, mremap_moved_and_grown, .init = start)
{
	uint32_t site;
	char *to;

	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED);
	do_mmap(at(4), PAGE, ANON | MAP_FIXED);
	site = site_at(1);
	to = do_mremap(at(0), 4 * PAGE, 10 * PAGE, MREMAP_MAYMOVE, 0);
	cr_assert_neq(to, MAP_FAILED);
	assert_exact();
	for (size_t i = 0; i < 10; i++)
		cr_assert_eq(region_at((uintptr_t)to + i * PAGE)->site, site);
}

Test(track, mremap_fixed_over_others, .init = start)
{
	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED);
	do_mmap(at(10), 20 * PAGE, SHARED | MAP_FIXED);
	cr_assert_eq(do_mremap(at(0), 4 * PAGE, 4 * PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, at(12)),
		     (void *)at(12));
	assert_exact();
	cr_assert_eq(region_at(at(13))->flags, 0);
	cr_assert_eq(region_at(at(16))->flags, REGION_SHARED);
	cr_assert_eq(do_mremap(at(12), 2 * PAGE, PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, at(40)),
		     (void *)at(40));
	assert_exact();
}

Test(track, mremap_dontunmap_leaves_both, .init = start)
{
	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED);
	cr_assert_eq(do_mremap(at(0), 4 * PAGE, 4 * PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP,
			       at(10)),
		     (void *)at(10));
	assert_exact();
	cr_assert_eq(site_at(0), site_at(10));
}

Test(track, mremap_of_length_0_is_an_alias, .init = start)
{
	do_mmap(at(0), 4 * PAGE, SHARED | MAP_FIXED);
	cr_assert_eq(do_mremap(at(0), 0, 4 * PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, at(10)),
		     (void *)at(10));
	assert_exact();
	cr_assert(region_at(at(10))->flags & REGION_SHARED);
}

/* The alias covers the object, not what is at the old place now. */
Test(track, an_alias_of_an_object_that_is_half_covered, .init = start)
{
	do_mmap(at(0), 4 * PAGE, SHARED | MAP_FIXED);
	do_mmap(at(2), PAGE, MAP_PRIVATE | MAP_FIXED);
	cr_assert_eq(do_mremap(at(0), 0, 4 * PAGE,
			       MREMAP_MAYMOVE | MREMAP_FIXED, at(10)),
		     (void *)at(10));
	assert_exact();
}

Test(track, a_private_mapping_has_no_alias, .init = start)
{
	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED);
	errno = 0;
	cr_assert_eq(do_mremap(at(0), 0, 4 * PAGE, MREMAP_MAYMOVE, 0),
		     MAP_FAILED);
	cr_assert_eq(errno, EINVAL);
	assert_exact();
}

/*
 * Since Linux 6.17 several VMAs move at once, and holes between them leave
 * what is at the target; before, the call fails, and may have unmapped the
 * target first.  The map must agree with either.
 */
Test(track, mremap_of_several_vmas_and_holes, .init = start)
{
	do_mmap(at(0), 6 * PAGE, ANON | MAP_FIXED);
	track_munmap((void *)at(1), PAGE);
	do_mmap(at(3), PAGE, MAP_PRIVATE | MAP_FIXED);
	do_mmap(at(20), 10 * PAGE, ANON | MAP_FIXED);
	do_mremap(at(0), 6 * PAGE, 6 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		  at(21));
	assert_exact();
}

/* Nothing at the old place: the target may be gone all the same. */
Test(track, a_failed_mremap_may_unmap_its_target, .init = start)
{
	do_mmap(at(0), 2 * PAGE, ANON | MAP_FIXED);
	do_mmap(at(20), 10 * PAGE, ANON | MAP_FIXED);
	do_mremap(at(0), 6 * PAGE, 5 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		  at(21));
	assert_exact();
	do_mremap(at(50), PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at(25));
	assert_exact();
}

Test(track, mremap_with_ragged_lengths, .init = start)
{
	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED);
	do_mremap(at(0), 3 * PAGE + 1, 5 * PAGE - 7,
		  MREMAP_MAYMOVE | MREMAP_FIXED, at(10));
	assert_exact();
}

Test(track, populated_memory_is_recorded_too, .init = start)
{
	char *p = do_mmap(0, 4 * PAGE, ANON | MAP_POPULATE);

	cr_assert_neq(p, MAP_FAILED);
	cr_assert(region_at((uintptr_t)p));
	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED | MAP_POPULATE);
	assert_exact();
}

Test(track, a_stack_by_its_flag, .init = start)
{
	do_mmap(at(0), 4 * PAGE, ANON | MAP_FIXED | MAP_STACK);
	cr_assert_eq(registry_site_at(site_at(0))->kind, KIND_STACK);
}

static const struct registry_region *brk_region(void)
{
	const struct registry_region *r = NULL;

	for (uintptr_t a = 0; (r = region_at_or_above(a)); a = r->end)
		if (r->flags & REGION_BRK)
			return r;
	return NULL;
}

Test(track, brk_and_sbrk_follow_the_heaps_end, .init = start)
{
	uintptr_t end;

	end = (uintptr_t)track_sbrk(5 * PAGE + 3) + 5 * PAGE + 3;
	cr_assert(brk_region());
	cr_assert_eq(brk_region()->end, (end + PAGE - 1) / PAGE * PAGE);
	cr_assert_eq(track_brk((void *)(end - 2 * PAGE)), 0);
	cr_assert_eq(brk_region()->end,
		     (end - 2 * PAGE + PAGE - 1) / PAGE * PAGE);
	cr_assert_eq(track_brk((void *)(UINTPTR_MAX / 4)), -1);
	cr_assert_eq(errno, ENOMEM);
}

static const char *own_name_at(size_t page)
{
	return registry_text(region_at(at(page))->own_name);
}

/* Here the kernel refuses names (EINVAL), or takes them: the same record. */
Test(track, names_by_the_program_are_recorded, .init = start)
{
	do_mmap(at(0), 8 * PAGE, ANON | MAP_FIXED);
	track_set_name(at(2), 2 * PAGE, "the program's");
	cr_assert_str_eq(own_name_at(2), "the program's");
	cr_assert_str_eq(own_name_at(3), "the program's");
	cr_assert_str_eq(own_name_at(1), "");
	cr_assert_str_eq(own_name_at(4), "");
	assert_exact();
	track_set_name(at(2), PAGE, NULL);
	cr_assert_str_eq(own_name_at(2), "");
	cr_assert_str_eq(own_name_at(3), "the program's");
}

Test(track, bad_names_are_not_recorded, .init = start)
{
	static const char bad_char[] = "a$b";
	char longest[100];

	do_mmap(at(0), 8 * PAGE, ANON | MAP_FIXED);
	memset(longest, 'x', sizeof(longest));
	longest[99] = '\0';
	cr_assert_eq(track_set_name(at(0), PAGE, bad_char), -1);
	cr_assert_eq(track_set_name(at(0), PAGE, longest), -1);
	cr_assert_eq(track_set_name(at(0) + 1, PAGE, "fine"), -1);
	cr_assert_eq(track_set_name(at(0), PAGE, (const char *)16), -1);
	cr_assert_eq(errno, caps.names ? EFAULT : EINVAL);
	for (size_t i = 0; i < 8; i++)
		cr_assert_str_eq(own_name_at(i), "");
}

/* A name that ends with the last byte before unmapped memory. */
Test(track, a_name_at_the_end_of_its_page, .init = start)
{
	char *p = do_mmap(at(30), 2 * PAGE, ANON | MAP_FIXED);
	char *name = p + PAGE - sizeof("edge");

	track_munmap(p + PAGE, PAGE);
	memcpy(name, "edge", sizeof("edge"));
	do_mmap(at(0), PAGE, ANON | MAP_FIXED);
	track_set_name(at(0), PAGE, name);
	cr_assert_str_eq(own_name_at(0), "edge");
}

Test(track, names_move_with_their_pages, .init = start)
{
	do_mmap(at(0), 8 * PAGE, ANON | MAP_FIXED);
	track_set_name(at(2), 2 * PAGE, "mine");
	do_mremap(at(2), 2 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		  at(20));
	for (size_t i = 20; i < 23; i++)
		cr_assert_str_eq(own_name_at(i), "mine");
	do_mmap(at(21), PAGE, ANON | MAP_FIXED);
	cr_assert_str_eq(own_name_at(21), "", "replaced");
}

Test(track, stacks_come_and_go, .init = start)
{
	do_mmap(at(0), 8 * PAGE, ANON | MAP_FIXED);
	track_stack(at(0), at(8), site_unknown, 77);
	cr_assert_eq(region_at(at(1))->tid, 77);
	track_stack_release(at(0), at(8), 78);
	cr_assert(region_at(at(1)), "another thread's is left alone");
	track_stack_release(at(0), at(8), 77);
	cr_assert_null(region_at(at(1)));
}

Test(track, signals_and_guard_are_as_before, .init = start)
{
	sigset_t before = {0}; /* the kernel fills 8 bytes of it */
	sigset_t after = {0};

	sigprocmask(SIG_SETMASK, NULL, &before);
	do_mmap(at(0), PAGE, ANON | MAP_FIXED);
	do_mmap(0, 0, ANON);
	track_munmap((void *)at(0), PAGE);
	sigprocmask(SIG_SETMASK, NULL, &after);
	cr_assert(!memcmp(&before, &after, sizeof(before)));
	cr_assert(!guard.busy);
}

static pthread_barrier_t barrier;

/* Holds the map's lock between two barriers. */
static void *hold(void *arg)
{
	region_lock_take();
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	region_lock_drop();
	return arg;
}

/* The map's lock is not to be had: the call is done, the record mended. */
Test(track, without_the_lock_the_call_is_done_and_mended_later, .init = start)
{
	pthread_t holder;

	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&holder, NULL, hold, NULL);
	pthread_barrier_wait(&barrier);
	/* the clock jumps from 0 to now: patience ends at once */
	fault_set(SYS_clock_gettime, 0, 0, 1);
	cr_assert_eq(do_mmap(at(0), 2 * PAGE, ANON | MAP_FIXED), (void *)at(0));
	fault_none();
	cr_assert_eq(anonshim_registry->counters.lost, 1);
	cr_assert(anonshim_registry->flags & REGISTRY_INEXACT);
	cr_assert_null(region_at(at(0)));
	pthread_barrier_wait(&barrier);
	pthread_join(holder, NULL);
	do_mmap(at(10), PAGE, ANON | MAP_FIXED);
	cr_assert(!(anonshim_registry->flags & REGISTRY_INEXACT));
	cr_assert_eq(anonshim_registry->counters.resyncs, 1);
	/* whose the pages lost are is not known: they stay out of the map */
	cr_assert_null(region_at(at(0)));
	cr_assert(region_at(at(10)));
}

Test(track, fork_leaves_the_childs_map_exact_with_no_mending, .init = start)
{
	do_mmap(at(0), 2 * PAGE, ANON | MAP_FIXED);
	life_fork_prepare();
	life_fork_child(true);
	guard_leave();
	cr_assert(!(anonshim_registry->flags & REGISTRY_INEXACT),
		  "the forking thread held the lock: nothing was torn");
	do_mmap(at(5), 2 * PAGE, ANON | MAP_FIXED);
	assert_exact();
}

Test(track, fork_in_the_parent_opens_the_locks, .init = start)
{
	life_fork_prepare();
	life_fork_parent();
	cr_assert(!guard.busy);
	do_mmap(at(0), 2 * PAGE, ANON | MAP_FIXED);
	assert_exact();
	cr_assert_eq(anonshim_registry->counters.lost, 0);
}

/* With no VMA to spare the program's call is tried again without names. */
Test(track, out_of_vmas_names_are_taken_back)
{
	fault_set(SYS_prctl, 0, 0, -1);
	shim_start("");
	file_fd = -1;
	anonshim_registry->counters.regions += 5000;
	errno = 0;
	cr_assert_eq(do_mmap(0, SIZE_MAX / 2, ANON), MAP_FAILED);
	cr_assert_eq(errno, ENOMEM, "the program sees what it would have seen");
	cr_assert(!(anonshim_registry->flags & REGISTRY_NAMES_KERNEL));
}
