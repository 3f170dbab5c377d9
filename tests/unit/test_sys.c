/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw system calls, and the hook that lets tests fail them.
 */
#include "base/mem.h"
#include "base/sys.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

Test(sys, errors_are_results_and_errno_is_left_alone)
{
	errno = 4242;
	cr_assert_eq(sys_open("/nonexistent", O_RDONLY, 0), -ENOENT);
	cr_assert_eq(sys_close(-1), -EBADF);
	cr_assert_eq(sys_munmap((void *)1, 1), -EINVAL);
	cr_assert_eq(errno, 4242);
}

Test(sys, failed)
{
	cr_assert(sys_failed(-1));
	cr_assert(sys_failed(-4095));
	cr_assert(!sys_failed(-4096), "an address of the upper half");
	cr_assert(!sys_failed(0));
	cr_assert(!sys_failed(0x7fffffffffff));
}

Test(sys, files)
{
	char buf[16] = "";
	uint64_t dev;
	uint64_t ino;
	uint64_t size = 0;
	struct stat st;
	int fd = memfd_create("x", 0);

	cr_assert_eq(sys_write(fd, "hello", 5), 5);
	cr_assert_eq(sys_pread(fd, buf, 3, 2), 3);
	cr_assert_str_eq(buf, "llo");
	cr_assert_eq(sys_fstat(fd, &dev, &ino, &size), 0);
	fstat(fd, &st);
	cr_assert(dev == st.st_dev && ino == st.st_ino && size == 5);
	cr_assert_eq(sys_getpid(), getpid());
	cr_assert_eq(sys_gettid(), gettid());
}

Test(sys, descriptors_are_closed_on_exec)
{
	long fd = sys_open("/dev/null", O_RDONLY, 0);

	cr_assert_geq(fd, 0);
	cr_assert(fcntl((int)fd, F_GETFD) & FD_CLOEXEC);
	cr_assert_eq(sys_close((int)fd), 0);
}

Test(sys, signals_are_blocked_and_restored)
{
	sigset_t before;
	sigset_t inside;
	sigset_t after;
	uint64_t mask;

	sigemptyset(&before);
	sigaddset(&before, SIGUSR2);
	sigprocmask(SIG_SETMASK, &before, NULL);
	sys_signals_block(&mask);
	sigprocmask(SIG_SETMASK, NULL, &inside);
	sys_signals_restore(&mask);
	sigprocmask(SIG_SETMASK, NULL, &after);
	cr_assert(sigismember(&inside, SIGALRM));
	cr_assert(sigismember(&inside, SIGUSR1));
	cr_assert(!sigismember(&after, SIGALRM));
	cr_assert(sigismember(&after, SIGUSR2));
}

static uint32_t word;

static void *waker(void *arg)
{
	(void)arg;
	__atomic_store_n(&word, 1, __ATOMIC_RELEASE);
	sys_futex_wake(&word, 1);
	return NULL;
}

Test(sys, futex)
{
	pthread_t thread;

	cr_assert_eq(sys_futex_wait(&word, 5, 1000000), -EAGAIN);
	cr_assert_eq(sys_futex_wait(&word, 0, 1000), -ETIMEDOUT);
	pthread_create(&thread, NULL, waker, NULL);
	while (!__atomic_load_n(&word, __ATOMIC_ACQUIRE))
		sys_futex_wait(&word, 0, 1000000000);
	pthread_join(thread, NULL);
}

Test(sys, the_hook_stands_in_for_a_call)
{
	fault_set(SYS_getpid, -EPERM, 1, 2);
	cr_assert_eq(sys_getpid(), getpid());
	cr_assert_eq(sys_getpid(), -EPERM);
	cr_assert_eq(sys_getpid(), -EPERM);
	cr_assert_eq(sys_getpid(), getpid());
	cr_assert_eq(fault_count(), 4);
	fault_none();
	cr_assert_eq(sys_getpid(), getpid());
}

static uintptr_t observed_start;
static uintptr_t observed_end;

static void observe(uintptr_t start, uintptr_t end)
{
	observed_start = start;
	observed_end = end;
}

Test(mem, mappings_are_whole_zeroed_pages_and_told_of)
{
	char *p;

	mem_set_observer(observe);
	p = mem_map(PAGE + 1);
	cr_assert_not_null(p);
	cr_assert_eq((uintptr_t)p % PAGE, 0);
	cr_assert_eq(observed_start, (uintptr_t)p);
	cr_assert_eq(observed_end, (uintptr_t)p + 2 * PAGE);
	for (size_t i = 0; i < 2 * PAGE; i++)
		cr_assert_eq(p[i], 0);
}

