/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Size classes: of every size, and against jemalloc's.
 */
#include "heap/class.h"
#include "heap/jemalloc.h"
#include "support.h"

#include <criterion/criterion.h>

TestSuite(class, .init = class_init);

static unsigned last_class(void)
{
	unsigned class = HEAP_CLASSES - 1;

	while (!class_bytes[class])
		class --;
	return class;
}

Test(class, the_least_that_every_size_fits_in)
{
	for (size_t size = 0; size <= CLASS_MAX_BYTES; size++) {
		unsigned class = class_of(size);

		cr_assert(class >= 1 && class < HEAP_CLASSES, "%zu", size);
		cr_assert_geq(class_bytes[class], size);
		cr_assert_lt(class == 1 && !size ? 0 : class_bytes[class - 1],
			     size + !size, "%zu fits in a lesser one", size);
	}
}

Test(class, a_quarter_is_wasted_at_most)
{
	for (size_t size = 65; size <= CLASS_MAX_BYTES; size++)
		cr_assert_lt(class_bytes[class_of(size)] - size, size / 4 + 1,
			     "%zu", size);
}

Test(class, of_its_own_bytes)
{
	unsigned last = last_class();

	for (unsigned class = 1; class <= last; class ++) {
		cr_assert_eq(class_of(class_bytes[class]), class);
		cr_assert_gt(class_bytes[class], class_bytes[class - 1]);
		cr_assert_eq(class_bytes[class] % 16, 0, "not aligned");
	}
}

Test(class, the_last_is_the_largest)
{
	cr_assert_eq(class_bytes[last_class()], CLASS_MAX_BYTES);
	cr_assert_eq(class_bytes[0], 0, "what is large has none");
	cr_assert_eq(class_of(CLASS_MAX_BYTES), last_class());
}

/* What is freed by its class's size must be what jemalloc made of it. */
Test(class, as_jemalloc_has_them)
{
	for (size_t size = 9; size <= CLASS_MAX_BYTES; size++)
		cr_assert_eq(class_bytes[class_of(size)], ahj_nallocx(size, 0),
			     "%zu", size);
}

Test(class, small_alignments_need_no_other_class)
{
	for (unsigned class = 1; class <= last_class(); class ++)
		cr_assert_eq(ahj_nallocx(class_bytes[class], JE_ALIGN(16)),
			     class_bytes[class]);
}
