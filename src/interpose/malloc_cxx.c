/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operators new and delete, exported.
 *
 * As in every C++ library the plain forms call malloc and free, the others the
 * plain ones, where the program has its own of these (malloc.h); else all of
 * them are at the heap at once.
 */
#include "env/real.h"
#include "heap/cache.h"
#include "heap/heap.h"
#include "interpose/interpose.h"
#include "interpose/malloc.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#define CALLER ((uintptr_t)__builtin_return_address(0))
#define OPERATOR(symbol) __asm__(symbol) EXPORT

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

/* new --------------------------------------------------------------------- */

typedef void *new_function(size_t size, size_t second, const void *tag);

static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1",
					"libc++abi.so.1", NULL};

/* A form that throws nothing: it catches what the plain one throws. */
struct nothrow {
	bool array;
	const char *symbol;
	new_function *found; /* at start-up: that library stays */
};

static struct nothrow nothrow = {false, "_ZnwmRKSt9nothrow_t", NULL};
static struct nothrow array_nothrow = {true, "_ZnamRKSt9nothrow_t", NULL};
static struct nothrow aligned_nothrow = {
	false, "_ZnwmSt11align_val_tRKSt9nothrow_t", NULL};
static struct nothrow array_aligned_nothrow = {
	true, "_ZnamSt11align_val_tRKSt9nothrow_t", NULL};

static new_function *find(const char *symbol, uintptr_t caller)
{
	return (new_function *)real_symbol(symbol, (void *)(caller - 1),
					   libraries);
}

static void *new_block(size_t size, size_t alignment,
		       const struct unwind_start *caller)
{
	size_t rounded;

	if (family.malloc)
		return alignment ? malloc_aligned(alignment, size, caller)
				 : heap_alloc(size, HEAP_ALIGN, false, caller);
	if (!size)
		size = 1;
	if (!alignment)
		return malloc(size);
	rounded = (size + alignment - 1) & -alignment;
	return rounded < size ? NULL : aligned_alloc(alignment, rounded);
}

/*
 * There is no memory: the C++ library's own operator asks the new handler and
 * throws, as only it can.  It calls malloc, which is ours.
 */
static void *new_failed(const char *symbol, size_t size, size_t alignment,
			uintptr_t caller)
{
	new_function *theirs = find(symbol, caller);

	if (!theirs)
		abort(); /* what no C++ library would have survived either */
	return theirs(size, alignment, NULL);
}

/* The program's own, which may throw. */
static void *new_uncaught(bool array, size_t size, size_t alignment)
{
	if (alignment)
		return array ? new_array_aligned(size, alignment)
			     : new_aligned(size, alignment);
	return array ? new_array(size) : new_plain(size);
}

/* Likewise, or FORM would call an operator of the program's. */
static void *new_caught(const struct nothrow *form, size_t size,
			size_t alignment, const void *tag, uintptr_t caller)
{
	new_function *theirs =
		form->found ? form->found : find(form->symbol, caller);

	if (theirs)
		return theirs(size, alignment ? alignment : (size_t)tag, tag);
	return family.operator_new ? NULL
				   : new_uncaught(form->array, size, alignment);
}

static SLOW void *new_slowly(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = new_block(size, 0, &caller);

	return p ? p : new_failed("_Znwm", size, 0, caller.pc);
}

/* By wrappers, as malloc_through(). */
static SLOW void *new_through(size_t size)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = cache_pop_through(size, &caller);

	return LIKELY(p) ? p : new_slowly(size);
}

/* Where malloc is the program's, no caller of this has a slot. */
void *new_plain(size_t size)
{
	void *p;

	if (cache_due())
		return new_slowly(size);
	p = cache_pop(size, CALLER);
	return LIKELY(p) ? p : new_through(size);
}

void *new_array(size_t size)
{
	void *p;

	if (!LIKELY(family.operator_new))
		return new_plain(size);
	if (cache_due())
		return new_slowly(size);
	p = cache_pop(size, CALLER);
	return LIKELY(p) ? p : new_through(size);
}

