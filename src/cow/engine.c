/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine; see engine.h.
 */
#include "cow/engine.h"

#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "cow/snapshot.h"
#include "cow/snapshot_page.h"
#include "cow/uffd.h"
#include "cow/watch.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define EVENTS 16

int engine_uffd = -1;
bool engine_held;

static struct {
	struct thread thread;
	char *bell; /* a page; who touches it is served what follows */
	int (*function)(void *);
	void *arg;
	int result;
	bool served;
	bool quit;
} engine;

static struct uffd_range bell_range(void)
{
	uintptr_t start = (uintptr_t)engine.bell;

	return (struct uffd_range){start, start + PAGE_BYTES};
}

/* The thread -------------------------------------------------------------- */

static void answer(void)
{
	/* who finds no page here comes again, for what is done already */
	if (!engine.served)
		engine.result = engine.function(engine.arg);
	__atomic_store_n(&engine.served, true, __ATOMIC_RELEASE);
	uffd_zero(engine_uffd, (uintptr_t)engine.bell, PAGE_BYTES);
	uffd_wake(engine_uffd, bell_range());
}

/* PAGE is not watched any more. */
static void pass(struct uffd_range page, bool is_protected)
{
	if (is_protected) {
		uffd_lift(engine_uffd, page);
		return;
	}
	uffd_zero(engine_uffd, page.start, PAGE_BYTES);
	uffd_wake(engine_uffd, page);
}

static void serve(const struct uffd_fault *fault)
{
	const struct watch_mapping *m = watch_at(fault->addr);
	struct uffd_range page = {page_down(fault->addr),
				  page_down(fault->addr) + PAGE_BYTES};

	if (page.start == (uintptr_t)engine.bell)
		answer();
	else if (!m)
		pass(page, fault->is_protected);
	else if (!fault->is_protected)
		snapshot_fill(m, fault->addr, fault->is_write);
	else if (!engine_held) /* else who waits is woken when that ends */
		snapshot_save(m, fault->addr);
}

static void run(void *arg)
{
	struct pollfd wait = {.fd = engine_uffd, .events = POLLIN};

	(void)arg;
	thread_keep(&engine_uffd, 1);
	while (!engine.quit) {
		struct uffd_fault fault[EVENTS];
		size_t n = uffd_faults(engine_uffd, fault, EVENTS);

		for (size_t i = 0; i < n; i++)
			serve(&fault[i]);
		if (!n)
			sys_call(SYS_poll, (long)&wait, 1, -1, 0, 0, 0);
	}
	/* the kernel closes it after it says that the thread has ended, and the
	 * next one may be started by then */
	sys_close(engine_uffd);
}

/* Everybody else ---------------------------------------------------------- */

static bool make_bell(void)
{
	long p;

	if (engine.bell)
		return true;
	p = sys_mmap(NULL, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	if (sys_failed(p))
		return false;
	engine.bell = (char *)p;
	return true;
}

static int open_uffd(void)
{
	long fd;
	int result;

	if (!make_bell())
		return -ENOMEM;
	fd = uffd_open();
	if (sys_failed(fd))
		return fd == -ENOMEM || fd == -EMFILE || fd == -ENFILE ? -ENOMEM
								       : -EPERM;
	engine_uffd = (int)fd;
	sys_madvise(engine.bell, PAGE_BYTES, MADV_DONTNEED_LOCKED);
	result = (int)uffd_register(engine_uffd, bell_range(), UFFD_MISSING);
	return result ? result : watch_register_all();
}

int engine_start(void)
{
	int result;
	int fd;

	if (engine_uffd >= 0)
		return 0;
	engine.quit = engine_held = false;
	result = open_uffd();
	if (!result)
		result = thread_start(&engine.thread, run, NULL);
	fd = engine_uffd;
	if (result)
		engine_uffd = -1;
	if (fd >= 0)
		sys_close(fd); /* the thread has its own */
	return !result ? 0 : result == -EPERM ? -EPERM : -ENOMEM;
}

int engine_call(int (*function)(void *), void *arg)
{
	if (engine_uffd < 0)
		return function(arg);
	engine.function = function;
	engine.arg = arg;
	engine.served = false;
	sys_madvise(engine.bell, PAGE_BYTES, MADV_DONTNEED_LOCKED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST); /* the fault orders the rest */
	*(volatile char *)engine.bell;
	return __atomic_load_n(&engine.served, __ATOMIC_ACQUIRE) ? engine.result
								 : -EPERM;
}

static int quit(void *arg)
{
	(void)arg;
	engine.quit = true;
	return 0;
}

void engine_stop(void)
{
	if (engine_uffd < 0)
		return;
	while (!engine.quit)
		engine_call(quit, NULL);
	thread_wait(&engine.thread);
	engine_uffd = -1;
}

static int hold(void *arg)
{
	(void)arg;
	for (struct watched *w = watched_all; w; w = w->next)
		watch_arm(w);
	engine_held = true;
	return 0;
}

static int release(void *arg)
{
	(void)arg;
	engine_held = false;
	page_own_owed();
	for (struct watched *w = watched_all; w; w = w->next)
		watch_wake(w, 0, w->pages);
	return 0;
}

void engine_hold(void)
{
	if (engine_uffd >= 0 && !engine_held)
		engine_call(hold, NULL);
}

void engine_release(void)
{
	if (engine_uffd >= 0 && engine_held)
		engine_call(release, NULL);
}

void engine_forget(void)
{
	thread_forget(&engine.thread);
	page_disown_owed();
	engine_uffd = -1;
	engine_held = false;
}
