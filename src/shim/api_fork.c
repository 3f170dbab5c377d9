/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of include/anonshim.h about fork, and regions.
 */
#define ANONSHIM_BUILD
#include "anonshim.h"

#include "base/mem.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "env/guard.h"
#include "shim/api.h"
#include "track/name.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/share.h"
#include "track/site.h"
#include "track/track.h"
#include "track/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

static int failed(int err)
{
	errno = err;
	return -1;
}

/* Busy, with the map's lock.  False: it cannot be had. */
static bool enter(void)
{
	guard_enter();
	if (region_lock_take())
		return true;
	guard_leave();
	return false;
}

static void leave(void)
{
	region_lock_drop();
	guard_leave();
}

/* What children get ------------------------------------------------------- */

struct range {
	uintptr_t start;
	uintptr_t end;
	uint32_t set;
	uint32_t clear;
	bool found;
};

static void mark_known(struct range *r)
{
	const struct share *s;

	for (uintptr_t at = r->start;
	     at < r->end && (s = share_at_or_above(at)) && s->start < r->end;
	     at = s->end) {
		share_mark(s->object, r->set, r->clear);
		r->found = true;
	}
}

/* A mapping that nobody saw made is seen now. */
static void meet(const struct procmap_vma *vma, void *arg)
{
	const struct range *r = arg;
	const struct share *s;
	uint32_t object;

	if (!vma->shared || !vma->inode || vma->start >= r->end ||
	    vma->end <= r->start)
		return;
	s = share_at_or_above(vma->start);
	if (s && s->start < vma->end)
		return;
	object =
		share_object(makedev(vma->major, vma->minor), vma->inode, 0, 0);
	share_add(vma->start, vma->end, vma->offset, object);
}

static int set_fork(struct range *r)
{
	if (!enter())
		return ENOMEM;
	mark_known(r);
	if (!r->found) {
		procmaps_read(meet, r);
		mark_known(r);
	}
	leave();
	return r->found ? 0 : ENOENT;
}

int anonshim_set_fork(void *addr, size_t len, int mode)
{
	struct range r = {
		.start = (uintptr_t)addr,
		.end = page_up((uintptr_t)addr + len),
		.set = mode == ANONSHIM_FORK_SHARE     ? OBJECT_SHARE
		       : mode == ANONSHIM_FORK_PRIVATE ? OBJECT_PRIVATE
						       : 0,
		.clear = OBJECT_SHARE | OBJECT_PRIVATE,
	};
	int err = errno;
	int result;

	if (!guard_ready)
		return failed(ENOSYS);
	if (r.start & (PAGE_BYTES - 1) || r.end <= r.start ||
	    mode < ANONSHIM_FORK_DEFAULT || mode > ANONSHIM_FORK_PRIVATE)
		return failed(EINVAL);
	if (!api_mapped(addr, len))
		return failed(ENOMEM);
	result = set_fork(&r);
	errno = err;
	return result ? failed(result) : 0;
}

/* Regions ----------------------------------------------------------------- */

/* A region, as far as it is known now. */
struct made {
	uint32_t object; /* 0: none */
	uint64_t size;
	int fd; /* -1: the program closed it */
};

static struct made made_at(uintptr_t addr)
{
	struct made m = {.fd = -1};
	const struct registry_object *o;
	const struct share *s;
	struct sys_object file;

	if (!enter())
		return m;
	s = share_at_or_above(addr);
	o = s && s->start <= addr ? share_object_at(s->object) : NULL;
	if (o && o->flags & OBJECT_REGION) {
		m.object = s->object;
		m.size = o->size;
		if (!sys_failed(sys_object(o->fd, &file)) &&
		    file.ino == o->ino && file.dev == o->dev)
			m.fd = o->fd;
	}
	leave();
	return m;
}

static bool make(int fd, size_t len)
{
	struct registry_object *o;
	struct sys_object file;
	uint32_t id = 0;

	if (!sys_failed(sys_object(fd, &file)) && enter()) {
		id = share_object_known(file.dev, file.ino);
		if (id) {
			share_mark(id, OBJECT_PRIVATE | OBJECT_REGION, 0);
			o = share_object_at(id);
			o->fd = fd;
			o->size = len;
		}
		leave();
	}
	return id;
}

