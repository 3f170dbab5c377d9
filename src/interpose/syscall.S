/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall(2), exported.
 *
 * In assembler because libc's is: a program may start a child on a stack of
 * its own, or share its stack with one (SYS_clone, SYS_vfork), and what a C
 * function keeps there would not be there.  Numbers that the shim does not
 * watch therefore jump to the next definition with every register and the
 * stack as they came.
 */
#define WATCHED 512 /* as in interpose.c */
#define REAL_SYSCALL_OFFSET 24 /* of real.syscall; env/real.h keeps it */

	.text
	.globl	syscall
	.type	syscall, @function
syscall:
	.cfi_startproc
	cmpq	$WATCHED, %rdi
	jae	2f
	leaq	interpose_watched(%rip), %rax
	movzbl	(%rax,%rdi), %eax
	cmpl	$1, %eax
	je	1f
	ja	3f
2:	jmp	*(REAL_SYSCALL_OFFSET + real)(%rip)

	/* fork_watched(nr, the first two arguments) */
3:	pushq	%rdi
	.cfi_adjust_cfa_offset 8
	pushq	%rsi
	.cfi_adjust_cfa_offset 8
	pushq	%rdx
	.cfi_adjust_cfa_offset 8
	pushq	%rcx
	.cfi_adjust_cfa_offset 8
	pushq	%r8
	.cfi_adjust_cfa_offset 8
	pushq	%r9
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	call	fork_watched
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%r9
	.cfi_adjust_cfa_offset -8
	popq	%r8
	.cfi_adjust_cfa_offset -8
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	popq	%rdx
	.cfi_adjust_cfa_offset -8
	popq	%rsi
	.cfi_adjust_cfa_offset -8
	popq	%rdi
	.cfi_adjust_cfa_offset -8
	testb	%al, %al
	jz	2b

	/* interpose_syscall(nr, six arguments, where it was called from) */
1:	pushq	%rbp
	.cfi_def_cfa_offset 16
	.cfi_offset %rbp, -16
	movq	%rsp, %rbp
	.cfi_def_cfa_register %rbp
	subq	$80, %rsp
	movq	%rsi, 0(%rsp)
	movq	%rdx, 8(%rsp)
	movq	%rcx, 16(%rsp)
	movq	%r8, 24(%rsp)
	movq	%r9, 32(%rsp)
	movq	16(%rbp), %rax	/* the sixth comes on the stack */
	movq	%rax, 40(%rsp)
	movq	8(%rbp), %rax	/* struct unwind_start: pc, sp, fp */
	movq	%rax, 48(%rsp)
	leaq	16(%rbp), %rax
	movq	%rax, 56(%rsp)
	movq	0(%rbp), %rax
	movq	%rax, 64(%rsp)
	movq	%rsp, %rsi
	leaq	48(%rsp), %rdx
	call	interpose_syscall
	leave
	.cfi_def_cfa %rsp, 8
	ret
	.cfi_endproc
	.size	syscall, .-syscall
	.section .note.GNU-stack, "", @progbits