Test(mem, none_left)
{
	mem_set_observer(observe);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert_null(mem_map(1));
	cr_assert_eq(observed_start, 0);
	fault_none();
	cr_assert_null(mem_map(SIZE_MAX / 2));
}

Test(mem, pages)
{
	cr_assert_eq(page_up(0), 0);
	cr_assert_eq(page_up(1), PAGE);
	cr_assert_eq(page_up(PAGE), PAGE);
	cr_assert_eq(page_down(PAGE - 1), 0);
	cr_assert_eq(page_down(PAGE), PAGE);
}

/* Objects ------------------------------------------------------------------ */

Test(sys, objects)
{
	int fd = memfd_create("x", 0);
	struct sys_object o;
	struct stat st;

	cr_assert_eq(ftruncate(fd, 10 * PAGE), 0);
	cr_assert_eq(pwrite(fd, "x", 1, 3 * PAGE), 1);
	fstat(fd, &st);
	cr_assert_eq(sys_object(fd, &o), 0);
	cr_assert(o.dev == st.st_dev && o.ino == st.st_ino);
	cr_assert_eq(o.size, 10 * PAGE);
	cr_assert_eq(o.held, PAGE, "holes hold nothing");
	cr_assert_eq(o.links, 0);
	cr_assert(!o.is_zero);
	cr_assert_eq(sys_huge_bytes(fd), 0);
}

Test(sys, objects_with_names)
{
	char path[] = "/tmp/anonshim-XXXXXX";
	int fd = mkstemp(path);
	struct sys_object o;

	cr_assert_eq(sys_object(fd, &o), 0);
	cr_assert_eq(o.links, 1);
	unlink(path);
	cr_assert_eq(sys_object(fd, &o), 0);
	cr_assert_eq(o.links, 0);
}

Test(sys, what_is_no_object)
{
	struct sys_object o;
	int ends[2];

	cr_assert_eq(sys_object(open("/dev/zero", O_RDWR), &o), 0);
	cr_assert(o.is_zero);
	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(sys_object(ends[0], &o), -EINVAL);
	cr_assert_eq(sys_object(open("/dev/null", O_RDWR), &o), -EINVAL);
	cr_assert_eq(sys_object(open("/", O_RDONLY), &o), -EINVAL);
	cr_assert_eq(sys_object(-1, &o), -EBADF);
	cr_assert_eq(sys_huge_bytes(-1), 0);
}

Test(sys, huge_pages_have_their_size)
{
	int fd = memfd_create("x", MFD_HUGETLB | MFD_HUGE_2MB);
	struct sys_object o;

	if (fd < 0)
		cr_skip("no hugetlbfs");
	cr_assert_eq(sys_huge_bytes(fd), 2 << 20);
	cr_assert_eq(sys_object(fd, &o), 0);
	cr_assert(o.is_large);
}

static void *wait_for_end(void *arg)
{
	char c;

	return read(*(int *)arg, &c, 1) ? arg : NULL;
}

Test(sys, threads_are_counted)
{
	unsigned before = sys_threads();
	pthread_t thread[5];
	int ends[2];

	cr_assert_geq(before, 1);
	cr_assert_eq(pipe(ends), 0);
	for (int i = 0; i < 5; i++)
		pthread_create(&thread[i], NULL, wait_for_end, &ends[0]);
	cr_assert_eq(sys_threads(), before + 5);
	close(ends[1]);
	for (int i = 0; i < 5; i++)
		pthread_join(thread[i], NULL);
	/* pthread_join() does not wait for the kernel's record to go */
	for (int i = 0; i < 1000 && sys_threads() != before; i++)
		usleep(1000);
	cr_assert_eq(sys_threads(), before);
	fault_set(SYS_newfstatat, -ENOENT, 0, -1);
	cr_assert_eq(sys_threads(), 1);
}

Test(sys, limits)
{
	struct rlimit64 was;
	struct rlimit64 to = {12345, RLIM64_INFINITY};

	cr_assert_eq(sys_rlimit(RLIMIT_FSIZE, &to, &was), 0);
	cr_assert_eq(sys_rlimit(RLIMIT_FSIZE, &was, &to), 0);
	cr_assert_eq(to.rlim_cur, 12345);
	cr_assert_eq(sys_rlimit(-1, NULL, &was), -EINVAL);
}
