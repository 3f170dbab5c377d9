/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the memory of other processes can be read.  A child is read by its
 * parent, and the parent by its child: to Yama the parent is a stranger, like
 * any other process of the same user.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool/doctor.h"
#include "tool/procmem.h"

static volatile uint64_t sample = UINT64_C(0x616e6f6e7368696d);

/* 0 or errno. */
static int read_sample(pid_t pid)
{
	struct procmem mem;
	uint64_t got = 0;
	int status;

	procmem_init(&mem, pid);
	status = space_read(&mem.space, (uintptr_t)&sample, &got, sizeof(got));
	if (status == 0 && got != sample)
		return EIO;
	return -status;
}

/* The child waits on a pipe until the parent is done with it, or gone. */
static int read_child(void)
{
	int hold[2], error;
	pid_t child;

	if (pipe(hold) != 0)
		return errno;
	child = fork();
	if (child == 0) {
		char byte;

		close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 1);
	}
	close(hold[0]);
	error = child > 0 ? read_sample(child) : errno;
	close(hold[1]);
	if (child > 0)
		waitpid(child, NULL, 0);
	return error;
}

static int read_stranger(void)
{
	pid_t parent = getpid(), child = fork();
	int status;

	if (child < 0)
		return errno;
	if (child == 0)
		_exit(read_sample(parent));
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return EIO;
	return WEXITSTATUS(status);
}

void doctor_own_children(struct doctor_result *result)
{
	int error = read_child();

	if (error == 0)
		doctor_say(result, DOCTOR_OK, NULL,
			   "process_vm_readv reads a child");
	else
		doctor_say(result, DOCTOR_LIMITED,
			   "let process_vm_readv through the seccomp filter "
			   "or add CAP_SYS_PTRACE (containers: --cap-add "
			   "SYS_PTRACE)",
			   "process_vm_readv of a child: %s; reports work from "
			   "smaps alone",
			   strerror(error));
}

void doctor_other_processes(struct doctor_result *result)
{
	long scope = doctor_sysctl("kernel/yama/ptrace_scope");
	int error = read_stranger();
	char yama[48] = "no Yama";

	if (scope >= 0)
		snprintf(yama, sizeof(yama), "kernel.yama.ptrace_scope=%ld",
			 scope);
	if (error == 0)
		doctor_say(result, DOCTOR_OK, NULL,
			   "processes of this user can be read (%s)", yama);
	else
		doctor_say(result, DOCTOR_LIMITED,
			   scope > 0 ? "run reports as root, or sysctl "
				       "kernel.yama.ptrace_scope=0"
				     : "run reports as root",
			   "other processes cannot be read (%s, %s): without "
			   "names in the kernel reports show smaps alone",
			   strerror(error), yama);
}
