/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making what a child will get: objects, their memory, descriptors; see plan.h.
 */
#include "cow/plan.h"

#include "base/fdlist.h"
#include "base/fmt.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "env/config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

/* Whether FD leads to O: another thread may have closed what did, and opened
 * something else. */
static bool leads_to(int fd, const struct cow_object *o)
{
	struct sys_object now;

	if (sys_failed(sys_object(fd, &now)))
		return false;
	if (!o->is_file)
		return now.ino == o->identity.ino;
	return now.ino == o->ino && now.dev == o->dev &&
	       (!o->born_ns || now.born_ns == o->born_ns);
}

/* FD, a descriptor of ours or -errno, if it does. */
static long checked(long fd, const struct cow_object *o)
{
	if (sys_failed(fd) || leads_to((int)fd, o))
		return fd;
	sys_close((int)fd);
	return -ENOENT;
}

/* Only with CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE. */
static long open_mapping(const struct cow_map *m)
{
	char path[64];
	struct fmt f;

	fmt_init(&f, path, sizeof(path));
	fmt_str(&f, "/proc/self/map_files/");
	fmt_hex(&f, m->start);
	fmt_char(&f, '-');
	fmt_hex(&f, m->end);
	return sys_open(path, O_RDONLY, 0);
}

/* The program's own, where it may read by that. */
static long copy_descriptor(int fd)
{
	long flags = sys_call(SYS_fcntl, fd, F_GETFL, 0, 0, 0, 0);

	if (sys_failed(flags) || flags & O_PATH ||
	    (flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	return sys_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
}

/*
 * Whether somebody may have a lock of fcntl() on it, which would go with any
 * descriptor that this process closes; those of its own show as others' where
 * one of an open file's is asked for.
 */
static bool is_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	return !sys_failed(sys_call(SYS_fcntl, fd, F_OFD_GETLK, (long)&lock, 0,
				    0, 0)) &&
	       lock.l_type != F_UNLCK;
}

/*
 * A descriptor of our own, whose offset is nobody's business; the program's
 * may be all there is since it lost the right to open that file.  Returns 0,
 * also where there is none to be had, or -errno.
 */
static int open_old(const struct cow_plan *plan, uint32_t object)
{
	struct cow_object *o = COW_OBJECT(plan, object);
	long fd = -ENOENT;

	if (o->program_fd >= 0 && is_locked(o->program_fd)) {
		o->old = o->program_fd;
		o->old_seeks = o->old_borrowed = true;
		return 0;
	}
	if (o->program_fd >= 0)
		fd = checked(fdlist_open(0, o->program_fd, O_RDONLY), o);
	for (size_t i = 0; sys_failed(fd) && i < plan->maps.n; i++)
		if (COW_MAP(plan, i)->object == object) {
			fd = checked(open_mapping(COW_MAP(plan, i)), o);
			break;
		}
	if (sys_failed(fd) && o->program_fd >= 0) {
		fd = checked(copy_descriptor(o->program_fd), o);
		o->old_seeks = !sys_failed(fd);
	}
	if (fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return (int)fd;
	o->old = sys_failed(fd) ? -1 : (int)fd;
	return 0;
}

/* Whether code may be run from it: else a child could not be finished. */
static long try_to_execute(int fd, int prot)
{
	long p = sys_mmap(NULL, PAGE_BYTES, prot, MAP_SHARED, fd, 0);

	return sys_failed(p) ? p : sys_munmap((void *)p, PAGE_BYTES);
}

static long object_make(struct cow_object *o)
{
	unsigned flags = MFD_ALLOW_SEALING;
	char name[COW_NAME_BYTES];
	struct sys_object made = {0};
	long result;

	cow_short_name(o, name);
	if (o->huge_bytes)
		flags |= MFD_HUGETLB | (unsigned)__builtin_ctzl(o->huge_bytes)
					       << MFD_HUGE_SHIFT;
	name[249 < sizeof(name) ? 249 : sizeof(name) - 1] = '\0';
	result = sys_memfd(name, flags, o->seals & F_SEAL_EXEC);
	if (sys_failed(result))
		return result;
	o->new = (int)result;
	result = sys_object(o->new, &made);
	o->new_dev = made.dev;
	o->new_ino = made.ino;
	return result;
}

/* What it has to be like; it may have been cut since it was made. */
static long object_fit(const struct cow_object *o)
{
	long result =
		sys_call(SYS_ftruncate, o->new, (long)o->size, 0, 0, 0, 0);

	if (!sys_failed(result) && o->exec_prot && !o->huge_bytes)
		result = try_to_execute(o->new, o->exec_prot);
	return result;
}

static void refused(const struct cow_object *o)
{
	static bool said;
	struct log_line line;
	char name[COW_NAME_BYTES];

	if (__atomic_exchange_n(&said, true, __ATOMIC_RELAXED))
		return;
	cow_short_name(o, name);
	log_begin(&line);
	fmt_str(&line.f, "fork: more to copy than max-copy=");
	fmt_u64(&line.f, CONFIG_NUMBER(max_copy));
	fmt_str(&line.f, ", in ");
	fmt_str(&line.f, name);
	fmt_str(&line.f, "; fork fails with ENOMEM");
	log_end(&line);
}

static long extents_sum(const struct cow_plan *plan, uint32_t object)
{
	uint64_t sum = 0;
	uint64_t start = 0;
	uint64_t end;
	int result;

	while ((result = cow_extent(plan, object, &start, &end)) > 0) {
		sum += end - start;
		start = end;
	}
	return result ? result : (long)sum;
}

/* How much there is of OBJECT; -errno. */
static long data_bytes(const struct cow_plan *plan, uint32_t object)
{
	struct cow_object *o = COW_OBJECT(plan, object);
	struct sys_object now;
	long result = o->old >= 0 ? sys_object(o->old, &now) : -1;

	o->is_full = false;
	if (sys_failed(result))
		return extents_sum(plan, object);
	/* more than is seen of it: nobody knows where */
	if (o->huge_bytes && extents_sum(plan, object) != (long)now.held)
		return (long)o->size;
	return (long)now.held;
}

/* Offset and flags; not every file system knows all of these. */
static long fd_dress(const struct cow_fd *f)
{
	const int kept = O_APPEND | O_NONBLOCK;
	const int tried = kept | O_DIRECT | O_NOATIME;
	long result = 0;

	if (f->offset > 0)
		result = sys_call(SYS_lseek, f->copy, f->offset, SEEK_SET, 0, 0,
				  0);
	if (sys_failed(result) || !(f->flags & tried) || f->flags & O_PATH)
		return result;
	result = sys_call(SYS_fcntl, f->copy, F_SETFL, f->flags & tried, 0, 0,
			  0);
	return sys_failed(result) ? sys_call(SYS_fcntl, f->copy, F_SETFL,
					     f->flags & kept, 0, 0, 0)
				  : result;
}

/*
 * Whether descriptor I may be of the file that memfd_create(2) made, with its
 * offset, as the first of the program's most likely is: what is open to be
 * written in any other way cannot be executed.  What appends does so also when
 * the copy is written.
 */
static bool is_makers(const struct cow_plan *plan, uint32_t i)
{
	const int kept = O_ACCMODE | O_PATH | O_APPEND | O_DIRECT;

	for (uint32_t j = 0; j < i; j++)
		if (COW_FD(plan, j)->object == COW_FD(plan, i)->object &&
		    (COW_FD(plan, j)->flags & kept) == O_RDWR)
			return false;
	return (COW_FD(plan, i)->flags & kept) == O_RDWR;
}

static long fd_make(struct cow_plan *plan, uint32_t i)
{
	struct cow_fd *f = COW_FD(plan, i);
	const struct cow_object *o = COW_OBJECT(plan, f->object);
	long fd;

	if (f->same != i) {
		fd = sys_call(SYS_fcntl, COW_FD(plan, f->same)->copy,
			      F_DUPFD_CLOEXEC, 0, 0, 0, 0);
	} else if (is_makers(plan, i)) {
		fd = sys_call(SYS_fcntl, o->new, F_DUPFD_CLOEXEC, 0, 0, 0, 0);
	} else {
		fd = fdlist_open(0, o->new, f->flags & (O_ACCMODE | O_PATH));
		if (sys_failed(fd))
			fd = sys_call(SYS_fcntl, o->new, F_DUPFD_CLOEXEC, 0, 0,
				      0, 0);
	}
	if (sys_failed(fd))
		return fd;
	f->copy = (int)fd;
	return f->same == i ? fd_dress(f) : 0;
}

/* Another thread may have closed it, and opened something else. */
bool cow_is_new(const struct cow_object *o)
{
	struct sys_object now;

	return !sys_failed(sys_object(o->new, &now)) && now.ino == o->new_ino;
}

int cow_make(struct cow_plan *plan)
{
	long result = 0;

	for (uint32_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);

		if (!o->wanted)
			continue;
		if (o->view) {
			o->bytes = cow_view_bytes(o);
			continue;
		}
		if (o->old >= 0 && !o->old_borrowed) {
			/* its number may have become another's */
			o->old = (int)checked(o->old, o);
			o->old_seeks &= o->old >= 0;
		}
		result = o->old < 0 ? open_old(plan, i) : 0;
		if (!sys_failed(result) && o->new < 0)
			result = object_make(o);
		if (!sys_failed(result))
			result = object_fit(o);
		if (!sys_failed(result))
			result = data_bytes(plan, i);
		if (!sys_failed(result) && !cow_is_new(o))
			return -EAGAIN;
		if (sys_failed(result))
			return (int)result;
		o->bytes = (uint64_t)result;
		o->is_full = o->bytes >= o->size;
	}
	for (uint32_t i = 0; i < plan->fds.n; i++) {
		result = fd_make(plan, i);
		if (sys_failed(result))
			return (int)result;
	}
	/* last, for it may forbid what was just done */
	for (size_t i = 0; i < plan->objects.n; i++) {
		const struct cow_object *o = COW_OBJECT(plan, i);

		if (o->wanted && o->program_fd >= 0)
			sys_call(SYS_fchmod, o->new, o->mode, 0, 0, 0, 0);
	}
	return 0;
}

bool cow_too_much(const struct cow_plan *plan)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < plan->objects.n; i++) {
		const struct cow_object *o = COW_OBJECT(plan, i);

		total += o->wanted && !o->lazy ? o->bytes : 0;
		if (total > CONFIG_NUMBER(max_copy)) {
			refused(o);
			return true;
		}
	}
	return false;
}

void cow_close(const struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->fds.n; i++)
		if (COW_FD(plan, i)->copy >= 0)
			sys_close(COW_FD(plan, i)->copy);
	for (size_t i = 0; i < plan->objects.n; i++) {
		if (COW_OBJECT(plan, i)->old >= 0 &&
		    !COW_OBJECT(plan, i)->old_borrowed)
			sys_close(COW_OBJECT(plan, i)->old);
		if (COW_OBJECT(plan, i)->new >= 0)
			sys_close(COW_OBJECT(plan, i)->new);
	}
}

void cow_drop(struct cow_plan *plan)
{
	cow_close(plan);
	for (size_t i = 0; i < plan->objects.n; i++)
		cow_view_unstage(COW_OBJECT(plan, i));
	cow_list_drop(&plan->fds);
	cow_list_drop(&plan->maps);
	cow_list_drop(&plan->objects);
	cow_list_drop(&plan->by_id);
}
