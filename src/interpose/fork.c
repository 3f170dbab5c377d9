/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens around fork; see fork.h.
 */
#include "interpose/fork.h"

#include "base/log.h"
#include "base/sys.h"
#include "cow/cow.h"
#include "env/guard.h"
#include "env/real.h"
#include "heap/heap.h"
#include "interpose/interpose.h"
#include "track/life.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The fork that this thread is in. */
struct forking {
	struct cow_plan *plan; /* NULL: nothing is copied */
	bool planned;	       /* it is known what is, if anything */
	bool files;	       /* all of libc's are locked */
	bool quiet;	       /* signals are blocked */
	uint64_t signals;      /* the mask to restore */
};

static __thread struct forking forking
	__attribute__((tls_model("initial-exec")));

/* Handlers of others, which run between a plan and the fork. */
static unsigned handlers;

/*
 * A fork by a way of libc's own that nobody interposes: too late to fail, so
 * a child that could not be made right ends at once.
 */
static void plan_late(void)
{
	if (cow_reserve_locked(&forking.plan, false))
		log_text("fork: no memory for a child's copies of shared "
			 "memory; it shares them");
	else if (forking.plan)
		cow_freeze(forking.plan, true);
}

/*
 * Whether libc knows of one thread: fork() then leaves its locks as they are in
 * the child, where the one that was taken for it would stay so.
 */
static bool libc_is_alone(void)
{
	return real.single_threaded ? *real.single_threaded
				    : sys_threads() <= 1 + cow_threads();
}

/*
 * A thread that waits to write, or for memory, may have a FILE, for which one
 * waits that has all of them, for which fork() would wait: libc takes that lock
 * after ours.  It is one that its owner may take again, and a child of fork()
 * has it anew.
 */
static void files_hold(void)
{
	if (libc_is_alone() || !real.files_lock || !real.files_unlock)
		return;
	real.files_lock();
	forking.files = true;
}

static void files_release(void)
{
	if (forking.files)
		real.files_unlock();
	forking.files = false;
}

/* The heap first: a thread that has its locks may go on to want the map's. */
static void prepare(void)
{
	guard_enter();
	files_hold();
	heap_fork_prepare();
	life_fork_prepare();
	if (!forking.planned && guard_ready && cow_wanted() && guard.fork_map)
		plan_late();
	else if (forking.plan && !cow_is_frozen(forking.plan))
		cow_freeze(forking.plan, guard.fork_map);
	if (guard.fork_map)
		cow_hold();
}

static void parent(void)
{
	/* first: others wait to write */
	if (forking.plan && cow_parent(forking.plan))
		forking.plan = NULL;
	if (guard.fork_map || forking.quiet)
		cow_release();
	if (forking.plan && !forking.planned) {
		cow_free(forking.plan);
		forking.plan = NULL;
	}
	files_release();
	life_fork_parent();
	heap_fork_parent();
	guard_leave();
}

static void child(void)
{
	bool held = guard.fork_map;

	life_fork_child(true);
	heap_fork_child();
	if (forking.plan)
		cow_child(forking.plan);
	if (held)
		cow_renew();
	else
		cow_lose();
	forking.plan = NULL;
	forking.files = false;
	guard_leave();
}

static void raw_child(void)
{
	heap_fork_child();
	cow_forked();
	cow_lose();
}

void fork_init(void)
{
	pthread_atfork(prepare, parent, child);
	life_on_raw_fork(raw_child);
	handlers = 0;
}

int __register_atfork(void (*before)(void), void (*in_parent)(void),
		      void (*in_child)(void), void *dso);

EXPORT int __register_atfork(void (*before)(void), void (*in_parent)(void),
			     void (*in_child)(void), void *dso)
{
	if (!real.register_atfork)
		real_init();
	__atomic_fetch_add(&handlers, 1, __ATOMIC_RELAXED);
	return real.register_atfork
		       ? real.register_atfork(before, in_parent, in_child, dso)
		       : ENOMEM;
}

/* ------------------------------------------------------------------------- */