/* Not one of the first three, which programs take for their own. */
static long region_fd(const char *name)
{
	long fd = sys_memfd(name, MFD_ALLOW_SEALING, false);
	long result = fd;

	if (fd >= 0 && fd < 3) {
		result = sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 3, 0, 0, 0);
		sys_close((int)fd);
	}
	return result;
}

int anonshim_region_create(void **addr, size_t len, unsigned flags,
			   const char *name)
{
	struct unwind_start caller = UNWIND_CALLER();
	struct mmap_args args = {
		.len = page_up(len),
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_SHARED,
	};
	int err = errno;
	void *p;
	long fd;

	if (!guard_ready)
		return failed(ENOSYS);
	if (!addr || !len || args.len < len || flags ||
	    (name && (!*name || strnlen(name, NAME_BYTES) == NAME_BYTES ||
		      !name_valid(name))))
		return failed(EINVAL);
	fd = region_fd(name ? name : "anonshim region");
	if (sys_failed(fd))
		return failed(ENOMEM);
	args.fd = (int)fd;
	p = sys_failed(sys_call(SYS_ftruncate, fd, (long)args.len, 0, 0, 0, 0))
		    ? MAP_FAILED
		    : track_mmap(&args, &caller);
	if (p == MAP_FAILED || !make((int)fd, args.len)) {
		if (p != MAP_FAILED)
			track_munmap(p, args.len);
		sys_close((int)fd);
		return failed(ENOMEM);
	}
	*addr = p;
	errno = err;
	return 0;
}

int anonshim_region_alias(void *region, size_t offset, size_t len, int prot,
			  void **alias)
{
	struct unwind_start caller = UNWIND_CALLER();
	struct mmap_args args = {.prot = prot, .flags = MAP_SHARED};
	int err = errno;
	struct made m;
	void *p;

	if (!guard_ready)
		return failed(ENOSYS);
	m = made_at((uintptr_t)region);
	if (!m.object || !alias || offset & (PAGE_BYTES - 1) ||
	    offset >= m.size || page_up(len) < len ||
	    page_up(len) > m.size - offset ||
	    (uintptr_t)*alias & (PAGE_BYTES - 1))
		return failed(EINVAL);
	if (m.fd < 0)
		return failed(EBADF);
	args.addr = *alias;
	args.len = len ? page_up(len) : m.size - offset;
	args.fd = m.fd;
	args.offset = (off_t)offset;
	if (args.addr)
		args.flags |= MAP_FIXED_NOREPLACE;
	p = track_mmap(&args, &caller);
	if (p == MAP_FAILED)
		return failed(errno == EEXIST	? EEXIST
			      : errno == EINVAL ? EINVAL
			      : errno == ENOMEM ? ENOMEM
			      : errno == EAGAIN ? ENOMEM
						: EACCES);
	/* kernels before 4.17 take *ALIAS for a wish */
	if (args.addr && p != args.addr) {
		track_munmap(p, args.len);
		return failed(EEXIST);
	}
	*alias = p;
	errno = err;
	return 0;
}

/* The first mapping of OBJECT; its end is 0 where there is none. */
static struct share first_of(uint32_t object)
{
	struct share found = {0};
	const struct share *s;

	if (enter()) {
		s = share_of(object);
		if (s)
			found = *s;
		leave();
	}
	return found;
}

int anonshim_region_destroy(void *region)
{
	int err = errno;
	struct made m;
	struct share s;

	if (!guard_ready)
		return failed(ENOSYS);
	m = made_at((uintptr_t)region);
	if (!m.object)
		return failed(EINVAL);
	while ((s = first_of(m.object)).end &&
	       !track_munmap((void *)s.start, s.end - s.start)) {
	}
	if (m.fd >= 0)
		sys_close(m.fd);
	if (enter()) {
		share_mark(m.object, 0,
			   OBJECT_PRIVATE | OBJECT_SHARE | OBJECT_REGION |
				   OBJECT_ALIASED);
		leave();
	}
	errno = err;
	return 0;
}
