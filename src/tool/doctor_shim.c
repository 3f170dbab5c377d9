/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the shim is there and works.  The tool starts itself under it and
 * lets that child look for the registry in its own memory, the way a report
 * would.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool/doctor.h"
#include "tool/procmem.h"
#include "tool/registry_read.h"
#include "tool/shim_locate.h"
#include "tool/shim_path.h"
#include "tool/vma.h"

/* Exit statuses of the child. */
enum { CHILD_GOOD = 0, CHILD_NO_SHIM = 3, CHILD_NO_REGISTRY = 4 };

#define INSTALL "install libanonshim.so beside anonshim or in ../lib from there"

void doctor_shim(struct doctor_result *result)
{
	char path[PATH_MAX];

	if (shim_path_find(path, sizeof(path)) != 0)
		doctor_say(result, DOCTOR_FAILED, INSTALL,
			   "libanonshim.so is not to be found");
	else if (shim_path_splits(path))
		doctor_say(result, DOCTOR_FAILED,
			   "install anonshim where the path has no blank and "
			   "no colon",
			   "LD_PRELOAD cannot hold %.200s", path);
	else
		doctor_say(result, DOCTOR_OK, NULL, "%.250s", path);
}

int doctor_self_check(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct vma_list vmas = {NULL, 0, 0};
	struct strpool pool = {NULL, 0, 0, NULL};
	struct registry reg;
	struct procmem mem;
	uint64_t head;
	int status;

	if (fd < 0 || vma_list_read(&vmas, fd, &pool) != 0)
		return CLI_FAILED;
	procmem_init(&mem, getpid());
	status = shim_locate(&vmas, &mem.space, &head);
	if (status == -ENOENT)
		return CHILD_NO_SHIM;
	if (status != 0 || registry_read(&reg, &mem.space, head) != 0)
		return CHILD_NO_REGISTRY;
	return CHILD_GOOD;
}

static _Noreturn void be_child(const char *shim, int messages)
{
	dup2(messages, STDERR_FILENO);
	unsetenv("ANONSHIM_OPTIONS");
	shim_path_preload(shim, "");
	execl("/proc/self/exe", "anonshim", "doctor", "--self-check",
	      (char *)NULL);
	_exit(CLI_RUN_FAILED);
}

/* What the child wrote, its first line. */
static void read_line(int fd, char *to, size_t bytes)
{
	size_t used = 0;
	ssize_t got;

	while (used < bytes - 1 &&
	       (got = read(fd, to + used, bytes - 1 - used)) > 0)
		used += (size_t)got;
	to[used] = '\0';
	to[strcspn(to, "\n")] = '\0';
}

/* The child's wait status, or -errno. */
static int run_child(const char *shim, char *message, size_t bytes)
{
	int pipes[2], status = 0;
	pid_t child;

	message[0] = '\0';
	if (pipe2(pipes, O_CLOEXEC) != 0)
		return -errno;
	fflush(stdout);
	child = fork();
	if (child == 0)
		be_child(shim, pipes[1]);
	close(pipes[1]);
	if (child > 0) {
		read_line(pipes[0], message, bytes);
		if (waitpid(child, &status, 0) != child)
			status = -errno;
	} else {
		status = -errno;
	}
	close(pipes[0]);
	return status;
}

static void judge(struct doctor_result *result, int status, const char *message)
{
	static const char remedy[] =
		"run anonshim run -o verbose=1 -- true and see what it says";

	if (status < 0)
		doctor_say(result, DOCTOR_FAILED, "see ulimit -u",
			   "no child could be started: %s", strerror(-status));
	else if (WIFSIGNALED(status))
		doctor_say(result, DOCTOR_FAILED, remedy,
			   "a child under the shim died of signal %d (%s)",
			   WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) == CHILD_GOOD)
		doctor_say(result, DOCTOR_OK, NULL,
			   "a child has the shim, and its registry was read");
	else if (WEXITSTATUS(status) == CHILD_NO_SHIM)
		doctor_say(result, DOCTOR_FAILED,
			   "check with ldd what libanonshim.so lacks",
			   "the loader did not load the shim: %.160s", message);
	else if (WEXITSTATUS(status) == CHILD_NO_REGISTRY)
		doctor_say(result, DOCTOR_FAILED, remedy,
			   "the shim is loaded but has no registry%s%.160s",
			   message[0] != '\0' ? ": " : "", message);
	else
		doctor_say(result, DOCTOR_FAILED, remedy,
			   "a child under the shim ended with status %d%s"
			   "%.160s",
			   WEXITSTATUS(status), message[0] != '\0' ? ": " : "",
			   message);
}

void doctor_preload(struct doctor_result *result)
{
	char path[PATH_MAX], message[192];
	int status;

	if (shim_path_find(path, sizeof(path)) != 0) {
		doctor_say(result, DOCTOR_FAILED, INSTALL,
			   "not tried: there is no libanonshim.so");
		return;
	}
	status = run_child(path, message, sizeof(message));
	judge(result, status, message);
}
