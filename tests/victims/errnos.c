/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Results and errno of every interposed function, in success and in failure:
 * printed, to be compared with a run without the shim.
 */
#include "victim.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>

#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define NOREPLACE 0x100000 /* MAP_FIXED_NOREPLACE */
#define NOBODY ((void *)(PAGE * 7 + 1))

static void tell(const char *what, long result)
{
	int err = errno;

	printf("%s: %s, errno %d\n", what,
	       result == -1    ? "-1"
	       : result == 0   ? "0"
	       : result < 4096 ? "small"
			       : "some address",
	       err);
	errno = EILSEQ;
}

#define TELL(call) (errno = EILSEQ, tell(#call, (long)(call)))

static void *idle(void *arg)
{
	return arg;
}

static void try_mmap(void)
{
	int fd = open("/dev/null", O_RDONLY);
	char *taken = anon(1);

	TELL(mmap(NULL, PAGE, PROT_READ, PRIVATE, -1, 0));
	TELL(mmap(NULL, 0, PROT_READ, PRIVATE, -1, 0));
	TELL(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0));
	TELL(mmap(NULL, PAGE, PROT_READ, PRIVATE, -1, 1));
	TELL(mmap(NULL, 1UL << 60, PROT_READ, PRIVATE, -1, 0));
	TELL(mmap(NULL, -1UL, PROT_READ, PRIVATE, -1, 0));
	TELL(mmap(NOBODY, PAGE, PROT_READ, PRIVATE | MAP_FIXED, -1, 0));
	TELL(mmap(NULL, PAGE, PROT_READ, PRIVATE | MAP_FIXED, -1, 0));
	TELL(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0));
	TELL(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
	TELL(mmap64(NULL, 0, PROT_READ, PRIVATE, -1, 0));
	TELL(mmap64(NULL, PAGE, PROT_READ, PRIVATE, -1, 0));
	TELL(mmap(taken, PAGE, PROT_READ, PRIVATE | NOREPLACE, -1, 0));
	TELL(mmap(taken + 1, PAGE, PROT_READ, PRIVATE | NOREPLACE, -1, 0));
	TELL(mmap(NULL, PAGE, PROT_READ, PRIVATE | MAP_HUGETLB, -1, 0));
	TELL(syscall(SYS_mmap, NULL, PAGE, PROT_READ, PRIVATE, -1, 0L));
	TELL(syscall(SYS_mmap, NULL, 0L, PROT_READ, PRIVATE, -1, 0L));
	close(fd);
}

static void try_munmap(void)
{
	char *p = anon(16);

	TELL(munmap(p, PAGE));
	TELL(munmap(p, PAGE));
	TELL(munmap(p + 1, PAGE));
	TELL(munmap(p, 0));
	TELL(munmap(p, -1UL));
	TELL(syscall(SYS_munmap, p + PAGE, PAGE));
	TELL(syscall(SYS_munmap, p + PAGE, 0L));
}

static void try_mremap(void)
{
	char *p = anon(16);
	char *q = anon(16);

	TELL(mremap(p, PAGE, 0, 0));
	TELL(mremap(p + 1, PAGE, PAGE, 0));
	TELL(mremap(p, PAGE, PAGE, 8192));
	TELL(mremap(p, PAGE, 1UL << 60, MREMAP_MAYMOVE));
	TELL(mremap(p, 0, PAGE, MREMAP_MAYMOVE));
	TELL(mremap(p, 16 * PAGE, 8 * PAGE, 0));
	TELL(mremap(NOBODY, PAGE, PAGE * 2, MREMAP_MAYMOVE));
	TELL(mremap(p, PAGE, PAGE, MREMAP_FIXED, q));
	TELL(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q + 1));
	TELL(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p));
	TELL(mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, q));
	TELL(syscall(SYS_mremap, q, PAGE, 1UL << 60, MREMAP_MAYMOVE, 0L));
	TELL(syscall(SYS_mremap, q, PAGE, 3 * PAGE, MREMAP_MAYMOVE, 0L));
}

static void try_brk(void)
{
	char *end = sbrk(0);

	TELL(sbrk(0));
	TELL(sbrk(PAGE));
	TELL(sbrk(-(long)PAGE));
	TELL(sbrk(1L << 60));
	TELL(brk(end + 2 * PAGE));
	TELL(brk(end));
	TELL(brk((void *)(1UL << 60)));
	TELL(syscall(SYS_brk, 0L) == (long)end);
}

static void try_prctl(void)
{
	char *p = anon(4);
	char name[16];

	TELL(prctl(PR_GET_NAME, name));
	TELL(prctl(PR_SET_NAME, "errnos"));
	TELL(prctl(-1, 0, 0, 0, 0));
	TELL(prctl(PR_GET_DUMPABLE));
	TELL(prctl(PR_SET_NAME, 8));
	TELL(prctl(PR_CAPBSET_READ, 1000));
	TELL(prctl(0x53564d41, 0, p, PAGE, "name"));
	TELL(prctl(0x53564d41, 0, p, PAGE, "na[me"));
	TELL(prctl(0x53564d41, 0, p + 1, PAGE, "name"));
	TELL(prctl(0x53564d41, 0, PAGE * 7, PAGE, "name"));
	TELL(prctl(0x53564d41, 0, p, 0, "name"));
	TELL(prctl(0x53564d41, 1, p, PAGE, "name"));
	TELL(prctl(0x53564d41, 0, p, PAGE, 8));
	TELL(prctl(0x53564d41, 0, p, 9 * PAGE, NULL));
	TELL(syscall(SYS_prctl, 0x53564d41, 0L, p, PAGE, "name"));
	TELL(syscall(SYS_prctl, -1L, 0L, 0L, 0L, 0L));
	TELL(prctl(PR_SET_SECCOMP, 77, 0));
	TELL(prctl(PR_GET_SECCOMP));
	TELL(syscall(SYS_seccomp, 77L, 0L, 0L));
}

static void try_thread(void)
{
	pthread_attr_t attr;
	pthread_t thread;

	TELL(pthread_create(&thread, NULL, idle, NULL));
	TELL(pthread_join(thread, NULL));
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1UL << 50);
	TELL(pthread_create(&thread, &attr, idle, NULL));
	TELL(pthread_attr_setstack(&attr, anon(64), 64 * PAGE));
	TELL(pthread_create(&thread, &attr, idle, NULL));
	TELL(pthread_join(thread, NULL));
}

int main(void)
{
	victim_begin();
	setvbuf(stdout, NULL, _IOFBF, 65536);
	printf("\n");
	try_mmap();
	try_munmap();
	try_mremap();
	try_brk();
	try_prctl();
	try_thread();
	TELL(syscall(-1L));
	TELL(syscall(99999L));
	TELL(syscall(SYS_getpid) == getpid());
	TELL(syscall(SYS_close, -1L));
	return 0;
}
