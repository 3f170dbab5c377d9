/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc's family and the operators new and delete, exported.
 *
 * What is fast is inline (heap/cache.h); the rest is jumped to, so that it
 * finds its caller as if it had been called itself.
 */
#include "base/mem.h"
#include "env/real.h"
#include "heap/cache.h"
#include "heap/heap.h"
#include "interpose/interpose.h"
#include "track/unwind.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CALLER ((uintptr_t)__builtin_return_address(0))
#define SLOW __attribute__((noinline, noipa))
#define LIKELY(x) __builtin_expect(!!(x), 1)

/* malloc ------------------------------------------------------------------ */

static SLOW void *malloc_slowly(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return heap_alloc(size, HEAP_ALIGN, false, &caller);
}

EXPORT void *malloc(size_t size)
{
	void *p = cache_pop(size, CALLER);

	return LIKELY(p) ? p : malloc_slowly(size);
}

static SLOW void free_slowly(void *p)
{
	heap_free(p);
}

EXPORT void free(void *p)
{
	if (!LIKELY(cache_push(p)))
		free_slowly(p);
}

static void *overflow(void)
{
	errno = ENOMEM;
	return NULL;
}

EXPORT void *calloc(size_t n, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	size_t bytes;
	void *p;

	if (__builtin_mul_overflow(n, size, &bytes))
		return overflow();
	p = cache_pop(bytes, caller.pc);
	return LIKELY(p) ? memset(p, 0, bytes)
			 : heap_alloc(bytes, HEAP_ALIGN, true, &caller);
}

EXPORT void *realloc(void *p, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return heap_realloc(p, size, &caller);
}

EXPORT void *reallocarray(void *p, size_t n, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return overflow();
	return heap_realloc(p, bytes, &caller);
}

/* Aligned ----------------------------------------------------------------- */

static bool is_power(size_t alignment)
{
	return alignment && !(alignment & (alignment - 1));
}

/* glibc takes any alignment, the next power of two counts. */
static void *aligned(size_t alignment, size_t size,
		     const struct unwind_start *caller)
{
	if (alignment > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	if (alignment < HEAP_ALIGN)
		alignment = HEAP_ALIGN;
	if (!is_power(alignment))
		alignment = (size_t)1 << (64 - __builtin_clzl(alignment));
	return heap_alloc(size, alignment, false, caller);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return aligned(alignment, size, &caller);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return aligned(alignment, size, &caller);
}

EXPORT int posix_memalign(void **p, size_t alignment, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	int err = errno;
	void *got;

	if (!is_power(alignment) || alignment % sizeof(void *))
		return EINVAL;
	got = aligned(alignment, size, &caller);
	errno = err;
	if (!got)
		return ENOMEM;
	*p = got;
	return 0;
}

EXPORT void *valloc(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return aligned(PAGE_BYTES, size, &caller);
}

EXPORT void *pvalloc(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	if (size > PTRDIFF_MAX)
		return overflow();
	return aligned(PAGE_BYTES, page_up(size), &caller);
}

void free_sized(void *p, size_t size);
void free_aligned_sized(void *p, size_t alignment, size_t size);

EXPORT void free_sized(void *p, size_t size)
{
	(void)size;
	free(p);
}

EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size)
{
	(void)alignment, (void)size;
	free(p);
}

EXPORT size_t malloc_usable_size(void *p)
{
	return heap_usable(p);
}

/* C++ --------------------------------------------------------------------- */

#define OPERATOR(symbol) __asm__(symbol)

void *new_plain(size_t size) OPERATOR("_Znwm");
void *new_array(size_t size) OPERATOR("_Znam");
void *new_nothrow(size_t size, const void *tag) OPERATOR("_ZnwmRKSt9nothrow_t");
void *new_array_nothrow(size_t size, const void *tag)
	OPERATOR("_ZnamRKSt9nothrow_t");
void *new_aligned(size_t size, size_t alignment)
	OPERATOR("_ZnwmSt11align_val_t");
void *new_array_aligned(size_t size, size_t alignment)
	OPERATOR("_ZnamSt11align_val_t");
void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
	OPERATOR("_ZnwmSt11align_val_tRKSt9nothrow_t");
void *new_array_aligned_nothrow(size_t size, size_t alignment, const void *tag)
	OPERATOR("_ZnamSt11align_val_tRKSt9nothrow_t");
void delete_plain(void *p) OPERATOR("_ZdlPv");
void delete_array(void *p) OPERATOR("_ZdaPv");
void delete_nothrow(void *p, const void *tag) OPERATOR("_ZdlPvRKSt9nothrow_t");
void delete_array_nothrow(void *p, const void *tag)
	OPERATOR("_ZdaPvRKSt9nothrow_t");
