/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared mappings against the simplest model there is, an array of pages, each
 * with the object and the page of it that it shows; and what is known of
 * objects, for how long.
 */
#include "env/caps.h"
#include "env/guard.h"
#include "support.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/share.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BASE ((uintptr_t)0x10000000)
#define PAGES 512
#define OBJECTS 4
#define OPERATIONS 40000

/* object 0: none */
struct page {
	uint32_t object;
	uint64_t offset; /* pages */
};

static struct page model[PAGES];
static uint32_t objects[OBJECTS];
static bool aliased[OBJECTS];
static uint64_t state = 20250911;

static uintptr_t addr(size_t page)
{
	return BASE + page * PAGE;
}

static void start(void)
{
	shim_configure("naming=registry");
	cr_assert_eq(registry_init("test", ""), 0);
}

static size_t object_number(uint32_t object)
{
	for (size_t i = 0; i < OBJECTS; i++)
		if (objects[i] == object)
			return i;
	cr_assert(false, "object %u", object);
	return 0;
}

/* What happens to page I; the object is an alias where another shows that. */
static void model_set(size_t i, struct page p)
{
	model[i] = p;
	if (!p.object)
		return;
	for (size_t k = 0; k < PAGES; k++)
		if (k != i && model[k].object == p.object &&
		    model[k].offset == p.offset)
			aliased[object_number(p.object)] = true;
}

static void some_range(size_t *first, size_t *end, size_t most)
{
	*first = draw(&state) % PAGES;
	*end = *first + 1 + draw(&state) % most;
	if (*end > PAGES)
		*end = PAGES;
}

static void clear(size_t first, size_t end)
{
	share_clear(addr(first), addr(end));
	memset(&model[first], 0, (end - first) * sizeof(model[0]));
}

/* Few pages of an object a time, for aliases to be rare at first. */
static void do_add(void)
{
	size_t first;
	size_t end;
	uint32_t object = objects[draw(&state) % OBJECTS];
	uint64_t offset = draw(&state) % 100000;

	some_range(&first, &end, 12);
	clear(first, end);
	share_add(addr(first), addr(end), offset * PAGE, object);
	for (size_t i = first; i < end; i++)
		model_set(i, (struct page){object, offset + i - first});
}

static void do_clear(void)
{
	size_t first;
	size_t end;

	some_range(&first, &end, draw(&state) % 10 ? 10 : 200);
	clear(first, end);
}

static void do_copy(bool moved)
{
	struct page copied[PAGES];
	size_t first;
	size_t end;
	size_t to;

	some_range(&first, &end, 20);
	if (end - first >= PAGES)
		return;
	to = draw(&state) % (PAGES - (end - first));
	if (to < end && first < to + (end - first))
		return; /* as the kernel: source and target do not overlap */
	clear(to, to + (end - first));
	share_copy(addr(first), (end - first) * PAGE, addr(to), moved);
	memcpy(copied, &model[first], (end - first) * sizeof(copied[0]));
	for (size_t i = first; i < end; i++) {
		if (moved)
			model[i] = (struct page){0};
		model_set(to + i - first, copied[i - first]);
	}
}

/* As mremap() with an old size of 0 does, however much is mapped. */
static void do_alias(void)
{
	size_t old = draw(&state) % PAGES;
	size_t first;
	size_t end;

	some_range(&first, &end, 10);
	if (first <= old && old < end)
		return;
	clear(first, end);
	share_alias(addr(old), addr(first), addr(end));
	for (size_t i = first; model[old].object && i < end; i++)
		model_set(i, (struct page){model[old].object,
					   model[old].offset + i - first});
}

static void do_grow(void)
{
	size_t first;
	size_t end;
	struct page last;

	some_range(&first, &end, 10);
	if (!first)
		return;
	last = model[first - 1];
	share_grow(addr(first) - 1, addr(first), addr(end));
	memset(&model[first], 0, (end - first) * sizeof(model[0]));
	for (size_t i = first; last.object && i < end; i++)
		model_set(i, (struct page){last.object,
					   last.offset + 1 + i - first});
}

static void do_turn(void)
{
	size_t first;
	size_t end;
	uint64_t offset = draw(&state) % 100000;
	uint32_t object;

	some_range(&first, &end, 6);
	object = model[first].object;
	share_turn(addr(first), addr(end), offset * PAGE);
	memset(&model[first], 0, (end - first) * sizeof(model[0]));
	for (size_t i = first; object && i < end; i++)
		model_set(i, (struct page){object, offset + i - first});
}