void *new_aligned(size_t size, size_t alignment)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = new_block(size, alignment, &caller);

	return p ? p
		 : new_failed("_ZnwmSt11align_val_t", size, alignment,
			      caller.pc);
}

void *new_array_aligned(size_t size, size_t alignment)
{
	return new_aligned(size, alignment);
}

void *new_nothrow(size_t size, const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = family.operator_new ? new_block(size, 0, &caller) : NULL;

	return p ? p : new_caught(&nothrow, size, 0, tag, caller.pc);
}

void *new_array_nothrow(size_t size, const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = family.operator_new ? new_block(size, 0, &caller) : NULL;

	return p ? p : new_caught(&array_nothrow, size, 0, tag, caller.pc);
}

void *new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = family.operator_new ? new_block(size, alignment, &caller)
				      : NULL;

	return p ? p
		 : new_caught(&aligned_nothrow, size, alignment, tag,
			      caller.pc);
}

void *new_array_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
	struct unwind_start caller = UNWIND_CALLER();
	void *p = family.operator_new ? new_block(size, alignment, &caller)
				      : NULL;

	return p ? p
		 : new_caught(&array_aligned_nothrow, size, alignment, tag,
			      caller.pc);
}

/* delete ------------------------------------------------------------------ */

/* window_base, where every operator is the shim's: no more is to be asked. */
static uintptr_t delete_base = WINDOW_NOWHERE;

static inline bool pushed(void *p)
{
	return cache_push_in(window_of_block(p, delete_base), p);
}

static SLOW void give(void *p)
{
	if (family.free)
		heap_free(p);
	else
		free(p);
}

static SLOW void give_plain(void *p)
{
	if (family.operator_delete)
		give(p);
	else
		delete_plain(p);
}

static SLOW void give_array(void *p)
{
	if (family.operator_delete)
		give(p);
	else
		delete_array(p);
}

static SLOW void give_aligned(void *p, size_t alignment)
{
	if (family.operator_delete)
		give(p);
	else
		delete_aligned(p, alignment);
}

static SLOW void give_array_aligned(void *p, size_t alignment)
{
	if (family.operator_delete)
		give(p);
	else
		delete_array_aligned(p, alignment);
}

#define DELETE(name, slowly, ...)       \
	void name(__VA_ARGS__)          \
	{                               \
		if (!LIKELY(pushed(p))) \
			slowly;         \
	}

DELETE(delete_plain, give(p), void *p)
DELETE(delete_array, give_plain(p), void *p)
DELETE(delete_nothrow, give_plain(p), void *p, const void *tag)
DELETE(delete_array_nothrow, give_array(p), void *p, const void *tag)
DELETE(delete_sized, give_plain(p), void *p, size_t size)
DELETE(delete_array_sized, give_array(p), void *p, size_t size)
DELETE(delete_aligned, give(p), void *p, size_t alignment)
DELETE(delete_array_aligned, give_aligned(p, alignment), void *p,
       size_t alignment)
DELETE(delete_aligned_nothrow, give_aligned(p, alignment), void *p,
       size_t alignment, const void *tag)
DELETE(delete_array_aligned_nothrow, give_array_aligned(p, alignment), void *p,
       size_t alignment, const void *tag)
DELETE(delete_sized_aligned, give_aligned(p, alignment), void *p, size_t size,
       size_t alignment)
DELETE(delete_array_sized_aligned, give_array_aligned(p, alignment), void *p,
       size_t size, size_t alignment)

/* Start-up ---------------------------------------------------------------- */

void operators_meet(void)
{
	static struct nothrow *const forms[] = {&nothrow, &array_nothrow,
						&aligned_nothrow,
						&array_aligned_nothrow};

	if (family.operator_new)
		return;
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		forms[i]->found = (new_function *)real_next(forms[i]->symbol);
}

void operators_start(void)
{
	if (family.free && family.operator_delete)
		delete_base = window_base;
}
