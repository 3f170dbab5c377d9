/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_limits WHICH: a fork under a limit that leaves little room works whole,
 * or fails with ENOMEM or EAGAIN and nothing is lost: the twin is what it was,
 * no descriptor and no mapping stays, and with the limit gone fork works.
 *
 *	nofile	so many descriptors, from none on
 *	child	none, in a child
 *	as	so many pages, from none on
 *	fsize	files may have no byte: no signal either
 *	nproc	no child at all (as another user)
 *	noproc	no /proc, in the working directory
 *	refused	system calls that only a copy needs are refused
 *	forbidden they end the process
 *	huge	hugetlb pages, as many free as the argument says are enough
 */
#include "fork_help.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define TWIN_PAGES 8
#define ROOM_MAX 40 /* descriptors, or pages */
#define NOBODY 65534
#define HUGE_BYTES (2UL << 20)

static struct twin twin;
static struct talk talk;
static unsigned worked, failed;

static size_t count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	size_t n = 0;
	int c;

	CHECK(file);
	while ((c = getc(file)) != EOF)
		n += c == '\n' && 1;
	fclose(file);
	return n;
}

static void fork_works(void)
{
	twin_before(&twin);
	talk_open(&talk);
	twin_both(&twin, &talk, fork());
}

/* With LIMIT at VALUE for as long as fork takes. */
static void fork_under(int limit, rlim_t value)
{
	struct rlimit before, now;
	int error;
	pid_t pid;

	twin_before(&twin);
	talk_open(&talk);
	CHECK(!getrlimit(limit, &before));
	now = (struct rlimit){value, before.rlim_max};
	CHECK(!setrlimit(limit, &now));
	errno = 0;
	pid = fork();
	error = errno;
	CHECK(!setrlimit(limit, &before));
	if (pid >= 0) {
		worked++;
		twin_both(&twin, &talk, pid);
		return;
	}
	failed++;
	if (error != ENOMEM && error != EAGAIN)
		wrong("fork failed with errno %d", error);
	for (int i = 0; i < 2; i++) {
		CHECK(!close(talk.down[i]));
		CHECK(!close(talk.up[i]));
	}
	twin_see(&twin, VALUE_BEFORE, "after fork failed");
}

/* The lowest number above all open ones, so that the next is refused. */
static rlim_t first_free(void)
{
	int pair[2], fd;

	CHECK(!pipe(pair)); /* as fork_under has two more */
	fd = dup(0);
	CHECK(fd >= 0);
	close(pair[0]);
	close(pair[1]);
	close(fd);
	return (rlim_t)fd + 2;
}

/* In a child, that has its own copy already: fork works whole or not at all. */
static void fork_somehow(void)
{
	pid_t pid;

	twin_before(&twin);
	talk_open(&talk);
	errno = 0;
	pid = fork();
	if (pid >= 0)
		twin_both(&twin, &talk, pid);
	else if (errno != ENOMEM && errno != EAGAIN)
		wrong("fork failed with errno %d", errno);
	else
		twin_see(&twin, VALUE_BEFORE, "after fork failed");
}

static void without_proc(void)
{
	if (geteuid())
		SKIP("not root");
	CHECK(!chroot("."));
	CHECK(access("/proc/self", F_OK)); /* not run in / */
	fork_somehow();
	_exit(0);
}

/* As sandboxes do once their program runs: EPERM for what it does not need. */
static void filter_calls(unsigned action)
{
	static const int calls[] = {SYS_memfd_create, SYS_userfaultfd,
				    SYS_openat, SYS_process_vm_readv};
	struct sock_filter program[2 * sizeof(calls) / sizeof(*calls) + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog filter = {1, program};

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		program[filter.len++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, (unsigned)calls[i], 0, 1);
		program[filter.len++] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action);
	}
	program[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
							     SECCOMP_RET_ALLOW);
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		SKIP("no filters");
}

static void with_calls_refused(void)
{
	filter_calls(SECCOMP_RET_ERRNO | EPERM);
	fork_somehow();
	_exit(0);
}

/* Whatever becomes of the copy: this program does nothing forbidden. */
static void with_calls_forbidden(void)
{
	pid_t pid;

	filter_calls(SECCOMP_RET_KILL_PROCESS);
	pid = fork();
	if (pid > 0)
		talk_reap(pid);
	_exit(pid < 0 && errno != ENOMEM && errno != EAGAIN);
}

/* A child's forks fail as its parent's do. */
static void without_descriptors(void)
{
	fork_under(RLIMIT_NOFILE, first_free());
	_exit(0);
}

/* What cannot be taken back is done in a child. */
static void in_a_child(void (*run)(void))
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid)
		run();
	talk_reap(pid);
	worked++;
}

static void limits(const char *which)
{
	if (!strcmp(which, "nofile")) {
		rlim_t first = first_free();

		for (rlim_t n = 0; n < ROOM_MAX; n++)
			fork_under(RLIMIT_NOFILE, first + n);
	} else if (!strcmp(which, "as")) {
		for (rlim_t n = 0; n < ROOM_MAX; n++)
			fork_under(RLIMIT_AS, bytes_now() + n * PAGE);
	} else if (!strcmp(which, "fsize")) {
		fork_under(RLIMIT_FSIZE, 0);
		fork_under(RLIMIT_FSIZE, PAGE);
	} else if (!strcmp(which, "child")) {
		in_a_child(without_descriptors);
	} else if (!strcmp(which, "noproc")) {
		in_a_child(without_proc);
	} else if (!strcmp(which, "refused")) {
		in_a_child(with_calls_refused);
	} else if (!strcmp(which, "forbidden")) {
		in_a_child(with_calls_forbidden);
	} else {
		CHECK(!geteuid() || !strcmp(which, "nproc"));
		CHECK(geteuid() || !setuid(NOBODY));
		fork_under(RLIMIT_NPROC, 0);
		CHECK(failed == 1);
	}
}

/* Mapped twice, of HUGE pages; ENOUGH says whether a copy fits. */
static void huge(bool enough)
{
	size_t bytes = 2 * HUGE_BYTES;
	pid_t pid;

	twin.fd = memfd_create("huge", MFD_HUGETLB | MFD_CLOEXEC);
	if (twin.fd < 0 || ftruncate(twin.fd, (off_t)bytes))
		SKIP("no hugetlb memfd");
	twin.one = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			twin.fd, 0);
	twin.two = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			twin.fd, 0);
	if (twin.one == MAP_FAILED || twin.two == MAP_FAILED)
		SKIP("no huge pages");
	twin.pages = bytes / PAGE;
	if (enough) {
		fork_works();
		fork_works();
		return;
	}
	twin_before(&twin);
	errno = 0;
	pid = fork();
	if (!pid)
		_exit(0);
	if (pid > 0 || errno != ENOMEM)
		wrong("fork is %d, errno %d, with no huge pages left", pid,
		      errno);
	twin_see(&twin, VALUE_BEFORE, "after fork failed");
}

int main(int argc, char **argv)
{
	size_t fds, maps;

	victim_begin();
	CHECK(argc >= 2);
	if (!strcmp(argv[1], "huge")) {
		huge(argc < 3);
		return 0;
	}
	twin_make(&twin, TWIN_PAGES);
	fork_works(); /* what is made once is made now */
	fds = count_fds();
	maps = count_maps();
	limits(argv[1]);
	if (count_fds() != fds)
		wrong("%zu descriptors, not %zu", count_fds(), fds);
	if (count_maps() > maps)
		wrong("%zu mappings, not %zu", count_maps(), maps);
	fork_works();
	printf("worked %u, failed %u\n", worked, failed);
	return 0;
}