/* Another, NEXT, is the one under way. */
static void forking_end(const struct forking *next)
{
	struct forking done = forking;

	forking = *next;
	if (done.quiet)
		sys_signals_restore(&done.signals);
}

static void forking_end_child(void)
{
	forking_end(&(struct forking){0});
}

/*
 * Make a plan for the fork that comes.  Returns 0 or -errno; *OUTER is for
 * plan_end(): a signal handler may fork while its thread does.
 */
static int plan_begin(struct forking *outer, bool runs_handlers)
{
	bool late =
		!cow_alone() ||
		(runs_handlers && __atomic_load_n(&handlers, __ATOMIC_RELAXED));
	int result;

	*outer = forking;
	forking = (struct forking){.planned = true, .quiet = !late};
	/* what a handler wrote between the copy and the fork would be lost */
	if (!late)
		sys_signals_block(&forking.signals);
	guard_enter();
	result = cow_reserve(&forking.plan, late);
	/* where nobody else writes in between, now: it may fail yet */
	if (!result && forking.plan && !late)
		result = cow_freeze(forking.plan, true);
	guard_leave();
	return result;
}

/* Returns the error that fork was too late to fail with. */
static int plan_end(const struct forking *outer)
{
	int result = 0;

	if (forking.quiet) /* its handlers may not have run */
		cow_release();

	if (forking.plan) {
		result = cow_error(forking.plan);
		guard_enter();
		cow_free(forking.plan);
		guard_leave();
	}
	forking_end(outer);
	return result;
}

static pid_t failed(int result)
{
	errno = -result;
	return -1;
}

/* A way that runs handlers. */
typedef pid_t way(void *arg);

/* A child that could not be made right has ended: nobody is to meet it. */
static pid_t undone(pid_t pid, int result)
{
	while (sys_call(SYS_wait4, pid, 0, __WALL, 0, 0, 0) == -EINTR) {
	}
	return failed(result);
}

static pid_t fork_by(way *call, void *arg)
{
	struct forking outer;
	int result = plan_begin(&outer, true);
	int err = errno;
	pid_t pid;

	if (result) {
		plan_end(&outer);
		return failed(result);
	}
	errno = err;
	pid = call(arg);
	if (!pid) {
		forking_end_child();
		return 0;
	}
	err = errno;
	result = plan_end(&outer);
	errno = err;
	return pid > 0 && result ? undone(pid, result) : pid;
}

static bool copies(void)
{
	return guard_open() && cow_wanted();
}

static pid_t call_fork(void *arg)
{
	(void)arg;
	return real.fork();
}

EXPORT pid_t fork(void)
{
	if (!real.fork)
		real_init();
	return copies() ? fork_by(call_fork, NULL) : real.fork();
}

struct forkpty_args {
	int *master;
	char *name;
	const void *termios;
	const void *size;
};

static pid_t call_forkpty(void *arg)
{
	const struct forkpty_args *a = arg;

	return real.forkpty(a->master, a->name, a->termios, a->size);
}

pid_t forkpty(int *master, char *name, const void *termios, const void *size);

EXPORT pid_t forkpty(int *master, char *name, const void *termios,
		     const void *size)
{
	struct forkpty_args a = {master, name, termios, size};

	if (!real.forkpty)
		real_init();
	if (!real.forkpty)
		return failed(-ENOSYS);
	return copies() ? fork_by(call_forkpty, &a) : call_forkpty(&a);
}

static pid_t call_daemon(void *arg)
{
	const int *a = arg;

	/* who returns is the child */
	return real.daemon(a[0], a[1]);
}

EXPORT int daemon(int nochdir, int noclose)
{
	int a[2] = {nochdir, noclose};

	if (!real.daemon)
		real_init();
	return copies() ? fork_by(call_daemon, a) : call_daemon(a);
}

/* Ways that run none ------------------------------------------------------ */