void delete_sized(void *p, size_t size) OPERATOR("_ZdlPvm");
void delete_array_sized(void *p, size_t size) OPERATOR("_ZdaPvm");
void delete_aligned(void *p, size_t alignment)
	OPERATOR("_ZdlPvSt11align_val_t");
void delete_array_aligned(void *p, size_t alignment)
	OPERATOR("_ZdaPvSt11align_val_t");
void delete_aligned_nothrow(void *p, size_t alignment, const void *tag)
	OPERATOR("_ZdlPvSt11align_val_tRKSt9nothrow_t");
void delete_array_aligned_nothrow(void *p, size_t alignment, const void *tag)
	OPERATOR("_ZdaPvSt11align_val_tRKSt9nothrow_t");
void delete_sized_aligned(void *p, size_t size, size_t alignment)
	OPERATOR("_ZdlPvmSt11align_val_t");
void delete_array_sized_aligned(void *p, size_t size, size_t alignment)
	OPERATOR("_ZdaPvmSt11align_val_t");

/*
 * There is no memory: the C++ library's own operator asks the new handler and
 * throws, as only it can.  It calls malloc, which is ours.
 */
static void *new_failed(const char *operator, size_t size, size_t alignment,
			const void *tag)
{
	static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1",
						"libc++abi.so.1", NULL};
	void *(*theirs)(size_t, size_t, const void *) =
		(void *(*)(size_t, size_t, const void *))real_symbol(operator,
								     libraries);
	size_t second = alignment ? alignment : (size_t)tag;

	if (!theirs)
		abort(); /* what no C++ library would have survived either */
	return theirs(size, second, tag);
}

static SLOW void *new_slowly(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = heap_alloc(size, HEAP_ALIGN, false, &caller);

	return p ? p : new_failed("_Znwm", size, 0, NULL);
}

EXPORT void *new_plain(size_t size)
{
	void *p = cache_pop(size, CALLER);

	return LIKELY(p) ? p : new_slowly(size);
}

EXPORT void *new_array(size_t size)
{
	void *p = cache_pop(size, CALLER);

	return LIKELY(p) ? p : new_slowly(size);
}

EXPORT void *new_nothrow(size_t size, const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = heap_alloc(size, HEAP_ALIGN, false, &caller);

	return p ? p : new_failed("_ZnwmRKSt9nothrow_t", size, 0, tag);
}

EXPORT void *new_array_nothrow(size_t size, const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = heap_alloc(size, HEAP_ALIGN, false, &caller);

	return p ? p : new_failed("_ZnamRKSt9nothrow_t", size, 0, tag);
}

EXPORT void *new_aligned(size_t size, size_t alignment)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = aligned(alignment, size, &caller);

	return p ? p
		 : new_failed("_ZnwmSt11align_val_t", size, alignment, NULL);
}

EXPORT void *new_array_aligned(size_t size, size_t alignment)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = aligned(alignment, size, &caller);

	return p ? p
		 : new_failed("_ZnamSt11align_val_t", size, alignment, NULL);
}

EXPORT void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = aligned(alignment, size, &caller);

	return p ? p
		 : new_failed("_ZnwmSt11align_val_tRKSt9nothrow_t", size,
			      alignment, tag);
}

EXPORT void *new_array_aligned_nothrow(size_t size, size_t alignment,
				       const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = aligned(alignment, size, &caller);

	return p ? p
		 : new_failed("_ZnamSt11align_val_tRKSt9nothrow_t", size,
			      alignment, tag);
}

#define DELETE(name, ...)                   \
	EXPORT void name(__VA_ARGS__)       \
	{                                   \
		if (!LIKELY(cache_push(p))) \
			free_slowly(p);     \
	}

DELETE(delete_plain, void *p)
DELETE(delete_array, void *p)
DELETE(delete_nothrow, void *p, const void *tag)
DELETE(delete_array_nothrow, void *p, const void *tag)
DELETE(delete_sized, void *p, size_t size)
DELETE(delete_array_sized, void *p, size_t size)
DELETE(delete_aligned, void *p, size_t alignment)
DELETE(delete_array_aligned, void *p, size_t alignment)
DELETE(delete_aligned_nothrow, void *p, size_t alignment, const void *tag)
DELETE(delete_array_aligned_nothrow, void *p, size_t alignment, const void *tag)
DELETE(delete_sized_aligned, void *p, size_t size, size_t alignment)
DELETE(delete_array_sized_aligned, void *p, size_t size, size_t alignment)
