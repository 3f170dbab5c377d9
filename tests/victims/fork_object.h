/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared objects of every kind, mapped as randomly as a seed has it, and a
 * model of them in private memory: what each page holds, by a stamp, and
 * through which addresses and descriptors it can be seen.
 *
 * Pages are filled from their stamp, to the last word; stamp 0 is a hole or
 * zeros.  Of a sparse object only some pages are looked at, at least one in
 * every quarter, and ranges of it are of whole quarters: two mappings that
 * overlap have a page of those in common.
 */
#ifndef FORK_OBJECT_H
#define FORK_OBJECT_H

#include "fork_help.h"

#define ALIASES_MAX 8
#define FDS_MAX 5
#define STAMPS_MAX 40
#define SPARSE_PAGES ((size_t)1 << 18) /* 1 GiB */
#define SPARSE_DISK_PAGES ((size_t)1 << 14)
#define QUARTERS 4
#define SPARSE_STAMPS 8
#define ABSENT (-1)

enum kind {
	MEMFD,
	MEMFD_SEALED,
	ANON,
	ZERO,
	SHM_TMPFILE,
	SHM_UNLINKED,
	SHM_NAME,
	DISK_TMPFILE,
	DISK_UNLINKED,
	KINDS,
};

static const char *const kind_name[KINDS] = {
	"memfd",     "sealed memfd",   "anonymous",
	"/dev/zero", "file in memory", "unlinked there",
	"shm_open",  "file on disk",   "unlinked there",
};

/* What of a mapping is looked at: a page of the object. */
struct cell {
	size_t at;	/* page in the mapping */
	unsigned stamp; /* which of the object's */
	int prot;	/* ABSENT: unmapped */
};

struct alias {
	char *addr;
	size_t pages;
	unsigned cells;
	struct cell cell[STAMPS_MAX];
};

struct descriptor {
	int fd;
	bool writable;
	unsigned file; /* those of one open file have one offset */
};

struct object {
	enum kind kind;
	bool sparse;
	size_t unit;  /* pages that a range of it is of */
	bool aliased; /* once overlapping, for ever: a child's is its own */
	size_t pages;
	unsigned stamps;
	size_t index[STAMPS_MAX]; /* page in the object, ascending */
	uint64_t stamp[STAMPS_MAX];
	unsigned aliases, fds, files;
	struct alias alias[ALIASES_MAX];
	struct descriptor fd[FDS_MAX];
	off_t offset[FDS_MAX]; /* of each open file */
};

/* ---- chance ---- */

static uint64_t chance = 1;

static inline uint64_t draw(void)
{
	chance ^= chance >> 12;
	chance ^= chance << 25;
	chance ^= chance >> 27;
	return chance * UINT64_C(0x2545f4914f6cdd1d);
}

static inline size_t below(size_t n)
{
	return (size_t)(draw() >> 33) % n;
}
static inline bool one_in(size_t n)
{
	return below(n) == 0;
}

static inline void draw_from(uint64_t seed)
{
	chance = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	for (int i = 0; i < 4; i++)
		draw();
}

/* ---- pages ---- */

static inline uint64_t word_of(uint64_t stamp, size_t i)
{
	return stamp ? stamp + i * UINT64_C(0x10001) : 0;
}

static inline void page_fill(void *page, uint64_t stamp)
{
	volatile uint64_t *word = page;

	for (size_t i = 0; i < WORDS; i++)
		word[i] = word_of(stamp, i);
}

/* WORDS if it is as it should be, else the word that is not. */
static inline size_t page_differs(const void *page, uint64_t stamp)
{
	const uint64_t *word = page;
	uint64_t bad = 0;

	for (size_t i = 0; i < WORDS; i++)
		bad |= word[i] ^ word_of(stamp, i);
	for (size_t i = 0; bad && i < WORDS; i++)
		if (word[i] != word_of(stamp, i))
			return i;
	return WORDS;
}

/* ---- making ---- */

static inline int unlinked_in(const char *dir)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/fork-alias-XXXXXX", dir);
	fd = mkostemp(path, O_CLOEXEC);
	CHECK(fd >= 0);
	CHECK(!unlink(path));
	return fd;
}

static inline int shm_without_name(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "/fork-alias-%d", (int)getpid());
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0);
	CHECK(!shm_unlink(name));
	return fd;
}

