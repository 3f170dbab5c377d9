/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the private jemalloc gets instead of libc's functions; see jemalloc.h.
 */
#include "heap/jemalloc.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/own.h"
#include "track/region.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

/*
 * One automatic arena, for jemalloc itself.  Nothing is ever taken from the
 * automatic thread caches, which ignore whose memory is whose.
 */
extern const char *ahj_malloc_conf;
const char *ahj_malloc_conf = "narenas:1,tcache_max:32768,"
			      "tcache_nslots_small_min:8,"
			      "tcache_nslots_small_max:64,"
			      "tcache_nslots_large:8,dss:disabled,retain:true,"
			      "background_thread:false";

extern void (*ahj_malloc_message)(void *arg, const char *text);

/*
 * What it wants done when a thread ends; afterwards it would serve that thread
 * out of its own arena, so we choose the moment.
 */
static void (*at_thread_end)(void *);
static __thread void *thread_end_arg __attribute__((tls_model("initial-exec")));

__thread unsigned jemalloc_depth __attribute__((tls_model("initial-exec")));

static struct {
	void (*prepare)(void);
	void (*parent)(void);
	void (*child)(void);
} at_fork;

/*
 * It tries a page out when it begins, and does not survive that there is none.
 */
static _Alignas(PAGE_BYTES) char page_to_try[PAGE_BYTES];
static bool tried;

void *ahj_import_mmap(void *addr, size_t len, int prot, int flags, int fd,
		      off_t off);
int ahj_import_munmap(void *addr, size_t len);
int ahj_import_atfork(void (*prepare)(void), void (*parent)(void),
		      void (*child)(void));
int ahj_import_key(unsigned *key, void (*destructor)(void *));
int ahj_import_setspecific(unsigned key, const void *value);
int ahj_import_thread(void *thread, const void *attr, void *routine, void *arg);
int ahj_import_atexit(void (*function)(void));
int ahj_import_open(const char *path, int flags, ...);
int ahj_import_clock(int clock, struct timespec *now);
int ahj_import_cond(void *condition, const void *attr);
int ahj_import_creat(const char *path, mode_t mode);
void *ahj_import_dlsym(void *handle, const char *name);
double ahj_import_exp(double x);
double ahj_import_log(double x);
double ahj_import_round(double x);
ssize_t ahj_import_readlink(const char *path, char *buf, size_t len);
void *ahj_import_sbrk(intptr_t increment);
char *ahj_import_getenv(const char *name);
long ahj_import_syscall(long nr, ...);
int ahj_import_unwind(void *function, void *arg);
uintptr_t ahj_import_unwind_ip(void *context);

/*
 * Mapping and unmapping of metadata, recorded; arenas' own memory comes
 * through their extent hooks.  Called with jemalloc's locks held, never with
 * the map's.
 */
static bool record_begin(bool *entered)
{
	*entered = guard_enter_once();
	return (*entered || guard.busy) && guard_ready && region_lock_take();
}

static void record_end(bool locked, bool entered)
{
	if (locked) {
		own_flush();
		region_lock_drop();
	}
	guard_leave_once(entered);
}

void *ahj_import_mmap(void *addr, size_t len, int prot, int flags, int fd,
		      off_t off)
{
	bool entered;
	bool locked = record_begin(&entered);
	long result = sys_mmap(addr, len, prot, flags, fd, off);

	if (sys_failed(result) && !addr && len == PAGE_BYTES && !tried) {
		result = (long)page_to_try; /* it is unmapped again */
		tried = true;
	}
	if (!sys_failed(result))
		own_note((uintptr_t)result, (uintptr_t)result + len);
	record_end(locked, entered);
	return (void *)real_result(result);
}

int ahj_import_munmap(void *addr, size_t len)
{
	uintptr_t start = (uintptr_t)addr;
	bool entered;
	bool locked = record_begin(&entered);
	long result;

	if (locked)
		own_flush();
	result = sys_munmap(addr, len);
	if (locked && !result)
		region_clear(start, start + len);
	record_end(locked, entered);
	return (int)real_result(result);
}

/* What it has to say goes where the shim's own messages go. */
static void message(void *arg, const char *text)
{
	struct log_line line;

	(void)arg;
	log_begin(&line);
	fmt_mem(&line.f, text, strcspn(text, "\n"));
	log_end(&line);
}

void jemalloc_start(void)
{
	ahj_malloc_message = message;
}

/* The shim's own handlers call them, in an order that holds. */
int ahj_import_atfork(void (*prepare)(void), void (*parent)(void),
		      void (*child)(void))
{
	at_fork.prepare = prepare;
	at_fork.parent = parent;
	at_fork.child = child;
	return 0;
}

void jemalloc_fork_prepare(void)
{
	if (at_fork.prepare && !jemalloc_depth)
		at_fork.prepare();
}

void jemalloc_fork_parent(void)
{
	if (at_fork.parent && !jemalloc_depth)
		at_fork.parent();
}

void jemalloc_fork_child(void)
{
	if (at_fork.child && !jemalloc_depth)
		at_fork.child();
}

int ahj_import_key(unsigned *key, void (*destructor)(void *))
{
	*key = 0;
	at_thread_end = destructor;
	return 0;
}

int ahj_import_setspecific(unsigned key, const void *value)
{
	thread_end_arg = (void *)value;
	return 0;
}

static __thread bool begun __attribute__((tls_model("initial-exec")));

void jemalloc_thread_begin(void)
{
	bool enabled;
	size_t len = sizeof(enabled);

	if (begun)
		return;
	begun = true;
	ahj_mallctl("thread.tcache.enabled", &enabled, &len, NULL, 0);
}

void jemalloc_thread_end(void)
{
	begun = true; /* what it begins now would never end */
	if (at_thread_end && thread_end_arg)
		at_thread_end(thread_end_arg);
}

/* Nothing below is called: background threads and profiles are off. */
int ahj_import_thread(void *thread, const void *attr, void *routine, void *arg)
{
	return EAGAIN;
}

int ahj_import_atexit(void (*function)(void))
{
	return 0;
}

void *ahj_import_dlsym(void *handle, const char *name)
{
	return NULL;
}

double ahj_import_exp(double x)
{
	return x;
}

double ahj_import_log(double x)
{
	return x;
}

double ahj_import_round(double x)
{
	return x;
}

/* Of background threads, which there are none of. */
int ahj_import_cond(void *condition, const void *attr)
{
	return 0;
}

int ahj_import_creat(const char *path, mode_t mode)
{
	errno = EACCES;
	return -1;
}

int ahj_import_unwind(void *function, void *arg)
{
	return 0;
}

uintptr_t ahj_import_unwind_ip(void *context)
{
	return 0;
}

/* It asks for these, and takes no for an answer. */
char *ahj_import_getenv(const char *name)
{
	return NULL;
}

ssize_t ahj_import_readlink(const char *path, char *buf, size_t len)
{
	errno = ENOENT;
	return -1;
}

void *ahj_import_sbrk(intptr_t increment)
{
	errno = ENOMEM;
	return (void *)-1;
}

/*
 * Not the time of who is preloaded to show the program another, and begins with
 * the first call; but in a sandbox it may be no system call.
 */
int ahj_import_clock(int clock, struct timespec *now)
{
	if (!guard_ready)
		return clock_gettime(clock, now);
	return (int)real_result(
		sys_call(SYS_clock_gettime, clock, (long)now, 0, 0, 0, 0));
}

/* Of the kernel's settings. */
int ahj_import_open(const char *path, int flags, ...)
{
	return (int)real_result(sys_open(path, flags, 0));
}

long ahj_import_syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return real_result(sys_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}
