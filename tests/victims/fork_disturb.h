/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs do with mappings and descriptors once they have them: change
 * protections, unmap in the middle, move, turn pages round, dup, seek, close;
 * each done and noted in the model of fork_object.h.
 */
#ifndef FORK_DISTURB_H
#define FORK_DISTURB_H

#include "fork_object.h"

static inline void protect(struct object *o, struct alias *alias)
{
	static const int prots[] = {
		PROT_NONE,
		PROT_READ,
		PROT_READ | PROT_WRITE,
		PROT_READ | PROT_EXEC,
	};
	size_t from, count = part_of(alias->pages, o->unit, &from);
	int prot = prots[below(4)];

	if (!is_mapped(alias, from, from + count))
		return;
	/* not every file lets itself be written or executed */
	if (!mprotect(alias->addr + from * PAGE, count * PAGE, prot))
		set_prot(alias, from, from + count, prot);
	else
		CHECK(errno == EACCES || errno == EPERM);
}

static inline void unmap_part(struct object *o, struct alias *alias)
{
	size_t from, count = part_of(alias->pages, o->unit, &from);

	if (count == alias->pages)
		return;
	CHECK(!munmap(alias->addr + from * PAGE, count * PAGE));
	set_prot(alias, from, from + count, ABSENT);
	/* so that nothing else comes there: the model's own */
	CHECK(mmap(alias->addr + from * PAGE, count * PAGE, PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) != MAP_FAILED);
}

static inline void unmap_all(struct object *o, struct alias *alias)
{
	if (o->aliases == 1)
		return;
	CHECK(!munmap(alias->addr, alias->pages * PAGE));
	*alias = o->alias[--o->aliases];
}

static inline void move(struct object *o, struct alias *alias)
{
	size_t bytes = alias->pages * PAGE;
	char *p;

	if (!is_plain(o, alias, 0, alias->pages))
		return;
	p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	p = remap_somehow(alias->addr, bytes, bytes, 0, p);
	CHECK(p != MAP_FAILED);
	alias->addr = p;
}

/* Another page of the object where one was. */
static inline void turn_round(struct object *o, struct alias *alias)
{
	size_t from, count, page;

	if (o->sparse || !is_plain(o, alias, 0, alias->pages))
		return;
	count = part_of(alias->pages, 1, &from);
	page = below(o->pages - count + 1);
	if (syscall(SYS_remap_file_pages, alias->addr + from * PAGE,
		    count * PAGE, 0L, page, 0L)) {
		CHECK(errno == EINVAL || errno == EACCES || errno == EPERM);
		return;
	}
	for (unsigned c = 0; c < alias->cells; c++) {
		struct cell *cell = &alias->cell[c];

		if (cell->at >= from && cell->at < from + count)
			cell->stamp = (unsigned)(page + cell->at - from);
	}
	overlap_note(o);
}

static inline void shrink(struct object *o, struct alias *alias)
{
	size_t keep = alias->pages / 2;

	if (o->sparse || !keep || !is_plain(o, alias, 0, alias->pages))
		return;
	CHECK(mremap(alias->addr, alias->pages * PAGE, keep * PAGE, 0) ==
	      alias->addr);
	alias->pages = keep;
	while (alias->cells && alias->cell[alias->cells - 1].at >= keep)
		alias->cells--;
}

static inline void disturb_mapping(struct object *o)
{
	struct alias *alias = &o->alias[below(o->aliases)];

	switch (below(8)) {
	case 0:
		unmap_part(o, alias);
		break;
	case 1:
		unmap_all(o, alias);
		break;
	case 2:
		move(o, alias);
		break;
	case 3:
		turn_round(o, alias);
		break;
	case 4:
		shrink(o, alias);
		break;
	default:
		protect(o, alias);
	}
}

/* ---- descriptors ---- */

static inline int dup_somehow(int fd)
{
	int to;

	switch (below(4)) {
	case 0:
		return dup(fd);
	case 1:
		return fcntl(fd, F_DUPFD_CLOEXEC, 100);
	case 2:
		return (int)syscall(SYS_dup, fd);
	default:
		to = fcntl(fd, F_DUPFD, 50);
		CHECK(to >= 0);
		return dup3(fd, to, below(2) ? O_CLOEXEC : 0);
	}
}

/* Another open file of the same object. */
static inline void reopen(struct object *o, const struct descriptor *d)
{
	int flags = O_CLOEXEC | (below(2) ? O_NONBLOCK : 0);
	char path[64];
	bool writable = below(2) && d->writable;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", d->fd);
	flags |= writable ? O_RDWR | (below(2) ? O_APPEND : 0) : O_RDONLY;
	o->offset[o->files] = 0;
	fd_note(o, open(path, flags), writable, o->files++);
}

static inline void disturb_fds(struct object *o)
{
	struct descriptor *d;

	if (!o->fds)
		return;
	d = &o->fd[below(o->fds)];
	switch (below(5)) {
	case 0:
		if (o->fds < FDS_MAX)
			fd_note(o, dup_somehow(d->fd), d->writable, d->file);
		break;
	case 1:
		if (o->fds < FDS_MAX && o->files < FDS_MAX)
			reopen(o, d);
		break;
	case 2:
	case 3:
		o->offset[d->file] = (off_t)below(o->pages * PAGE);
		CHECK(lseek(d->fd, o->offset[d->file], SEEK_SET) >= 0);
		break;
	default:
		CHECK(!close(d->fd));
		*d = o->fd[--o->fds];
	}
}

/* ---- writing ---- */

static inline bool write_by_alias(struct object *o, unsigned stamp,
				  uint64_t value)
{
	struct alias *alias = &o->alias[below(o->aliases)];

	for (unsigned c = 0; c < alias->cells; c++) {
		const struct cell *cell = &alias->cell[c];

		if (cell->stamp != stamp || cell->prot == ABSENT ||
		    !(cell->prot & PROT_WRITE))
			continue;
		if (value)
			page_fill(alias->addr + cell->at * PAGE, value);
		else if (madvise(alias->addr + cell->at * PAGE, PAGE,
				 MADV_REMOVE))
			return false;
		return true;
	}
	return false;
}

static inline bool write_by_fd(struct object *o, unsigned stamp, uint64_t value)
{
	const struct descriptor *d = &o->fd[below(o->fds)];
	uint64_t page[WORDS];
	off_t at = (off_t)(o->index[stamp] * PAGE);

	/* what appends appends, wherever it is told to write */
	if (!d->writable || fcntl(d->fd, F_GETFL) & O_APPEND)
		return false;
	if (!value)
		return !fallocate(d->fd,
				  FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
				  at, PAGE);
	page_fill(page, value);
	if (below(2)) {
		CHECK(pwrite(d->fd, page, PAGE, at) == PAGE);
		return true;
	}
	CHECK(lseek(d->fd, at, SEEK_SET) == at);
	CHECK(write(d->fd, page, PAGE) == PAGE);
	o->offset[d->file] = at + (off_t)PAGE;
	return true;
}

/* A page gets another stamp, somehow, if that can be. */
static inline void object_write(struct object *o, bool fds)
{
	unsigned stamp = (unsigned)below(o->stamps);
	uint64_t value = one_in(8) ? 0 : draw() | 1;
	bool done = fds && o->fds && below(3) == 0
			    ? write_by_fd(o, stamp, value)
			    : write_by_alias(o, stamp, value);

	if (done)
		o->stamp[stamp] = value;
}

#endif