static inline int object_open(enum kind kind)
{
	switch (kind) {
	case MEMFD:
		return memfd_create("an alias", below(2) ? MFD_CLOEXEC : 0);
	case MEMFD_SEALED:
		return memfd_create("sealed", MFD_ALLOW_SEALING);
	case SHM_TMPFILE:
		return open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
	case SHM_UNLINKED:
		return unlinked_in("/dev/shm");
	case SHM_NAME:
		return shm_without_name();
	case DISK_TMPFILE:
		return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	case DISK_UNLINKED:
		return unlinked_in("/tmp");
	default:
		return -1;
	}
}

static inline void object_seal(int fd)
{
	int seals = F_SEAL_SHRINK;

	seals |= below(2) ? F_SEAL_GROW : 0;
	seals |= below(2) ? F_SEAL_SEAL : 0;
	CHECK(!fcntl(fd, F_ADD_SEALS, seals));
}

/*
 * Once a file on disk has no descriptor only root finds its holes: all of it is
 * copied, and a large one would do nothing but take time.
 */
static inline void object_pages(struct object *o, bool sparse)
{
	size_t part;

	o->sparse = sparse;
	if (!sparse)
		o->pages = 1 + below(STAMPS_MAX);
	else
		o->pages = o->kind < DISK_TMPFILE ? SPARSE_PAGES
						  : SPARSE_DISK_PAGES;
	o->unit = sparse ? o->pages / QUARTERS : 1;
	o->stamps = sparse ? SPARSE_STAMPS : (unsigned)o->pages;
	part = o->pages / o->stamps;
	for (size_t i = 0; i < o->stamps; i++)
		o->index[i] = sparse ? i * part + below(part) : i;
}

/* ADDR was mapped, COUNT pages of the object from page FIRST on. */
static inline struct alias *alias_note(struct object *o, char *addr,
				       size_t first, size_t count, int prot)
{
	struct alias *alias = &o->alias[o->aliases++];

	alias->addr = addr;
	alias->pages = count;
	alias->cells = 0;
	for (unsigned i = 0; i < o->stamps; i++)
		if (o->index[i] >= first && o->index[i] < first + count)
			alias->cell[alias->cells++] =
				(struct cell){o->index[i] - first, i, prot};
	return alias;
}

/* Whether any page is mapped twice now; called after each mapping. */
static inline void overlap_note(struct object *o)
{
	unsigned seen[STAMPS_MAX] = {0};

	for (unsigned a = 0; a < o->aliases; a++)
		for (unsigned c = 0; c < o->alias[a].cells; c++)
			if (o->alias[a].cell[c].prot != ABSENT &&
			    seen[o->alias[a].cell[c].stamp]++)
				o->aliased = true;
}

static inline void fd_note(struct object *o, int fd, bool writable,
			   unsigned file)
{
	CHECK(fd >= 0);
	o->fd[o->fds++] = (struct descriptor){fd, writable, file};
}

static inline void object_make(struct object *o)
{
	int rw = PROT_READ | PROT_WRITE, fd;
	int anon = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE;
	char *p;

	memset(o, 0, sizeof(*o));
	o->kind = (enum kind)below(KINDS);
	object_pages(o, one_in(16));
	if (o->kind == ANON) {
		p = mmap(NULL, o->pages * PAGE, rw, anon, -1, 0);
	} else if (o->kind == ZERO) {
		fd = open("/dev/zero", O_RDWR);
		CHECK(fd >= 0);
		p = mmap(NULL, o->pages * PAGE, rw, MAP_SHARED | MAP_NORESERVE,
			 fd, 0);
		close(fd);
	} else {
		fd = object_open(o->kind);
		CHECK(fd >= 0);
		CHECK(!ftruncate(fd, (off_t)(o->pages * PAGE)));
		if (o->kind == MEMFD_SEALED)
			object_seal(fd);
		fd_note(o, fd, true, o->files++);
		p = mmap(NULL, o->pages * PAGE, rw, MAP_SHARED, fd, 0);
	}
	CHECK(p != MAP_FAILED);
	alias_note(o, p, 0, o->pages, rw);
}

static inline void object_end(struct object *o)
{
	for (unsigned a = 0; a < o->aliases; a++)
		CHECK(!munmap(o->alias[a].addr, o->alias[a].pages * PAGE));
	for (unsigned i = 0; i < o->fds; i++)
		CHECK(!close(o->fd[i].fd));
}

/* ---- ranges ---- */

/* A part of PAGES, of whole units; the length is returned. */
static inline size_t part_of(size_t pages, size_t unit, size_t *first)
{
	size_t units = pages / unit;
	size_t from = below(units);

	*first = from * unit;
	return (1 + below(units - from)) * unit;
}

