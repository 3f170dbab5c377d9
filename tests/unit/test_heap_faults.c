/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls that the heap makes fail, one after the other and all at once:
 * the program has NULL and ENOMEM, keeps what it has, and the heap goes on
 * when there is memory again.
 */
#include "test_heap_fixture.h"

#include "base/sys.h"

#include <criterion/parameterized.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

struct failing {
	long nr;
	int err;
};

static struct failing list[] = {
	{SYS_mmap, ENOMEM},	     {SYS_mmap, EPERM},
	{SYS_munmap, ENOMEM},	     {SYS_munmap, EINVAL},
	{SYS_madvise, EINVAL},	     {SYS_madvise, ENOMEM},
	{SYS_mprotect, ENOMEM},	     {SYS_getrandom, ENOSYS},
	{SYS_clock_gettime, EPERM},  {SYS_futex, ENOSYS},
	{SYS_rt_sigprocmask, EPERM}, {SYS_prctl, EINVAL},
	{SYS_openat, EMFILE},	     {SYS_sched_yield, ENOSYS},
};

#define HERE ((uintptr_t)here + 1)
#define BLOCKS 300

static __attribute__((noinline, used)) void here(void)
{
	__asm__ volatile("nop; nop; nop; nop");
}

/*
 * jemalloc's own wants of libc, which do not go through the shim's calls, fail
 * with the others.
 */
static bool fails(long nr)
{
	long result = 0;

	if (!sys_hook || !sys_hook(nr, &result))
		return false;
	errno = (int)-result;
	return true;
}

int madvise(void *addr, size_t len, int advice)
{
	if (fails(SYS_madvise))
		return -1;
	return (int)syscall(SYS_madvise, addr, len, advice);
}

int mprotect(void *addr, size_t len, int prot)
{
	if (fails(SYS_mprotect))
		return -1;
	return (int)syscall(SYS_mprotect, addr, len, prot);
}

static char *had[BLOCKS];
static size_t sizes[BLOCKS];

static void check(unsigned i)
{
	size_t size = sizes[i];

	if (had[i] && (had[i][0] != (char)i || had[i][size - 1] != (char)i ||
		       had[i][size / 2] != (char)i))
		_exit(10);
}

/* What is not there is NULL and ENOMEM; what is there is as it should be. */
static void use(unsigned i, uintptr_t pc)
{
	struct unwind_start caller = asker(pc);
	size_t size = i % 10 ? 1 + i * 13 % 5000 : (i + 1) * KIB;

	errno = 0;
	if (!had[i]) {
		had[i] = ask(size, pc);
	} else {
		char *to = heap_realloc(had[i], size + sizes[i], &caller);

		if (!to) {
			if (errno != ENOMEM)
				_exit(11);
			check(i);
			drop(had[i]);
			had[i] = NULL;
			return;
		}
		had[i] = to;
		if (to[0] != (char)i || to[sizes[i] - 1] != (char)i)
			_exit(12);
		size += sizes[i];
	}
	if (!had[i]) {
		if (errno != ENOMEM)
			_exit(13);
		return;
	}
	if (errno)
		_exit(14);
	sizes[i] = size;
	memset(had[i], (int)i, size);
}

static void program_calls(uintptr_t pc)
{
	uint64_t state = 3;

	for (unsigned i = 0; i < BLOCKS; i++)
		use(i, i % 2 ? HERE : pc);
	for (unsigned i = 0; i < BLOCKS; i++)
		check(i);
	for (unsigned k = 0; k < BLOCKS; k++) {
		unsigned i = (unsigned)(draw(&state) % BLOCKS);

		check(i);
		drop(had[i]);
		had[i] = NULL;
		use(i, HERE);
		use(i, pc);
		if (k % 100 == 0)
			heap_trim();
	}
}

static void all_freed(void)
{
	for (unsigned i = 0; i < BLOCKS; i++) {
		check(i);
		drop(had[i]);
		had[i] = NULL;
	}
	if (heap_state == HEAP_RUNS && (live_all() || heap_totals().held))
		_exit(15);
	if (heap_state == HEAP_RUNS && live_accounts(NULL))
		_exit(16);
}

/* With memory there is nothing that cannot be had. */
static void goes_on(uintptr_t pc)
{
	program_calls(pc);
	for (unsigned i = 0; i < BLOCKS; i++)
		if (!had[i])
			_exit(17);
	all_freed();
}

/* In a child, so that one crash does not hide the others. */
static int with_fault(const struct failing *f, unsigned pass, int times,
		      bool early, uintptr_t pc)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		alarm(20);
		shim_start("naming=registry");
		guard_ready = true;
		if (early)
			fault_set(f->nr, -f->err, pass, times);
		if (heap_start() && !early)
			_exit(9);
		if (heap_state != HEAP_RUNS && heap_state != HEAP_IS_OFF)
			_exit(8);
		if (!early)
			fault_set(f->nr, -f->err, pass, times);
		program_calls(pc);
		fault_none();
		all_freed();
		goes_on(pc);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void expect_good(const struct failing *f, unsigned pass, int times,
			bool early, uintptr_t pc)
{
	int status = with_fault(f, pass, times, early, pc);

	cr_assert_eq(status, 0,
		     "call %ld errno %d pass %u times %d early %d: %x", f->nr,
		     f->err, pass, times, early, (unsigned)status);
}

