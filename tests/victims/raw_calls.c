/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * syscall() as it is used for what libc has no function for: six arguments,
 * futexes, a child on a stack of its own, a vfork.
 */
#include "victim.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

static void six_arguments(void)
{
	unsigned a = 1, b = 2;
	struct timespec soon = {0, 1000000};
	int fd[2];
	char text[4] = "";

	/* both words hold what they should: wakes none, moves none */
	CHECK(syscall(SYS_futex, &a, FUTEX_CMP_REQUEUE, 1, 1L, &b, 1) == 0);
	CHECK(syscall(SYS_futex, &a, FUTEX_CMP_REQUEUE, 1, 1L, &b, 9) == -1);
	CHECK(errno == EAGAIN);
	CHECK(syscall(SYS_futex, &a, FUTEX_WAIT, 1, &soon, NULL, 0) == -1);
	CHECK(errno == ETIMEDOUT);
	CHECK(!pipe(fd));
	CHECK(write(fd[1], "abc", 3) == 3);
	CHECK(syscall(SYS_pread64, fd[0], text, 3L, 0L) == -1);
	CHECK(errno == ESPIPE);
	CHECK(syscall(SYS_read, fd[0], text, 3L) == 3 && !strcmp(text, "abc"));
	CHECK(syscall(SYS_gettid) == getpid());
	CHECK(syscall(SYS_getppid) == getppid());
}

static void six_arguments_of_mmap(void)
{
	char *p = (char *)syscall(SYS_mmap, NULL, 4 * PAGE,
				  PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L);
	FILE *file = tmpfile();
	char *q;

	CHECK(p != MAP_FAILED);
	CHECK(file && ftruncate(fileno(file), 4 * PAGE) == 0);
	CHECK(pwrite(fileno(file), "x", 1, 2 * PAGE) == 1);
	q = (char *)syscall(SYS_mmap, p, PAGE, PROT_READ,
			    MAP_PRIVATE | MAP_FIXED, fileno(file), 2 * PAGE);
	CHECK(q == p && *q == 'x');
	CHECK(syscall(SYS_munmap, p, 4 * PAGE) == 0);
	fclose(file);
}

/* A child that starts with an empty stack: nothing to return to. */
static void clone_with_stack(void)
{
	char *stack = anon(16);
	long result;
	int status;

	result = syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L);
	if (!result)
		_exit(5);
	CHECK(waitpid((pid_t)result, &status, 0) == result);
	CHECK(WEXITSTATUS(status) == 5);
	munmap(stack, 16 * PAGE);
}

extern long raw_clone_on(void *stack, long flags);
/*
 * long raw_clone_on(stack, flags): syscall(SYS_clone, flags, stack, 0, 0, 0)
 * with the address to return to at the top of the new stack too.
 */
__asm__(".text\n"
	".type raw_clone_on, @function\n"
	"raw_clone_on:\n"
	"	push %rbx\n"
	"	lea -32(%rdi), %rdx\n" /* the new stack, below a frame */
	"	lea 1f(%rip), %rax\n"
	"	mov %rax, (%rdx)\n" /* what syscall's ret takes */
	"	movq $0, 8(%rdx)\n"
	"	mov $56, %edi\n" /* SYS_clone */
	"	xor %ecx, %ecx\n"
	"	xor %r8d, %r8d\n"
	"	xor %r9d, %r9d\n"
	"	push $0\n" /* the sixth argument, and alignment */
	"	push $0\n"
	"	call syscall@PLT\n"
	"	add $16, %rsp\n"
	"	pop %rbx\n"
	"	ret\n"
	"1:	test %rax, %rax\n"
	"	jne 2f\n"
	"	mov $9, %edi\n"
	"	mov $60, %eax\n" /* SYS_exit */
	"	syscall\n"
	"2:	ud2\n"
	".size raw_clone_on, .-raw_clone_on\n");

static void clone_elsewhere(void)
{
	char *stack = touch(anon(16), 16);
	long pid = raw_clone_on(stack + 16 * PAGE,
				CLONE_VM | CLONE_VFORK | SIGCHLD);
	int status;

	CHECK(pid > 0);
	CHECK(waitpid((pid_t)pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static int thread_body(void *arg)
{
	munmap(touch(anon(2), 2), 2 * PAGE);
	*(volatile int *)arg = 1;
	return 3;
}

static void clone_of_libc(void)
{
	char *stack = anon(16);
	int seen = 0;
	int status;
	pid_t pid = clone(thread_body, stack + 16 * PAGE,
			  CLONE_VM | CLONE_VFORK | SIGCHLD, &seen);

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WEXITSTATUS(status) == 3 && seen);
}

int main(void)
{
	victim_begin();
	for (int i = 0; i < 50; i++) {
		six_arguments();
		six_arguments_of_mmap();
		clone_with_stack();
		clone_elsewhere();
		clone_of_libc();
	}
	return 0;
}