/* Whether pages FROM to TO are mapped, alike and one after another. */
static inline bool is_plain(const struct object *o, const struct alias *alias,
			    size_t from, size_t to)
{
	const struct cell *before = NULL;

	for (unsigned c = 0; c < alias->cells; c++) {
		const struct cell *cell = &alias->cell[c];

		if (cell->at < from || cell->at >= to)
			continue;
		if (cell->prot == ABSENT)
			return false;
		if (before &&
		    (before->prot != cell->prot ||
		     o->index[cell->stamp] - o->index[before->stamp] !=
			     cell->at - before->at))
			return false;
		before = cell;
	}
	return before != NULL;
}

static inline bool is_mapped(const struct alias *alias, size_t from, size_t to)
{
	for (unsigned c = 0; c < alias->cells; c++)
		if (alias->cell[c].at >= from && alias->cell[c].at < to &&
		    alias->cell[c].prot == ABSENT)
			return false;
	return true;
}

static inline void set_prot(struct alias *alias, size_t from, size_t to,
			    int prot)
{
	for (unsigned c = 0; c < alias->cells; c++)
		if (alias->cell[c].at >= from && alias->cell[c].at < to)
			alias->cell[c].prot = prot;
}

/* ---- more mappings ---- */

static inline void *map_somehow(char *at, size_t bytes, int prot, int fd,
				off_t offset)
{
	int flags = MAP_SHARED | (at ? MAP_FIXED : 0);

	if (below(2))
		return mmap(at, bytes, prot, flags, fd, offset);
	return (void *)syscall(SYS_mmap, at, bytes, prot, flags, fd, offset);
}

/* A place with nothing before it or after it, or NULL: anywhere. */
static inline char *place_somewhere(size_t bytes)
{
	char *p;

	if (below(2))
		return NULL;
	p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static inline void alias_by_fd(struct object *o)
{
	const struct descriptor *d = &o->fd[below(o->fds)];
	int prot = PROT_READ | (d->writable && below(4) ? PROT_WRITE : 0);
	size_t first, count = part_of(o->pages, o->unit, &first);
	char *p = map_somehow(place_somewhere(count * PAGE), count * PAGE, prot,
			      d->fd, (off_t)(first * PAGE));

	CHECK(p != MAP_FAILED);
	alias_note(o, p, first, count, prot);
}

static inline void *remap_somehow(void *from, size_t old, size_t new, int flags,
				  void *to)
{
	flags |= to ? MREMAP_FIXED : 0;
	if (below(2))
		return mremap(from, old, new, MREMAP_MAYMOVE | flags, to);
	return (void *)syscall(SYS_mremap, from, old, new,
			       (long)(MREMAP_MAYMOVE | flags), to);
}

/* mremap(old_size 0) of a part that is mapped. */
static inline void alias_by_mremap(struct object *o)
{
	struct alias *from = &o->alias[below(o->aliases)];
	size_t first, count = part_of(from->pages, o->unit, &first);
	int prot = ABSENT;
	size_t page = 0;
	char *p;

	if (!is_plain(o, from, first, first + count))
		return;
	for (unsigned c = 0; c < from->cells && prot == ABSENT; c++)
		if (from->cell[c].at >= first) {
			prot = from->cell[c].prot;
			page = o->index[from->cell[c].stamp] -
			       (from->cell[c].at - first);
		}
	p = remap_somehow(from->addr + first * PAGE, 0, count * PAGE, 0,
			  place_somewhere(count * PAGE));
	CHECK(p != MAP_FAILED);
	alias_note(o, p, page, count, prot);
}

/* MREMAP_DONTUNMAP of shared memory leaves both. */
static inline void alias_by_leaving(struct object *o)
{
	struct alias *from = &o->alias[below(o->aliases)];
	size_t bytes = from->pages * PAGE;
	char *p;

	if (!is_plain(o, from, 0, from->pages))
		return;
	p = remap_somehow(from->addr, bytes, bytes, MREMAP_DONTUNMAP, NULL);
	if (p == MAP_FAILED) /* Linux before 5.13 */
		return;
	o->alias[o->aliases] = *from;
	o->alias[o->aliases++].addr = p;
}

static inline void object_alias(struct object *o)
{
	if (o->aliases == ALIASES_MAX)
		return;
	if (o->fds && below(4))
		alias_by_fd(o);
	else if (!o->aliases)
		return;
	else if (below(4))
		alias_by_mremap(o);
	else
		alias_by_leaving(o);
	overlap_note(o);
}

#endif
