/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whole walks compared with libunwind's, frame by frame, from deep chains of
 * functions of every make.
 */
#include "env/guard.h"
#include "support.h"
#include "track/track.h"
#include "track/unwind.h"

#include <alloca.h>
#include <criterion/criterion.h>
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef HAVE_LIBUNWIND
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#endif

#define NOINLINE __attribute__((noinline, noclone, no_icf))
#define BARRIER() __asm__ volatile("" ::: "memory")

static unsigned walks;

#ifdef HAVE_LIBUNWIND
/* Return addresses, as unwind_capture() stores them. */
static NOINLINE unsigned oracle(uintptr_t *frames, unsigned depth)
{
	unw_context_t context;
	unw_cursor_t cursor;
	unw_word_t ip;
	unsigned n = 0;

	unw_getcontext(&context);
	unw_init_local(&cursor, &context);
	unw_step(&cursor); /* capture() */
	while (n < depth && unw_step(&cursor) > 0) {
		unw_get_reg(&cursor, UNW_REG_IP, &ip);
		if (!ip)
			break;
		frames[n++] = ip + (unw_is_signal_frame(&cursor) > 0);
	}
	return n;
}
#endif

/*
 * libunwind marks the frame that the signal's return code is in, of which we
 * store that address plus nothing, and the one interrupted, ours plus 1.
 */
static bool same_frame(uintptr_t ours, uintptr_t theirs)
{
	return ours == theirs || ours == theirs + 1 || ours + 1 == theirs;
}

/* Walk from the caller of the caller, both ways. */
static NOINLINE void capture(void)
{
	uintptr_t ours[UNWIND_DEPTH_MAX];
	struct unwind_start start = UNWIND_CALLER();
	unsigned n = unwind_capture(&start, ours, UNWIND_DEPTH_MAX);

	walks++;
	cr_assert_eq(ours[0], (uintptr_t)__builtin_return_address(0));
#ifdef HAVE_LIBUNWIND
	uintptr_t theirs[UNWIND_DEPTH_MAX];
	unsigned m = oracle(theirs, UNWIND_DEPTH_MAX);
	unsigned k = n < m ? n : m;

	/* theirs starts one frame in */
	cr_assert_geq(n, 2);
	for (unsigned i = 0; i < k; i++)
		cr_assert(same_frame(ours[i], theirs[i]),
			  "frame %u of %u: %#lx, libunwind %#lx of %u", i, n,
			  ours[i], theirs[i], m);
	cr_assert_eq(n, m, "%u frames, libunwind %u", n, m);
#else
	cr_assert_geq(n, 2);
#endif
}

typedef void step_fn(unsigned depth, uint64_t path);

static step_fn *const steps[];

static NOINLINE void next(unsigned depth, uint64_t path)
{
	if (!depth)
		capture();
	else
		steps[path % 8](depth - 1, path / 8);
	BARRIER();
}

__attribute__((optimize("omit-frame-pointer"))) NOINLINE static void
without_frame_pointer(unsigned depth, uint64_t path)
{
	next(depth, path);
	BARRIER();
}

__attribute__((optimize("no-omit-frame-pointer"))) NOINLINE static void
with_frame_pointer(unsigned depth, uint64_t path)
{
	next(depth, path);
	BARRIER();
}

/* A frame whose size is known at run time only. */
static NOINLINE void variable_frame(unsigned depth, uint64_t path)
{
	volatile char *p = alloca(16 + (path & 1023));

	p[0] = 1;
	next(depth, path);
	p[1] = 2;
}

/* A frame at a multiple of 64: the CFA is found through memory. */
static NOINLINE void realigned(unsigned depth, uint64_t path)
{
	volatile char buf[128] __attribute__((aligned(64)));

	buf[0] = 1;
	next(depth, path);
	buf[1] = buf[0];
}

__attribute__((target("avx"))) static NOINLINE void
realigned_variable(unsigned depth, uint64_t path)
{
	volatile char buf[128] __attribute__((aligned(64)));
	volatile char *p = alloca(16 + (path & 255));

	buf[0] = p[0] = 1;
	next(depth, path);
	buf[1] = p[1] = buf[0];
}

/* Every register saved. */
__attribute__((optimize("omit-frame-pointer"))) NOINLINE static void
many_registers(unsigned depth, uint64_t path)
{
	__asm__ volatile("" ::: "rbx", "r12", "r13", "r14", "r15", "rbp");
	next(depth, path);
	__asm__ volatile("" ::: "rbx", "r12", "r13", "r14", "r15", "rbp");
}

static __thread unsigned sort_depth;
static __thread uint64_t sort_path;
static __thread bool sorting;

