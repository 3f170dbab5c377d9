/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every system call the shim makes fails, at every place it is made, with
 * every error it may give: nothing crashes, and the program's own calls have
 * the results they would have had.
 */
#include "base/sys.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "support.h"
#include "track/life.h"
#include "track/namer.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct failing {
	long nr;
	int err;
};

static struct failing list[] = {
	{SYS_mmap, ENOMEM},
	{SYS_munmap, ENOMEM},
	{SYS_madvise, EINVAL},
	{SYS_prctl, EINVAL},
	{SYS_prctl, ENOMEM},
	{SYS_prctl, EAGAIN},
	{SYS_openat, EMFILE},
	{SYS_openat, ENOENT},
	{SYS_openat, EACCES},
	{SYS_read, EIO},
	{SYS_read, EINTR},
	{SYS_close, EINTR},
	{SYS_fstat, EIO},
	{SYS_ioctl, ENOTTY},
	{SYS_readlinkat, ENOENT},
	{SYS_rt_sigprocmask, EPERM},
	{SYS_futex, ENOSYS},
	{SYS_clock_gettime, ENOSYS},
	{SYS_write, ENOSPC},
	{SYS_getpid, EPERM},
	{SYS_process_vm_readv, EPERM},
};

static void program_calls(void)
{
	struct mmap_args a = {NULL,
			      4 * PAGE,
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS,
			      -1,
			      0,
			      KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();
	struct mremap_args m = {NULL, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE, NULL};
	char *p = track_mmap(&a, &caller);

	if (p == MAP_FAILED)
		_exit(10);
	p[0] = 1;
	track_set_name((unsigned long)p, PAGE, "named");
	m.old = p;
	p = track_mremap(&m);
	if (p == MAP_FAILED || p[0] != 1)
		_exit(11);
	if (track_munmap(p + PAGE, PAGE) || track_sbrk(PAGE) == (void *)-1)
		_exit(12);
	if (track_munmap(p, 8 * PAGE))
		_exit(13);
}

static bool start_up(void)
{
	static char variable[] = "ANONSHIM_OPTIONS=verbose=1,help=1,x=y";
	static char *envp[] = {variable, NULL};
	const char *options = config_init(envp);

	config_help();
	real_init();
	caps_init(namer_probe);
	config_print();
	caps_print();
	return life_start("test", options) == 0;
}

/* In a child, so that one crash does not hide the others. */
static int with_fault(const struct failing *f, unsigned pass, int times,
		      bool early)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		alarm(20);
		dup2(open("/dev/null", 1), 2);
		if (early)
			fault_set(f->nr, -f->err, pass, times);
		if (!start_up())
			_exit(early ? 0 : 9);
		if (!early)
			fault_set(f->nr, -f->err, pass, times);
		program_calls();
		fault_none();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

ParameterizedTestParameters(faults, every_call_everywhere)
{
	return cr_make_param_array(struct failing, list,
				   sizeof(list) / sizeof(list[0]));
}

ParameterizedTest(struct failing *f, faults, every_call_everywhere,
		  .timeout = 120)
{
	for (unsigned pass = 0; pass < 12; pass++)
		for (int early = 0; early < 2; early++)
			for (int times = -1; times <= 1; times += 2) {
				/* reading for ever is what EINTR asks for */
				if (f->err == EINTR && times < 0)
					continue;
				cr_assert_eq(with_fault(f, pass, times, early),
					     0,
					     "call %ld errno %d pass %u times "
					     "%d early %d",
					     f->nr, f->err, pass, times, early);
			}
}
