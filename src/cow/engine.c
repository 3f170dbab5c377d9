/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine; see engine.h.
 */
#include "cow/engine.h"

#include "base/fdlist.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/thread.h"
#include "cow/lazy.h"
#include "cow/list.h"
#include "cow/snapshot.h"
#include "cow/snapshot_page.h"
#include "cow/uffd.h"
#include "cow/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define EVENTS 16
#define LOOK_MS 1000 /* for who has ended */

int engine_uffd = -1;
bool engine_held;

static struct {
	struct thread thread;
	char *bell;   /* a page; who touches it is served what follows */
	char *finish; /* another; who touches it waits for lazy_finish() */
	struct engine_poll {
		int fd; /* 0: none */
		void (*hang_up)(void *arg);
		void *arg;
	} polls[ENGINE_POLLS];
	int (*function)(void *);
	void *arg;
	int result;
	bool served;
	bool quit;
	struct cow_list kept; /* int: descriptors that are not closed */
} engine;

static struct uffd_range page_at(const char *p)
{
	return (struct uffd_range){(uintptr_t)p, (uintptr_t)p + PAGE_BYTES};
}

/* The thread -------------------------------------------------------------- */

static void let_pass(const char *page)
{
	uffd_zero(engine_uffd, (uintptr_t)page, PAGE_BYTES);
	uffd_wake(engine_uffd, page_at(page));
}

/* A debugger, or mlockall(), may touch it as well, and wants nothing. */
static void answer(void)
{
	if (engine.function) {
		engine.result = engine.function(engine.arg);
		engine.function = NULL;
		__atomic_store_n(&engine.served, true, __ATOMIC_RELEASE);
	}
	let_pass(engine.bell);
}

/* Whoever comes later finds the page, until another window is opened. */
static void finish(void)
{
	if (lazy_finish())
		let_pass(engine.finish);
}

/* PAGE is not watched any more. */
static void pass(struct uffd_range page, bool is_protected)
{
	if (is_protected) {
		if (uffd_lift(engine_uffd, page))
			uffd_wake(engine_uffd, page);
		return;
	}
	let_pass((char *)page.start);
}

static void serve(const struct uffd_fault *fault)
{
	const struct watch_mapping *m = watch_at(fault->addr);
	struct uffd_range page = {page_down(fault->addr),
				  page_down(fault->addr) + PAGE_BYTES};

	if (page.start == (uintptr_t)engine.bell)
		answer();
	else if (page.start == (uintptr_t)engine.finish)
		finish();
	else if (!m && !lazy_meets(page.start))
		pass(page, fault->is_protected);
	else if (!m)
		return;
	else if (!fault->is_protected)
		snapshot_fill(m, fault->addr);
	else if (!engine_held) /* else who waits is woken when that ends */
		snapshot_save(m, fault->addr);
}

void engine_serve(void)
{
	struct uffd_fault fault[EVENTS];
	size_t n;

	do {
		n = uffd_faults(engine_uffd, fault, EVENTS);
		for (size_t i = 0; i < n; i++)
			serve(&fault[i]);
	} while (n == EVENTS && !engine.quit);
}

static struct engine_poll *poll_of(int fd)
{
	for (size_t i = 0; i < ENGINE_POLLS; i++)
		if (engine.polls[i].fd == fd)
			return &engine.polls[i];
	return NULL;
}

void engine_poll(int fd, void (*hang_up)(void *arg), void *arg)
{
	struct engine_poll *p = poll_of(0);

	if (p)
		*p = (struct engine_poll){fd, hang_up, arg};
}

void engine_poll_end(int fd)
{
	struct engine_poll *p = poll_of(fd);

	if (p)
		p->fd = 0;
}

/*
 * Whether all but this thread have ended, and not the process: so the program
 * can, by exit(2) itself, and would be waited for for ever.  The first of them
 * is counted as long as there are others.
 */