static int order(const void *a, const void *b)
{
	if (sorting) {
		sorting = false;
		next(sort_depth, sort_path);
	}
	return *(const int *)a - *(const int *)b;
}

/* Through libc and back. */
static NOINLINE void through_libc(unsigned depth, uint64_t path)
{
	int values[3] = {3, 1, 2};

	sort_depth = depth;
	sort_path = path;
	sorting = true;
	qsort(values, 3, sizeof(values[0]), order);
	BARRIER();
}

static volatile sig_atomic_t handled;
static __thread unsigned signal_depth;
static __thread uint64_t signal_path;

static void handler(int number)
{
	(void)number;
	handled++;
	next(signal_depth, signal_path);
	BARRIER();
}

/* In a handler that runs on this stack. */
static NOINLINE void through_signal(unsigned depth, uint64_t path)
{
	signal_depth = depth > 3 ? 3 : depth;
	signal_path = path;
	raise(SIGUSR1);
	BARRIER();
}

static step_fn *const steps[8] = {
	without_frame_pointer, with_frame_pointer,
	variable_frame,	       realigned,
	realigned_variable,    many_registers,
	through_libc,	       through_signal,
};

static void handlers(int flags)
{
	struct sigaction sa = {.sa_handler = handler,
			       .sa_flags = SA_NODEFER | flags};

	sigaction(SIGUSR1, &sa, NULL);
}

/* A thread's stack has little above what the test itself puts there. */
static void *walk_many(void *arg)
{
	uint64_t state = (uintptr_t)arg;

	for (unsigned i = 0; i < 2000; i++)
		next((unsigned)(draw(&state) % 10), draw(&state));
	return NULL;
}

static void in_thread(void *(*run)(void *))
{
	pthread_t thread;

	cr_assert_eq(pthread_create(&thread, NULL, run, (void *)7), 0);
	pthread_join(thread, NULL);
}

Test(unwind, walks_are_libunwinds, .timeout = 120)
{
	shim_start("naming=registry");
	guard_ready = true;
	handlers(0);
	in_thread(walk_many);
	cr_assert_geq(walks, 2000);
	cr_assert_gt(handled, 0);
}

static volatile int *volatile where_nothing_is = (int *)8;

static NOINLINE void fault_here(void)
{
	*where_nothing_is = 1;
}

static void fault_handler(int number, siginfo_t *info, void *arg)
{
	(void)number;
	(void)info;
	(void)arg;
	next(3, 0312);
	pthread_exit(NULL);
}

static void *walk_fault(void *arg)
{
	(void)arg;
	fault_here();
	return NULL;
}

/* The address interrupted is no return address: minus 1 must not mislead. */
Test(unwind, from_a_fault_on_this_stack)
{
	struct sigaction sa = {.sa_sigaction = fault_handler,
			       .sa_flags = SA_SIGINFO};

	shim_start("naming=registry");
	guard_ready = true;
	sigaction(SIGSEGV, &sa, NULL);
	in_thread(walk_fault);
	cr_assert_eq(walks, 1);
}

static void *walk_alternate(void *arg)
{
	static char stack[65536];
	stack_t ss = {.ss_sp = stack, .ss_size = sizeof(stack)};
	stack_t before;

	(void)arg;
	sigaltstack(&ss, &before);
	signal_depth = 2;
	signal_path = 0;
	raise(SIGUSR1);
	sigaltstack(&before, NULL); /* a sanitizer has its own */
	return NULL;
}

Test(unwind, from_an_alternate_stack)
{
	shim_start("naming=registry");
	guard_ready = true;
	handlers(SA_ONSTACK);
	in_thread(walk_alternate);
	cr_assert_eq(walks, 1);
}

Test(unwind, from_the_main_stack)
{
	shim_start("naming=registry");
	guard_ready = true;
	handlers(0);
	next(8, 012345670);
	cr_assert_eq(walks, 1);
}

Test(unwind, without_proc_the_caller_is_known)
{
	uintptr_t frames[UNWIND_DEPTH_MAX];
	struct unwind_start start = UNWIND_CALLER();

	shim_start("naming=registry,assume=files=0");
	guard_ready = true;
	guard.stack_high = guard.stack_low = 0;
	cr_assert_eq(unwind_capture(&start, frames, 8), 1);
	cr_assert_eq(frames[0], start.pc);
}

