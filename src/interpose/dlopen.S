/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * dlopen(3), exported.
 *
 * A library that is loaded with RTLD_DEEPBIND would have libc's malloc and
 * free, not those that everything else in the process has, and hand on, or be
 * handed, blocks that the other side does not know; so while the heap runs the
 * flag is left out.  In assembler because the loader looks where dlopen()
 * returns to: it is jumped to, and finds its caller as if nothing were between.
 */
#define RTLD_DEEPBIND 8
#define HEAP_RUNS 1	       /* heap/heap.h keeps it */
#define REAL_DLOPEN_OFFSET 32 /* of real.dlopen; env/real.h keeps it */

	.text
	.globl	dlopen
	.type	dlopen, @function
dlopen:
	.cfi_startproc
	cmpl	$HEAP_RUNS, heap_state(%rip)
	jne	1f
	andl	$~RTLD_DEEPBIND, %esi
1:	jmp	*(REAL_DLOPEN_OFFSET + real)(%rip)
	.cfi_endproc
	.size	dlopen, .-dlopen
	.section .note.GNU-stack, "", @progbits