static bool is_left(void)
{
	char text[128];
	long fd = sys_threads() == 2 ? sys_open("/proc/self/stat", O_RDONLY, 0)
				     : -1;
	long n = sys_failed(fd) ? 0 : sys_read((int)fd, text, sizeof(text) - 1);
	const char *end;

	if (!sys_failed(fd))
		sys_close((int)fd);
	text[n > 0 ? n : 0] = '\0';
	end = strrchr(text, ')');
	return end && !strncmp(end, ") Z", 3);
}

/* Wait for what there may be to do, and do what there is but faults. */
static void wait_for_work(void)
{
	struct pollfd wait[1 + ENGINE_POLLS] = {
		{.fd = engine_uffd, .events = POLLIN},
	};
	struct engine_poll *p;
	long n = 1;

	for (size_t i = 0; i < ENGINE_POLLS; i++)
		if (engine.polls[i].fd)
			wait[n++].fd = engine.polls[i].fd;
	if (!sys_call(SYS_poll, (long)wait, n, LOOK_MS, 0, 0, 0) && is_left())
		engine.quit = true;
	while (--n) {
		p = poll_of(wait[n].fd);
		if (p && wait[n].revents)
			p->hang_up(p->arg);
	}
}

/* False: there is no memory. */
static bool keep(int fd)
{
	int *kept = cow_list_add(&engine.kept, sizeof(fd));

	if (kept)
		*kept = fd;
	return kept;
}

/* To close one, in whatever table, ends what mq_notify(3) has asked for. */
static void keep_queue(int fd, void *unused)
{
	(void)unused;
	if (sys_is_queue(fd))
		keep(fd);
}

static void run(void *arg)
{
	const int *kept = engine.kept.at;

	(void)arg;
	thread_keep(engine.kept.at, engine.kept.n);
	if (*kept) /* 0 stands for none */
		sys_call(SYS_dup3, engine_uffd, 0, O_CLOEXEC, 0, 0, 0);
	while (!engine.quit) {
		wait_for_work();
		engine_serve();
	}
	/* the kernel closes it after it says that the thread has ended, and the
	 * next one may be started by then */
	sys_close(engine_uffd);
	sys_close(0);
}

/* Everybody else ---------------------------------------------------------- */

static bool make_bell(void)
{
	long p;

	if (engine.bell)
		return true;
	p = sys_mmap(NULL, 2 * PAGE_BYTES, PROT_READ,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(p))
		return false;
	engine.bell = (char *)p;
	engine.finish = engine.bell + PAGE_BYTES;
	return true;
}

static int open_uffd(void)
{
	struct uffd_range bells;
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
	sys_madvise(engine.finish, PAGE_BYTES, MADV_DONTNEED_LOCKED);
	bells = page_at(engine.bell);
	bells.end += PAGE_BYTES;
	result = (int)uffd_register(engine_uffd, bells, UFFD_MISSING);
	return result ? result : watch_register_all();
}

int engine_start(void)
{
	int result;
	int fd;

	if (engine_uffd >= 0)
		return 0;
	engine.quit = engine_held = false;
	memset(engine.polls, 0, sizeof(engine.polls));
	result = open_uffd();
	engine.kept.n = 0;
	if (!result && !keep(engine_uffd))
		result = -ENOMEM;
	fdlist_read(keep_queue, NULL);
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

void engine_expect_finish(void)
{
	sys_madvise(engine.finish, PAGE_BYTES, MADV_DONTNEED_LOCKED);
}

void engine_finish(void)
{
	if (engine_uffd >= 0)
		*(volatile char *)engine.finish;
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
	while (!engine.quit && thread_is_alive(&engine.thread))
		engine_call(quit, NULL);
	thread_wait(&engine.thread);
	engine_uffd = -1;
}

static int hold(void *arg)
{
	int result = 0;

	(void)arg;
	for (struct watched *w = watched_all; !result && w; w = w->next)
		result = watch_arm(w);
	engine_held = !result;
	return result;
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

int engine_hold(void)
{
	return engine_uffd >= 0 && !engine_held ? engine_call(hold, NULL) : 0;
}

void engine_release(void)
{
	if (engine_uffd >= 0 && engine_held)
		engine_call(release, NULL);
}

void engine_forget(void)
{
	thread_forget(&engine.thread);
	engine_uffd = -1;
	engine_held = false;
}