static void do_something(void)
{
	switch (draw(&state) % 9) {
	case 0:
	case 1:
		return do_clear();
	case 2:
		return do_copy(false);
	case 3:
		return do_copy(true);
	case 4:
		return draw(&state) % 16 ? do_add() : do_alias();
	case 5:
		return do_grow();
	case 6:
		return do_turn();
	}
	do_add();
}

static void check_mappings(unsigned operation)
{
	size_t shown = 0;
	size_t n = 0;
	const struct share *s;

	for (uintptr_t at = 0; (s = share_at_or_above(at)); at = s->end) {
		cr_assert(s->start >= at && s->start < s->end);
		n++;
		for (uintptr_t p = s->start; p < s->end; p += PAGE) {
			const struct page *m = &model[(p - BASE) / PAGE];

			cr_assert_eq(m->object, s->object, "operation %u",
				     operation);
			cr_assert_eq(m->offset * PAGE, p + s->delta,
				     "operation %u", operation);
			shown++;
		}
	}
	cr_assert_eq(n, share_count);
	for (size_t i = 0; i < PAGES; i++)
		shown -= model[i].object != 0;
	cr_assert_eq(shown, 0, "operation %u", operation);
}

static uint32_t mappings_of(uint32_t object)
{
	const struct share *s;
	uint32_t n = 0;

	for (uintptr_t at = 0; (s = share_at_or_above(at)); at = s->end)
		n += s->object == object;
	return n;
}

static void check_objects(unsigned operation)
{
	const struct share *s;
	uint32_t groups = 0;

	for (size_t i = 0; i < OBJECTS; i++) {
		const struct registry_object *o = share_object_at(objects[i]);

		cr_assert_eq(!!(o->flags & OBJECT_ALIASED), aliased[i],
			     "operation %u object %zu", operation, i);
		groups += aliased[i];
		cr_assert_eq(o->mappings, mappings_of(objects[i]),
			     "operation %u object %zu", operation, i);
		s = share_of(objects[i]);
		cr_assert_eq(!s, !o->mappings);
		cr_assert(!s || s->object == objects[i]);
	}
	cr_assert_eq(share_groups, groups, "operation %u", operation);
}

/* As after a fork that found nothing of them. */
static void forget(void)
{
	clear(0, PAGES);
	for (size_t i = 0; i < OBJECTS; i++) {
		share_mark(objects[i], 0, OBJECT_ALIASED);
		aliased[i] = false;
	}
	cr_assert_eq(share_count, 0);
	cr_assert_eq(share_groups, 0);
}

Test(share, random_calls_agree_with_an_array_of_pages, .init = start)
{
	for (size_t i = 0; i < OBJECTS; i++)
		objects[i] = i % 2 ? share_object(7, i, 0, 0)
				   : share_object_anonymous(PAGE, 0);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		do_something();
		if (i < 300 || i % 37 == 0)
			check_mappings(i);
		check_objects(i);
		if (draw(&state) % 50 == 0)
			forget();
	}
	check_mappings(OPERATIONS);
}

Test(share, one_address_after_another_is_no_alias, .init = start)
{
	uint32_t o = share_object(1, 2, 0, 0);

	share_add(addr(0), addr(4), 0, o);
	share_clear(addr(0), addr(4));
	share_add(addr(8), addr(12), 0, o);
	share_add(addr(12), addr(16), 4 * PAGE, o);
	cr_assert_eq(share_groups, 0);
	share_add(addr(16), addr(17), 7 * PAGE, o);
	cr_assert_eq(share_groups, 1);
	share_clear(addr(0), addr(100));
	cr_assert_eq(share_groups, 1, "it was one");
}

Test(share, objects_of_other_devices_are_others, .init = start)
{
	uint32_t o = share_object(1, 2, 0, 5);

	cr_assert(o);
	cr_assert_eq(share_object(1, 2, 0, 6), o);
	cr_assert_eq(share_object_at(o)->site, 5, "that mapped it first");
	cr_assert_eq(share_object_known(1, 2), o);
	cr_assert_neq(share_object(2, 2, 0, 0), o);
	cr_assert_neq(share_object(1, 3, 0, 0), o);
	cr_assert_eq(share_object_known(1, 4), 0);
	cr_assert_neq(share_object_anonymous(PAGE, 0),
		      share_object_anonymous(PAGE, 0));
}

