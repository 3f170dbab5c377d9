/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Installs a seccomp filter that kills at any call but memory's, threads' and
 * write's; then maps, remaps, unmaps and, with the argument "thread", makes a
 * thread.  "raw": installed through syscall(SYS_seccomp).  "malloc": it kills
 * at madvise(), and what was malloc'ed is much.
 */
#include "victim.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>

#define ALLOW(nr)                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	ALLOW(mmap),
	ALLOW(munmap),
	ALLOW(mremap),
	ALLOW(mprotect),
	ALLOW(madvise), /* see main() */
	ALLOW(brk),
	ALLOW(write),
	ALLOW(futex),
	ALLOW(exit),
	ALLOW(exit_group),
	ALLOW(clone),
	ALLOW(clone3),
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rseq),
	ALLOW(set_robust_list),
	ALLOW(sched_getaffinity),
	ALLOW(gettid),
	ALLOW(fstat),
	ALLOW(getrandom),
	ALLOW(newfstatat),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

static void *worker(void *arg)
{
	munmap(touch(anon(3), 3), 3 * PAGE);
	return arg;
}

/* What is freed goes back to the kernel in some way that is permitted. */
static void malloc_much(void)
{
	static void *volatile p[20];

	for (int round = 0; round < 3; round++)
		for (size_t size = PAGE; size <= (size_t)64 << 20; size *= 4) {
			for (int i = 0; i < 20; i++)
				memset(p[i] = malloc(size), 1, size);
			for (int i = 0; i < 20; i++)
				free(p[i]);
		}
}

static int install(int raw)
{
	if (raw)
		return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0,
				    &program);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	pthread_t thread;
	char *p;

	victim_begin();
	touch(anon(2), 2);
	for (size_t i = 0; i < sizeof(filter) / sizeof(*filter); i++)
		if (!strcmp(how, "malloc") && filter[i].k == SYS_madvise)
			filter[i].k = SYS_mmap;
	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	if (install(!strcmp(how, "raw")))
		SKIP("no seccomp");
	for (int i = 0; i < 300; i++) {
		p = touch(anon(3), 3);
		p = mremap(p, 3 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
		CHECK(p != MAP_FAILED);
		if (i % 2)
			CHECK(!munmap(p, 5 * PAGE));
	}
	if (!strcmp(how, "malloc"))
		malloc_much();
	if (!strcmp(how, "thread")) {
		CHECK(!pthread_create(&thread, NULL, worker, NULL));
		CHECK(!pthread_join(thread, NULL));
	}
	if (!strcmp(how, "dlopen"))
		syscall(SYS_openat, -1, "x", 0);
	if (write(1, "fine\n", 5) != 5)
		_exit(1);
	_exit(0);
}