/* Registers that lead nowhere: the walk ends, nothing is read out there. */
Test(unwind, nonsense_ends_the_walk)
{
	uintptr_t frames[UNWIND_DEPTH_MAX];
	struct unwind_start good = UNWIND_CALLER();
	uint64_t state = 9;

	shim_start("naming=registry");
	guard_ready = true;
	for (unsigned i = 0; i < 20000; i++) {
		struct unwind_start s = good;
		unsigned n;

		if (i % 3)
			s.fp = draw(&state) >> draw(&state) % 64;
		if (i % 5)
			s.pc += draw(&state) % 100000;
		if (i % 7 == 0)
			s.sp = draw(&state) >> draw(&state) % 64;
		n = unwind_capture(&s, frames, UNWIND_DEPTH_MAX);
		cr_assert(n >= 1 && n <= UNWIND_DEPTH_MAX);
	}
}

/* A stack of numbers that say where they are. */
static struct {
	uintptr_t word[64];
	uintptr_t pc, sp, fp;
} ladder;

#define AT(i) ((uintptr_t)&ladder.word[i])

/* From a frame with its stack pointer at word 8, and rbp at 40, below 48. */
static bool steps_by(enum cfi_base base, int offset, int saved, int rbp_offset)
{
	struct cfi_rule rule = {(uint8_t)base, (uint8_t)saved,
				(int16_t)rbp_offset, offset};

	for (size_t i = 0; i < 64; i++)
		ladder.word[i] = 1000 + i;
	ladder.pc = 1;
	ladder.sp = AT(8);
	ladder.fp = AT(40);
	if (unwind_apply_fast(unwind_fast(rule), AT(48), &ladder.pc, &ladder.sp,
			      &ladder.fp))
		return true;
	cr_assert_eq(ladder.pc, 1, "changed, though it was refused");
	cr_assert_eq(ladder.sp, AT(8));
	cr_assert_eq(ladder.fp, AT(40));
	return false;
}

static void is_at(size_t cfa, uintptr_t fp)
{
	cr_assert_eq(ladder.pc, 1000 + cfa - 1);
	cr_assert_eq(ladder.sp, AT(cfa));
	cr_assert_eq(ladder.fp, fp);
}

Test(unwind, ordinary_steps)
{
	cr_assert(steps_by(CFI_RSP, 8, 0, 0));
	is_at(9, AT(40));
	cr_assert(steps_by(CFI_RSP, 16, 1, -16));
	is_at(10, 1000 + 8);
	cr_assert(steps_by(CFI_RSP, 40 * 8, 1, -16));
	is_at(48, 1000 + 46);
	cr_assert(steps_by(CFI_RBP, 16, 1, -16));
	is_at(42, 1000 + 40);
	cr_assert(steps_by(CFI_RBP, -31 * 8, 0, 0));
	is_at(9, AT(40));
}

Test(unwind, steps_that_are_not_taken)
{
	cr_assert_not(steps_by(CFI_RSP, 41 * 8, 0, 0), "beyond the end");
	cr_assert_not(steps_by(CFI_RSP, 0, 0, 0), "nowhere");
	cr_assert_not(steps_by(CFI_RSP, -8, 0, 0), "back");
	cr_assert_not(steps_by(CFI_RSP, 12, 0, 0), "not to a word");
	cr_assert_not(steps_by(CFI_RSP, 16, 1, -24), "rbp below the frame");
	cr_assert_not(steps_by(CFI_RSP, 16, 1, 0), "rbp above the frame");
	cr_assert_not(steps_by(CFI_RSP, 16, 2, -16), "rbp saved oddly");
	cr_assert_not(steps_by(CFI_RBP, 9 * 8, 0, 0), "beyond the end");
	cr_assert_not(steps_by(CFI_RBP, -32 * 8, 0, 0), "nowhere");
	cr_assert_not(steps_by(CFI_RBP, 12, 0, 0), "not to a word");
	cr_assert_not(steps_by(CFI_RBP, -31 * 8, 1, -16), "rbp below");
	cr_assert_not(steps_by(CFI_RBP, 16, 1, 8), "rbp above the frame");
	cr_assert_not(steps_by(CFI_RBP, 16, 2, -16), "rbp saved oddly");
	cr_assert_not(steps_by(CFI_DEREF, 16, 0, 0));
	cr_assert_not(steps_by(CFI_SIGNAL, 16, 0, 0));
	cr_assert_not(steps_by(CFI_NONE, 16, 0, 0));
}

Test(unwind, depth_is_kept)
{
	uintptr_t frames[UNWIND_DEPTH_MAX];
	struct unwind_start start = UNWIND_CALLER();

	shim_start("naming=registry");
	guard_ready = true;
	for (unsigned depth = 1; depth <= 4; depth++)
		cr_assert_leq(unwind_capture(&start, frames, depth), depth);
}