Test(share, an_object_made_anew_is_found_by_its_new_number, .init = start)
{
	uint32_t file = share_object(1, 2, 0, 0);
	uint32_t anonymous = share_object_anonymous(PAGE, 0);

	share_renew(file, 1, 20, 0, 5 * PAGE);
	share_renew(anonymous, 1, 21, 0, PAGE);
	cr_assert_eq(share_object_known(1, 2), 0);
	cr_assert_eq(share_object_known(1, 20), file);
	cr_assert_eq(share_object_known(1, 21), anonymous);
	cr_assert_eq(share_object_at(file)->size, 5 * PAGE);
}

/* A file that took the number of another that is gone is not that. */
Test(share, a_number_used_again, .init = start)
{
	uint32_t o = share_object(1, 2, 100, 0);

	share_mark(o, OBJECT_FOREIGN | OBJECT_ALIASED, 0);
	cr_assert_eq(share_groups, 1);
	cr_assert_eq(share_object(1, 2, 0, 0), o, "not known when it was born");
	cr_assert_eq(share_object(1, 2, 100, 0), o);
	o = share_object(1, 2, 200, 0);
	cr_assert_eq(share_object_at(o)->flags, OBJECT_USED);
	cr_assert_eq(share_groups, 0);
	cr_assert_eq(share_object_known(1, 2), o);
}

/* Nor does the index grow for ever, with as few objects as there are. */
Test(share, numbers_used_again_for_ever, .init = start)
{
	share_object(1, 1, 1, 0);
	fault_set(SYS_mmap, -ENOMEM, UINT32_MAX, 0);
	for (int64_t born = 1; born < 100000; born++)
		cr_assert(share_object(1, 1 + (uint64_t)born % 3, born, 0));
	cr_assert_lt(fault_count(), 4, "memory taken");
	fault_none();
}

/* Objects ------------------------------------------------------------------ */

static uint64_t known(void)
{
	return anonshim_registry->table[REGISTRY_OBJECTS].count;
}

/* Mapped and unmapped for ever: the table does not grow for ever. */
Test(share, objects_that_are_gone_are_forgotten, .init = start)
{
	uint32_t mapped = share_object(9, 9, 0, 0);

	share_add(addr(0), addr(1), 0, mapped);
	for (uint64_t ino = 1; ino < 20000; ino++) {
		uint32_t o = ino % 2 ? share_object(1, ino, 0, 0)
				     : share_object_anonymous(PAGE, 0);

		cr_assert(o);
		share_add(addr(2), addr(3), 0, o);
		if (ino % 3 == 0)
			share_add(addr(4), addr(5), 0, o);
		if (ino % 5 == 0)
			share_mark(o, OBJECT_ADVISED, 0);
		if (ino % 7 == 0)
			share_mark(o, OBJECT_FOREIGN | OBJECT_NAMED, 0);
		share_clear(addr(2), addr(5));
	}
	cr_assert_lt(known(), 2000);
	cr_assert_eq(share_object_known(9, 9), mapped);
	cr_assert_eq(share_of(mapped)->start, addr(0));
	cr_assert_lt(share_groups, 2000);
}

static void churn(unsigned n)
{
	for (uint64_t ino = 1; ino <= n; ino++)
		share_object(0xffff, ino, 0, 0);
}

/* What a descriptor leads to is not gone, whatever is mapped. */
Test(share, open_objects_are_kept_with_their_marks, .init = start)
{
	int fd = memfd_create("kept", 0);
	struct stat st;
	uint32_t o;

	cr_assert_eq(fstat(fd, &st), 0);
	o = share_object(st.st_dev, st.st_ino, 0, 0);
	share_add(addr(0), addr(1), 0, o);
	share_add(addr(2), addr(3), 0, o);
	share_clear(addr(0), addr(3));
	churn(5000);
	cr_assert_eq(share_object_known(st.st_dev, st.st_ino), o);
	cr_assert(share_object_at(o)->flags & OBJECT_ALIASED);
	cr_assert_eq(share_groups, 1);
	close(fd);
	churn(5000);
	cr_assert_eq(share_object_known(st.st_dev, st.st_ino), 0);
	cr_assert_eq(share_groups, 0);
}

/* Where that may not be asked, marks count, of so many as there is room for. */
Test(share, foreign_objects_have_a_limit, .init = start)
{
	caps.files = false;
	for (uint64_t ino = 1; ino <= 30000; ino++)
		share_mark(share_object(1, ino, 0, 0), OBJECT_FOREIGN, 0);
	cr_assert_lt(known(), 15000);
	cr_assert_geq(known(), 4096);
	cr_assert(share_object_known(1, 30000));
}

