/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of include/anonshim.h that make and change regions.
 */
#define ANONSHIM_BUILD
#include "anonshim.h"

#include "base/mem.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "cow/cow.h"
#include "cow/plan.h"
#include "env/guard.h"
#include "shim/api.h"
#include "track/name.h"
#include "track/share.h"
#include "track/track.h"
#include "track/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static bool make(int fd, size_t len)
{
	struct registry_object *o;
	uint32_t id = 0;

	if (api_enter()) {
		id = share_object_of(fd);
		if (id) {
			share_mark(id, OBJECT_PRIVATE | OBJECT_REGION, 0);
			o = share_object_at(id);
			o->fd = fd;
			o->size = len;
		}
		api_leave();
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

static bool cut(int fd, size_t len)
{
	struct rlimit64 was;
	long lifted = sys_lift_file_limit(len, &was);
	long result =
		lifted < 0 ? lifted
			   : sys_call(SYS_ftruncate, fd, (long)len, 0, 0, 0, 0);

	if (lifted > 0)
		sys_rlimit(RLIMIT_FSIZE, &was, NULL);
	return !sys_failed(result);
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
		return api_failed(ENOSYS);
	if (!addr || !len || args.len < len || flags ||
	    (name && (!*name || strnlen(name, NAME_BYTES) == NAME_BYTES ||
		      !name_valid(name))))
		return api_failed(EINVAL);
	fd = region_fd(name ? name : "anonshim region");
	if (sys_failed(fd))
		return api_failed(ENOMEM);
	args.fd = (int)fd;
	p = cut((int)fd, args.len) ? track_mmap(&args, &caller) : MAP_FAILED;
	if (p == MAP_FAILED || !make((int)fd, args.len)) {
		if (p != MAP_FAILED)
			track_munmap(p, args.len);
		sys_close((int)fd);
		return api_failed(ENOMEM);
	}
	*addr = p;
	errno = err;
	return 0;
}

/* Whether OFFSET and LEN, which becomes bytes of pages, are in M. */
static bool is_within(const struct api_memory *m, size_t offset, size_t *len)
{
	if (!m->object || offset & (PAGE_BYTES - 1) || offset >= m->size ||
	    page_up(*len) < *len || page_up(*len) > page_up(m->size) - offset)
		return false;
	*len = *len ? page_up(*len) : page_up(m->size) - offset;
	return true;
}

static int as_alias_error(int err)
{
	switch (err) {
	case EEXIST:
	case EINVAL:
	case ENOMEM:
		return err;
	case EAGAIN:
		return ENOMEM;
	}
	return EACCES;
}

/* Where LEN bytes of OBJECT from OFFSET on are mapped, or 0. */
static uintptr_t shown_at(uint32_t object, uint64_t offset, size_t len)
{
	const struct share *s;
	uintptr_t found = 0;

	if (!api_enter())
		return 0;
	for (uintptr_t at = 0; !found && (s = share_at_or_above(at));
	     at = s->end)
		if (s->object == object && s->start + s->delta <= offset &&
		    s->end + s->delta >= offset + len)
			found = offset - s->delta;
	api_leave();
	return found;
}

/* No descriptor leads there: once more what is mapped at OLD. */
static void *map_again(uintptr_t old, const struct mmap_args *args,
		       const struct unwind_start *caller)
{
	struct mremap_args move = {
		.old = (void *)old,
		.new_len = args->len,
		.flags = MREMAP_MAYMOVE,
	};
	struct mmap_args room = {
		.addr = args->addr,
		.len = args->len,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			 MAP_FIXED_NOREPLACE,
		.fd = -1,
	};
	void *p;

	cow_drain();
	if (args->addr) {
		p = track_mmap(&room, caller);
		if (p == MAP_FAILED || p != args->addr)
			return p;
		move.flags |= MREMAP_FIXED;
		move.new_addr = p;
	}
	p = track_mremap(&move);
	if (p == MAP_FAILED && args->addr)
		track_munmap(args->addr, args->len);
	if (p != MAP_FAILED) /* whatever was said of the other one */
		sys_madvise(p, args->len, MADV_DOFORK);
	if (p == MAP_FAILED ||
	    !sys_failed(sys_call(SYS_mprotect, (long)p, (long)args->len,
				 args->prot, 0, 0, 0)))
		return p;
	track_munmap(p, args->len);
	errno = EACCES;
	return MAP_FAILED;
}

int anonshim_region_alias(void *region, size_t offset, size_t len, int prot,
			  void **alias)
{
	struct unwind_start caller = UNWIND_CALLER();
	struct mmap_args args = {.prot = prot, .flags = MAP_SHARED};
	int err = errno;
	struct api_memory m;
	uintptr_t old = 0;
	void *p;

	if (!guard_ready)
		return api_failed(ENOSYS);
	m = api_region_at(region);
	if (!alias || (uintptr_t)*alias & (PAGE_BYTES - 1) ||
	    !is_within(&m, offset, &len))
		return api_failed(EINVAL);
	if (m.fd < 0)
		old = shown_at(m.object, offset, len);
	if (m.fd < 0 && !old)
		return api_failed(EBADF);
	args.addr = *alias;
	args.len = len;
	args.fd = m.fd;
	args.offset = (off_t)offset;
	if (args.addr)
		args.flags |= MAP_FIXED_NOREPLACE;
	cow_settle(); /* a child is told of no faults there yet */
	p = old ? map_again(old, &args, &caller) : track_mmap(&args, &caller);
	if (p == MAP_FAILED)
		return api_failed(as_alias_error(errno));
	/* kernels before 4.17 take *ALIAS for a wish */
	if (args.addr && p != args.addr) {
		track_munmap(p, args.len);
		return api_failed(EEXIST);
	}
	*alias = p;
	errno = err;
	return 0;
}

int anonshim_region_fd(void *region, int *fd)
{
	int err = errno;
	struct api_memory m;
	long copy;

	if (!guard_ready)
		return api_failed(ENOSYS);
	m = api_region_at(region);
	if (!m.object || !fd)
		return api_failed(EINVAL);
	if (m.fd < 0)
		return api_failed(EBADF);
	copy = sys_call(SYS_fcntl, m.fd, F_DUPFD_CLOEXEC, 3, 0, 0, 0);
	if (sys_failed(copy))
		return api_failed(copy == -EBADF ? EBADF : ENOMEM);
	*fd = (int)copy;
	errno = err;
	return 0;
}

/* Protection of all mappings ---------------------------------------------- */

/* What is to be changed, and what it was. */
struct piece {
	uintptr_t start;
	uintptr_t end;
	int prot;
};

struct protecting {
	uint32_t object;
	uint64_t from;
	uint64_t to;
	struct cow_list pieces;
	bool failed;
};

static void add_piece(struct protecting *p, const struct procmap_vma *vma,
		      const struct share *s)
{
	uintptr_t start = p->from - s->delta;
	uintptr_t end = p->to - s->delta;
	struct piece *piece;

	if (s->start + s->delta > p->from)
		start = s->start;
	if (s->end + s->delta < p->to)
		end = s->end;
	start = start > vma->start ? start : vma->start;
	end = end < vma->end ? end : vma->end;
	if (start >= end)
		return;
	piece = cow_list_add(&p->pieces, sizeof(*piece));
	p->failed |= !piece;
	if (piece)
		*piece = (struct piece){
			.start = start,
			.end = end,
			.prot = (vma->readable ? PROT_READ : 0) |
				(vma->writable ? PROT_WRITE : 0) |
				(vma->executable ? PROT_EXEC : 0),
		};
}

static void find_pieces(const struct procmap_vma *vma, void *arg)
{
	struct protecting *p = arg;
	const struct share *s;

	for (uintptr_t at = vma->start;
	     at < vma->end && (s = share_at_or_above(at)) &&
	     s->start < vma->end;
	     at = s->end)
		if (s->object == p->object)
			add_piece(p, vma, s);
}

static long set_protection(const struct piece *piece, int prot)
{
	return sys_call(SYS_mprotect, (long)piece->start,
			(long)(piece->end - piece->start), prot, 0, 0, 0);
}

/* All, or none. */
static int protect_pieces(const struct cow_list *pieces, int prot)
{
	for (size_t i = 0; i < pieces->n; i++) {
		long result = set_protection(COW_AT(pieces, piece, i), prot);

		if (!sys_failed(result))
			continue;
		while (i--)
			set_protection(COW_AT(pieces, piece, i),
				       COW_AT(pieces, piece, i)->prot);
		return result == -ENOMEM   ? ENOMEM
		       : result == -EINVAL ? EINVAL
					   : EACCES;
	}
	return 0;
}

int anonshim_region_protect(void *region, size_t offset, size_t len, int prot)
{
	struct protecting p = {.from = offset};
	int err = errno;
	struct api_memory m;
	int result = 0;

	if (!guard_ready)
		return api_failed(ENOSYS);
	m = api_region_at(region);
	if (!is_within(&m, offset, &len))
		return api_failed(EINVAL);
	p.object = m.object;
	p.to = offset + len;
	if (!api_enter())
		return api_failed(ENOMEM);
	if (procmaps_read(find_pieces, &p) || p.failed)
		result = ENOMEM;
	if (!result)
		result = protect_pieces(&p.pieces, prot);
	api_leave();
	cow_list_drop(&p.pieces);
	errno = err;
	return result ? api_failed(result) : 0;
}

/* The first mapping of OBJECT; its end is 0 where there is none. */
static struct share first_of(uint32_t object)
{
	struct share found = {0};
	const struct share *s;

	if (api_enter()) {
		s = share_of(object);
		if (s)
			found = *s;
		api_leave();
	}
	return found;
}

int anonshim_region_destroy(void *region)
{
	int err = errno;
	struct api_memory m;
	struct share s;

	if (!guard_ready)
		return api_failed(ENOSYS);
	m = api_region_at(region);
	if (!m.object)
		return api_failed(EINVAL);
	while ((s = first_of(m.object)).end &&
	       !track_munmap((void *)s.start, s.end - s.start)) {
	}
	if (m.fd >= 0)
		sys_close(m.fd);
	if (api_enter()) {
		share_mark(m.object, 0,
			   OBJECT_PRIVATE | OBJECT_SHARE | OBJECT_REGION |
				   OBJECT_ALIASED);
		api_leave();
	}
	errno = err;
	return 0;
}
