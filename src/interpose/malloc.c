/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc's family, exported.
 *
 * What is fast is inline (heap/cache.h); the rest is jumped to, so that it
 * finds its caller as if it had been called itself.
 */
#include "interpose/malloc.h"
#include "base/mem.h"
#include "env/real.h"
#include "heap/cache.h"
#include "heap/heap.h"
#include "interpose/interpose.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CALLER ((uintptr_t)__builtin_return_address(0))

/* malloc ------------------------------------------------------------------ */

static SLOW void *malloc_slowly(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return heap_alloc(size, HEAP_ALIGN, false, &caller);
}

/* By wrappers; jumped to, and from, so that the caller's frame is the first. */
static SLOW void *malloc_through(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = cache_pop_through(size, &caller);

	return LIKELY(p) ? p : malloc_slowly(size);
}

EXPORT void *malloc(size_t size)
{
	void *p;

	if (cache_due())
		return malloc_slowly(size);
	p = cache_pop(size, CALLER);
	return LIKELY(p) ? p : malloc_through(size);
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
	if (LIKELY(p))
		return real.memset(p, 0, bytes);
	if (family.calloc_strays && real.calloc)
		return real.calloc(1, bytes);
	return heap_alloc(bytes, HEAP_ALIGN, true, &caller);
}

static SLOW void *realloc_slowly(void *p, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return heap_realloc(p, size, &caller);
}

EXPORT void *realloc(void *p, size_t size)
{
	unsigned class = size - 1 < CLASS_MAX_BYTES ? cache_class(p) : 0;

	/* it fits as it is */
	return LIKELY(class && class_of(size) == class)
		       ? p
		       : realloc_slowly(p, size);
}

EXPORT void *reallocarray(void *p, size_t n, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return overflow();
	return family.realloc && !family.redirected
		       ? heap_realloc(p, bytes, &caller)
		       : realloc(p, bytes);
}

/* Aligned ----------------------------------------------------------------- */

static bool is_power(size_t alignment)
{
	return alignment && !(alignment & (alignment - 1));
}

void *malloc_aligned(size_t alignment, size_t size,
		     const struct unwind_start *caller)
{
	/* theirs may be aligned less than ours where nobody asks for it */
	if ((family.memalign_strays || heap_state == HEAP_IS_OFF) &&
	    real.memalign)
		return real.memalign(alignment, size);
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

	return malloc_aligned(alignment, size, &caller);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return malloc_aligned(alignment, size, &caller);
}

EXPORT int posix_memalign(void **p, size_t alignment, size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	int err = errno;
	void *got;

	if (!is_power(alignment) || alignment % sizeof(void *))
		return EINVAL;
	got = malloc_aligned(alignment, size, &caller);
	if (!got)
		return ENOMEM; /* and so is errno, as it is of libc's */
	errno = err;
	*p = got;
	return 0;
}

EXPORT void *valloc(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	return malloc_aligned(PAGE_BYTES, size, &caller);
}

EXPORT void *pvalloc(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();

	if (size > PTRDIFF_MAX)
		return overflow();
	if (family.redirected)
		return memalign(PAGE_BYTES, page_up(size));
	return malloc_aligned(PAGE_BYTES, page_up(size), &caller);
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

static SLOW size_t usable_slowly(void *p)
{
	return heap_usable(p);
}

EXPORT size_t malloc_usable_size(void *p)
{
	unsigned class = cache_class(p);

	return LIKELY(class) ? class_bytes[class] : usable_slowly(p);
}