Test(share, the_index_is_right_after_a_sweep, .init = start)
{
	uint32_t ids[100];

	for (uint64_t i = 0; i < 100; i++) {
		ids[i] = share_object(3, i + 1, 0, 0);
		share_add(addr(i), addr(i + 1), 0, ids[i]);
	}
	for (unsigned round = 0; round < 20; round++) {
		churn(1000);
		for (uint64_t i = 0; i < 100; i++)
			cr_assert_eq(share_object_known(3, i + 1), ids[i]);
	}
	cr_assert_eq(share_object_known(3, 101), 0);
}

/* What calls tell ---------------------------------------------------------- */

static uint32_t object_of(int fd)
{
	struct stat st;

	cr_assert_eq(fstat(fd, &st), 0);
	return share_object_known(st.st_dev, st.st_ino);
}

static void started(void)
{
	shim_start("naming=registry");
	guard_ready = true;
}

static char *map(int fd, size_t first, size_t pages)
{
	struct mmap_args a = {NULL,	  pages * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd,		(off_t)(first * PAGE),
			      KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();

	return track_mmap(&a, &caller);
}

/* What is added behind it is the object's too, wherever that went. */
Test(share, a_mapping_that_moves_and_grows, .init = started)
{
	int fd = memfd_create("grows", 0);
	struct mremap_args a = {NULL, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE, NULL};
	const struct share *s;
	char *p;

	cr_assert_eq(ftruncate(fd, 8 * PAGE), 0);
	a.old = map(fd, 0, 2);
	mmap((char *)a.old + 2 * PAGE, PAGE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	p = track_mremap(&a);
	cr_assert(p != MAP_FAILED && p != a.old);
	s = share_at_or_above((uintptr_t)p + 7 * PAGE);
	cr_assert(s && s->start <= (uintptr_t)p + 7 * PAGE, "all of it");
	cr_assert_eq(s->object, object_of(fd));
	cr_assert_eq((uintptr_t)p + 7 * PAGE + s->delta, 7 * PAGE);
	cr_assert_eq(share_groups, 0);
	map(fd, 7, 1);
	cr_assert_eq(share_groups, 1);
}

Test(share, what_is_noted_of_descriptors, .init = started)
{
	int fd = memfd_create("noted", 0);
	int named = open("/proc/self/exe", O_RDONLY);
	uint32_t o;

	share_resized(fd, 5 * PAGE);
	cr_assert_eq(object_of(fd), 0, "a size alone makes none known");
	share_note(fd, OBJECT_FOREIGN);
	o = object_of(fd);
	cr_assert(o);
	cr_assert(share_object_at(o)->flags & OBJECT_FOREIGN);
	share_resized(fd, 5 * PAGE);
	cr_assert_eq(share_object_at(o)->size, 5 * PAGE);
	share_note(named, OBJECT_FOREIGN);
	cr_assert_eq(object_of(named), 0, "it has a name");
	share_note(-1, OBJECT_FOREIGN);
	share_note(open("/dev/zero", O_RDWR), OBJECT_FOREIGN);
	cr_assert(!guard.busy);
}

Test(share, advice_is_for_what_it_touches, .init = started)
{
	uint32_t one = share_object(1, 1, 0, 0);
	uint32_t two = share_object(1, 2, 0, 0);

	share_add(addr(0), addr(4), 0, one);
	share_add(addr(4), addr(8), 0, two);
	share_advised(addr(3), addr(4));
	cr_assert(share_object_at(one)->flags & OBJECT_ADVISED);
	cr_assert(!(share_object_at(two)->flags & OBJECT_ADVISED));
	share_advised(addr(3), addr(2));
	share_advised(addr(3), UINTPTR_MAX);
	cr_assert(share_object_at(two)->flags & OBJECT_ADVISED);
}

/* No memory: a record is lost, counted, and the rest goes on. */
Test(share, out_of_memory_loses_a_record_and_says_so, .init = start)
{
	uint32_t o;

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert_eq(share_object_anonymous(PAGE, 0), 0);
	share_add(addr(0), addr(1), 0, 0);
	fault_none();
	cr_assert(anonshim_registry->flags & REGISTRY_INEXACT);
	o = share_object_anonymous(PAGE, 0);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	share_add(addr(0), addr(1), 0, o);
	fault_none();
	cr_assert_eq(share_count, 0);
	cr_assert_eq(anonshim_registry->counters.lost, 2);
	for (size_t i = 0; i < PAGES; i += 2)
		share_add(addr(i), addr(i + 1), i * PAGE, o);
	cr_assert_eq(share_count, PAGES / 2);
	share_clear(addr(0), addr(PAGES));
	cr_assert_eq(share_count, 0);
}