ParameterizedTestParameters(heap_faults, every_call_everywhere)
{
	return cr_make_param_array(struct failing, list,
				   sizeof(list) / sizeof(list[0]));
}

ParameterizedTest(struct failing *f, heap_faults, every_call_everywhere,
		  .timeout = 120)
{
	uintptr_t pc = module_load(1);

	for (unsigned pass = 0; pass < 24; pass++)
		for (int early = 0; early < 2; early++)
			for (int times = -1; times <= 1; times += 2)
				expect_good(f, pass, times, early, pc);
}

/* One by one --------------------------------------------------------------- */

static void start(void)
{
	heap_started("naming=registry");
}

/* The first lack of memory, and all that follow, until there is some. */
Test(heap_faults, no_memory_is_enomem, .init = start)
{
	unsigned n = 0;
	void *p;

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	errno = 0;
	while ((p = ask(16 * KIB, HERE)))
		cr_assert_lt(n++, 100000u);
	cr_assert_eq(errno, ENOMEM);
	cr_assert_gt(fault_count(), 0u);
	cr_assert_null(ask(10 * MIB, HERE));
	cr_assert_eq(errno, ENOMEM);
	fault_none();
	cr_assert_not_null(ask(16 * KIB, HERE));
	cr_assert_not_null(ask(10 * MIB, HERE));
}

/* Rather another's memory than none. */
Test(heap_faults, what_another_owner_has_in_reserve, .init = start)
{
	uintptr_t pc = module_load(1);
	static char *theirs[2000];
	char *p;

	for (unsigned i = 0; i < 2000; i++)
		theirs[i] = ask(4 * KIB, pc);
	ask(100 * KIB, HERE);
	ask(100, HERE);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	while ((p = ask(4 * KIB, HERE)))
		;
	for (unsigned i = 0; i < 2000; i++)
		if (arena_at(theirs[i]) != arena_shared)
			drop(theirs[i]);
	errno = 77;
	p = ask(4 * KIB, HERE);
	cr_assert_not_null(p);
	cr_assert_eq(errno, 77, "there is memory");
	cr_assert_str_eq(owner_of(arena_at(p)), "libowner_1.so");
	fault_none();
}

Test(heap_faults, pages_that_cannot_go_back_stay_right, .init = start)
{
	char *p = ask(MIB, HERE);

	drop(p);
	cr_assert_neq(arena_at(ask(100, HERE)), arena_shared);
	p = ask(MIB, HERE);
	memset(p, 1, MIB);
	drop(p);
	fault_set(SYS_madvise, -EINVAL, 0, -1);
	heap_trim();
	cr_assert_gt(fault_count(), 0u);
	fault_none();
	for (unsigned i = 0; i < 4; i++) {
		struct unwind_start caller = asker(HERE);
		char *q = heap_alloc(MIB, HEAP_ALIGN, true, &caller);

		for (size_t k = 0; k < MIB; k++)
			cr_assert_eq(q[k], 0, "it was taken for zero");
		memset(q, 1, MIB);
	}
	heap_trim();
}

/* An owner that has none of its own lives with the small ones. */
Test(heap_faults, no_memory_for_an_arena, .init = start)
{
	char *p = ask(50 * KIB, HERE);

	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	for (unsigned i = 0; i < 40; i++)
		ask(KIB, HERE);
	fault_none();
	p = ask(KIB, HERE);
	cr_assert_not_null(p);
	cr_assert_not_null(arena_at(p));
	cr_assert_eq(live_accounts(NULL), live_of(arena_shared));
}

/* Without room at the start malloc stays libc's. */
Test(heap_faults, no_room_to_begin_with)
{
	char *p;

	shim_start("naming=registry");
	guard_ready = true;
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	cr_assert_eq(heap_start(), -ENOMEM);
	fault_none();
	cr_assert_eq(heap_state, HEAP_IS_OFF);
	p = ask(100, HERE);
	cr_assert(p && !heap_owns(p));
	drop(p);
}

/* What jemalloc has to say is said as the shim says things. */
Test(heap_faults, messages_go_to_the_log)
{
	char path[] = "/tmp/anonshim-unit-XXXXXX";
	char options[64], text[256];
	int fd = mkstemp(path);
	ssize_t got;

	snprintf(options, sizeof(options), "naming=registry,log=%s", path);
	shim_start(options);
	guard_ready = true;
	fault_set(SYS_munmap, -EINVAL, 1, 1);
	cr_assert_eq(heap_start(), 0);
	fault_none();
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	unlink(path);
	cr_assert_gt(got, 0);
	text[got] = '\0';
	cr_assert_eq(strncmp(text, "anonshim: <jemalloc>: ", 22), 0, "%s",
		     text);
	cr_assert_eq(strchr(text, '\n'), text + got - 1, "one line");
}

/* What is short of address space is better off with one heap than with ours. */
Test(heap_faults, short_of_address_space)
{
	unsigned long pages = 0;
	FILE *statm = fopen("/proc/self/statm", "r");
	struct rlimit limit;
	char *p;

	shim_start("naming=registry");
	guard_ready = true;
	cr_assert_eq(fscanf(statm, "%lu", &pages), 1);
	fclose(statm);
	limit.rlim_cur = limit.rlim_max = pages * PAGE + 32 * MIB;
	cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
	cr_assert_eq(heap_start(), -ENOMEM);
	cr_assert_eq(heap_state, HEAP_IS_OFF);
	p = ask(100, HERE);
	cr_assert(p && !heap_owns(p));
	drop(p);
}
