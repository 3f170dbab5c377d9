/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call stacks, cheaply: a step costs a load or two once the rule of its
 * address is cached (see cfi.h).
 *
 * Contract: unwind_capture() may be called anywhere, in signal handlers too;
 * it takes no lock.  It reads memory of its own only between the current stack
 * pointer and the end of the thread's own stack, and asks the kernel for any
 * other, so that bad call frame information cannot crash a program.
 */
#ifndef ANONSHIM_TRACK_UNWIND_H
#define ANONSHIM_TRACK_UNWIND_H

#include "track/cfi.h"

#include <stdbool.h>
#include <stdint.h>

#define UNWIND_DEPTH_MAX 32

struct unwind_start {
	uintptr_t pc; /* a return address */
	uintptr_t sp; /* the stack pointer after that return */
	uintptr_t fp; /* rbp after that return */
};

/*
 * The place that called the function this is used in, which the compiler
 * gives a frame pointer for it.
 */
#define UNWIND_CALLER()                                           \
	((struct unwind_start){                                   \
		.pc = (uintptr_t)__builtin_return_address(0),     \
		.sp = (uintptr_t)__builtin_frame_address(0) + 16, \
		.fp = *(const uintptr_t *)__builtin_frame_address(0)})

/*
 * Store up to DEPTH return addresses, START's first, in FRAMES.  Returns how
 * many, at least 1.  The address interrupted by a signal is stored plus 1, so
 * that minus 1 gives the instruction for every frame.
 */
unsigned unwind_capture(const struct unwind_start *start, uintptr_t *frames,
			unsigned depth);

/* How to get from a frame that returns to PC to its caller's. */
struct cfi_rule unwind_rule(uintptr_t pc);

/*
 * RULE, where unwind_apply_fast() can do with it; else another, that it
 * refuses.  What goes by the stack pointer is looked at here, once.
 */
static inline struct cfi_rule unwind_fast(struct cfi_rule rule)
{
	bool fits =
		rule.base == CFI_RBP ||
		(rule.base == CFI_RSP && rule.offset > 0 && !(rule.offset & 7));

	if (rule.rbp_saved)
		fits &= rule.rbp_saved == 1 && rule.rbp_offset <= -8 &&
			(rule.base == CFI_RBP ||
			 rule.rbp_offset >= -rule.offset);
	if (!fits && rule.base != CFI_NONE)
		rule.base = CFI_SIGNAL;
	return rule;
}

/*
 * From a frame to its caller's by RULE of unwind_fast(): all that is read lies
 * between *SP and HIGH.  False: it does not, and nothing was changed.
 */
static inline bool unwind_apply_fast(struct cfi_rule rule, uintptr_t high,
				     uintptr_t *pc, uintptr_t *sp,
				     uintptr_t *fp)
{
	uintptr_t cfa = rule.base == CFI_RSP ? *sp : *fp;

	cfa += (uintptr_t)(intptr_t)rule.offset;
	if (rule.base != CFI_RSP &&
	    (rule.base != CFI_RBP || cfa <= *sp || cfa & 7 ||
	     (rule.rbp_saved && cfa + (uintptr_t)rule.rbp_offset < *sp)))
		return false;
	if (cfa > high)
		return false;
	if (rule.rbp_saved)
		*fp = *(const uintptr_t *)(cfa + (uintptr_t)rule.rbp_offset);
	*pc = ((const uintptr_t *)cfa)[-1];
	*sp = cfa;
	return true;
}

/* From FRAME to its caller's.  False: none is known; FRAME then is void. */
bool unwind_step(struct unwind_start *frame);

#endif