/* All of it: locks, copies, and the fork by CALL. */
static long fork_alone(long (*call)(void *), void *arg)
{
	struct forking outer;
	int result = plan_begin(&outer, false);
	long pid;
	int err;

	if (!result) {
		prepare();
		result = forking.plan ? cow_error(forking.plan) : 0;
		if (result)
			parent();
	}
	if (result) {
		plan_end(&outer);
		return failed(result);
	}
	pid = call(arg);
	if (!pid) {
		files_release();
		child();
		forking_end_child();
		return 0;
	}
	err = errno;
	parent();
	plan_end(&outer);
	errno = err;
	return pid;
}

static long call_Fork(void *arg)
{
	(void)arg;
	return real._Fork();
}

pid_t _Fork(void);

EXPORT pid_t _Fork(void)
{
	if (!real._Fork)
		real_init();
	if (!real._Fork)
		return failed(-ENOSYS);
	return copies() ? (pid_t)fork_alone(call_Fork, NULL) : real._Fork();
}

/* With descriptors in common the child's would be its parent's too. */
static bool is_plain(unsigned long flags)
{
	static bool said;

	if (flags & (CLONE_VM | CLONE_SETTLS))
		return false;
	if (!(flags & CLONE_FILES))
		return true;
	log_once(&said, "fork: clone() with CLONE_FILES shares memory that is "
			"mapped twice with its child");
	cow_fill();
	return false;
}

struct clone_call {
	int (*fn)(void *);
	void *arg;
	void *stack;
	int flags;
	pid_t *parent_tid;
	void *tls;
	pid_t *child_tid;
};

/* In the child, on its own stack.  A thread of the shim's, which it may have by
 * then, does not keep it. */
static int clone_plainly(void *arg)
{
	const struct clone_call *c = arg;
	int status = c->fn(c->arg);

	cow_exits(status);
	return status;
}

/* The same where memory is copied, that of the caller's stack too, perhaps. */
static int clone_begin(void *arg)
{
	struct clone_call c = *(const struct clone_call *)arg;

	files_release();
	child();
	forking_end_child();
	return clone_plainly(&c);
}

static long call_clone(void *arg)
{
	struct clone_call *c = arg;

	return real.clone(clone_begin, c->stack, c->flags, c, c->parent_tid,
			  c->tls, c->child_tid);
}

EXPORT int clone(int (*fn)(void *), void *stack, int flags, void *arg, ...)
{
	struct clone_call c = {
		.fn = fn, .arg = arg, .stack = stack, .flags = flags};
	va_list ap;

	va_start(ap, arg);
	c.parent_tid = va_arg(ap, pid_t *);
	c.tls = va_arg(ap, void *);
	c.child_tid = va_arg(ap, pid_t *);
	va_end(ap);
	if (!real.clone)
		real_init();
	if (copies() && fn && stack && is_plain((unsigned)flags))
		return (int)fork_alone(call_clone, &c);
	if (guard_open() && fn && stack && !(flags & CLONE_VM))
		return real.clone(clone_plainly, stack, flags, &c, c.parent_tid,
				  c.tls, c.child_tid);
	return real.clone(fn, stack, flags, arg, c.parent_tid, c.tls,
			  c.child_tid);
}

/* linux/sched.h, of 5.3 */
struct clone3_args {
	uint64_t flags;
	uint64_t before_stack[4];
	uint64_t stack;
};

bool fork_watched(long nr, unsigned long a, unsigned long b)
{
	const struct clone3_args *args = (const void *)a;

	if (!copies())
		return false;
	switch (nr) {
	case SYS_fork:
		return true;
	case SYS_clone: /* on a stack of its own it does not come back here */
		return !b && is_plain(a);
	case SYS_clone3:
		return args && !args->stack && is_plain(args->flags);
	}
	return false;
}

struct raw_call {
	long nr;
	const long *a;
};

static long call_raw(void *arg)
{
	const struct raw_call *c = arg;
	const long *a = c->a;

	return real.syscall(c->nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

long fork_by_syscall(long nr, const long a[6])
{
	struct raw_call c = {nr, a};

	return fork_alone(call_raw, &c);
}
