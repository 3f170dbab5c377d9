/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_model SEED STEPS KIND [alias]: whatever is done to memory and to its
 * snapshots, at random, each snapshot reads as the memory did when it was
 * taken, as a model that copies everything has it.
 *
 * Written are the memory and its views, of which there are snapshots too: by
 * stores through any of their mappings, by the kernel for the program, and
 * through descriptors; mappings come, move and go; snapshots are dropped in any
 * order; children go on from there by themselves.
 *
 * KIND	region, memfd or anonymous
 * alias	a snapshot is one more mapping and nothing else, to see that it
 *	is found out
 */
#include "snapshot_help.h"

#include "snapshot_model.h"

#include <sys/uio.h>

static void step_store(struct space *s)
{
	size_t page = draw(s->pages);
	struct mapping *m = showing(s, page);

	if (m)
		page_put(at(m, page), 0, wrote(s, page));
}

static void step_kernel(struct space *s)
{
	size_t page = draw(s->pages);
	struct mapping *m = showing(s, page);
	static uint64_t from[WORDS];
	struct iovec local = {from, PAGE};
	off_t mine = (off_t)(depth * PAGE);
	struct iovec remote;

	if (!m)
		return;
	page_put(from, 0, wrote(s, page));
	if (draw(2)) {
		/* parent and child have one scratch file */
		CHECK(pwrite(scratch, from, PAGE, mine) == (ssize_t)PAGE);
		CHECK(pread(scratch, (void *)at(m, page), PAGE, mine) ==
		      (ssize_t)PAGE);
		return;
	}
	remote = (struct iovec){(void *)at(m, page), PAGE};
	CHECK(process_vm_writev(getpid(), &local, 1, &remote, 1, 0) ==
	      (ssize_t)PAGE);
}

static void step_descriptor(struct space *s)
{
	size_t page = draw(s->pages);
	off_t offset = (off_t)(page * PAGE);
	static uint64_t from[WORDS];
	struct iovec vec = {from, PAGE};
	ssize_t done = 0;

	if (s->fd < 0)
		return;
	page_put(from, 0, wrote(s, page));
	switch (draw(5)) {
	case 0:
		done = pwrite(s->fd, from, PAGE, offset);
		break;
	case 1:
		done = pwritev(s->fd, &vec, 1, offset);
		break;
	case 2:
		done = syscall(SYS_pwrite64, s->fd, from, PAGE, offset);
		break;
	case 3:
		CHECK(lseek(s->fd, offset, SEEK_SET) == offset);
		done = write(s->fd, from, PAGE);
		break;
	case 4:
		CHECK(lseek(s->fd, offset, SEEK_SET) == offset);
		done = writev(s->fd, &vec, 1);
		break;
	}
	CHECK(done == (ssize_t)PAGE);
}

static void emptied(struct space *s, size_t from, size_t to)
{
	if (s->last)
		s->last->vague = true;
	for (; from < to; from++) {
		wrote(s, from);
		s->now[from] = 0;
	}
}

/* Pages that are taken away are zeros, and later something else. */
static void step_empty(struct space *s)
{
	size_t page = draw(s->pages);
	size_t n = 1 + draw(3);
	struct mapping *m = showing(s, page);

	if (page + n > s->pages)
		n = 1;
	switch (draw(3)) {
	case 0:
		if (!m || page + n > m->first + m->pages)
			return;
		CHECK(!madvise((void *)at(m, page), n * PAGE, MADV_REMOVE));
		emptied(s, page, page + n);
		break;
	case 1:
		if (s->fd < 0)
			return;
		CHECK(!fallocate(s->fd,
				 FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 (off_t)(page * PAGE), (off_t)(n * PAGE)));
		emptied(s, page, page + n);
		break;
	case 2:
		if (s->fd < 0)
			return;
		CHECK(!ftruncate(s->fd, (off_t)(page * PAGE)));
		CHECK(!ftruncate(s->fd, (off_t)(s->pages * PAGE)));
		emptied(s, page, s->pages);
		break;
	}
}

/* Mappings ---------------------------------------------------------------- */

static void step_map(struct space *s)
{
	size_t first = draw(2) ? 0 : draw(s->pages);
	size_t pages = s->pages - first;
	void *p = NULL;

	if (s->mappings == MAPPINGS)
		return;
	if (s->is_region) {
		CHECK(!anonshim_region_alias((void *)s->mapping[0].at,
					     first * PAGE, pages * PAGE, RW,
					     &p));
	} else if (s->fd >= 0) {
		p = map_shared(s->fd, pages, first, RW);
	} else {
		struct mapping *m = &s->mapping[draw(s->mappings)];

		first = m->first;
		pages = m->pages;
		p = mremap((void *)m->at, 0, pages * PAGE, MREMAP_MAYMOVE);
		CHECK(p != MAP_FAILED);
	}
	s->mapping[s->mappings++] = (struct mapping){p, first, pages};
}

/* The first mapping of a space is of all of it, and stays. */
static void step_unmap(struct space *s)
{
	struct mapping *m;

	if (s->mappings < 2)
		return;
	m = &s->mapping[1 + draw(s->mappings - 1)];
	if (m->pages > 1 && draw(2)) {
		size_t cut = 1 + draw(m->pages - 1);

		CHECK(!munmap((void *)at(m, m->first), cut * PAGE));
		m->at += cut * WORDS;
		m->first += cut;
		m->pages -= cut;
		return;
	}
	CHECK(!munmap((void *)m->at, m->pages * PAGE));
	*m = s->mapping[--s->mappings];
}

static void step_move(struct space *s)
{
	struct mapping *m = &s->mapping[draw(s->mappings)];
	size_t bytes = m->pages * PAGE;
	void *to = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	CHECK(to != MAP_FAILED);
	CHECK(mremap((void *)m->at, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
		     to) == to);
	m->at = to;
}

/* A mapping is replaced by one of other pages, or of nothing. */
static void step_replace(struct space *s)
{
	struct mapping *m;
	size_t first;
	void *p;

	if (s->mappings < 2)
		return;
	m = &s->mapping[1 + draw(s->mappings - 1)];
	first = draw(s->pages - m->pages + 1);
	if (s->fd >= 0) {
		p = mmap((void *)m->at, m->pages * PAGE, RW,
			 MAP_SHARED | MAP_FIXED, s->fd, (off_t)(first * PAGE));
		CHECK(p == m->at);
		m->first = first;
		return;
	}
	p = mmap((void *)m->at, m->pages * PAGE, RW,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(p == m->at);
	memset(p, 0x55, m->pages * PAGE);
	CHECK(!munmap(p, m->pages * PAGE));
	*m = s->mapping[--s->mappings];
}

static void step_turn(struct space *s)
{
	struct mapping *m = &s->mapping[draw(s->mappings)];
	size_t to = s->pages - m->pages;

	if (s->mappings < 2 || m == &s->mapping[0] || m->pages < 2)
		return;
	to = draw(to + 1);
	CHECK(!remap_file_pages((void *)m->at, m->pages * PAGE, 0, to, 0));
	m->first = to;
}

static void step_protect(struct space *s)
{
	struct mapping *m = &s->mapping[draw(s->mappings)];

	CHECK(!mprotect((void *)m->at, m->pages * PAGE,
			draw(2) ? PROT_READ : PROT_NONE));
	if (s->is_region && draw(2))
		CHECK(!anonshim_region_protect((void *)m->at, 0, 0, RW));
	else
		CHECK(!mprotect((void *)m->at, m->pages * PAGE, RW));
}

/* Snapshots --------------------------------------------------------------- */

static void step_take(struct space *s)
{
	struct snap *snap = snap_new(s);

	if (!snap)
		return;
	if (aliases_only) {
		struct mapping *m = &s->mapping[0];

		snap->alias = mremap((void *)m->at, 0, m->pages * PAGE,
				     MREMAP_MAYMOVE);
		CHECK(snap->alias != MAP_FAILED);
		return;
	}
	snap->id = take(at(&s->mapping[0], draw(s->pages)));
}

static void step_drop(void)
{
	struct snap *snap = snap_any();

	if (!snap)
		return;
	if (!aliases_only)
		CHECK(!anonshim_snapshot_release(snap->id));
	else
		CHECK(!munmap((void *)snap->alias, snap->pages * PAGE));
	snap_forget(snap);
}

static void step_view(void)
{
	struct snap *snap = snap_any();
	struct space *s;

	if (!snap || aliases_only)
		return;
	s = space_new(snap->pages);
	if (!s)
		return;
	s->is_region = true;
	memcpy(s->now, snap->was, sizeof(s->now));
	s->mapping[0] = (struct mapping){view(snap->id), 0, snap->pages};
	s->mappings = 1;
}

/* A view goes; what was taken of it stays. */
static void step_view_end(void)
{
	struct space *s = space_any();

	if (s == &spaces[0])
		return;
	view_end(s->mapping[0].at);
	space_forget(s);
}

static void step_see_snap(void)
{
	struct snap *snap = snap_any();
	volatile uint64_t *v;

	if (!snap)
		return;
	v = aliases_only ? snap->alias : view(snap->id);
	for (size_t i = 0; i < snap->pages; i++)
		if (draw(4))
			page_see(v, i, snap->was[i], "a snapshot");
	if (!aliases_only)
		view_end(v);
}

static void step_changes(void)
{
	struct snap *from = snap_any();
	struct snap *until = from;
	struct anonshim_range range[PAGES_MOST];
	bool wants[PAGES_MOST] = {0};
	bool has[PAGES_MOST] = {0};
	bool vague = false;
	size_t n = PAGES_MOST;

	if (!from || aliases_only)
		return;
	do {
		for (size_t i = 0; i < from->pages; i++)
			wants[i] |= until->written[i];
		vague |= until->vague;
		until = until->next;
	} while (until && draw(3));
	if (anonshim_snapshot_changes(from->id, until ? until->id : 0, 0, range,
				      &n))
		wrong("no changes, errno %d", errno);
	CHECK(n <= PAGES_MOST);
	for (size_t i = 0; i < n; i++)
		for (uint64_t o = 0; o < range[i].len; o += PAGE)
			has[(range[i].offset + o) / PAGE] = true;
	for (size_t i = 0; i < from->pages; i++)
		if (wants[i] > has[i] || (!vague && has[i] > wants[i]))
			wrong("page %zu was %swritten", i,
			      wants[i] ? "" : "not ");
}

static void see_all(void)
{
	for (unsigned i = 0; i < SPACES; i++)
		if (spaces[i].mappings)
			space_see(&spaces[i]);
}

/* ------------------------------------------------------------------------- */

static void steps(uint64_t n, unsigned forks);

/* A child goes on by itself; nothing that it does is seen here. */
static void step_fork(uint64_t n, unsigned forks)
{
	pid_t pid;

	if (!forks || aliases_only)
		return;
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		depth++;
		see_all();
		steps(n, forks - 1);
		_exit(0);
	}
	if (draw(2)) /* both go on */
		steps(10, 0);
	talk_reap(pid);
}

static void step(unsigned what, unsigned forks)
{
	struct space *s = space_any();

	if (what < 35)
		step_store(s);
	else if (what < 40)
		step_kernel(s);
	else if (what < 45)
		step_descriptor(s);
	else if (what < 48)
		step_empty(s);
	else if (what < 51)
		step_map(s);
	else if (what < 53)
		step_unmap(s);
	else if (what < 55)
		step_move(s);
	else if (what < 57)
		step_replace(s);
	else if (what < 58)
		step_turn(s);
	else if (what < 60)
		step_protect(s);
	else if (what < 70)
		step_take(s);
	else if (what < 78)
		step_drop();
	else if (what < 83)
		step_view();
	else if (what < 86)
		step_view_end();
	else if (what < 91)
		step_see_snap();
	else if (what < 94)
		step_changes();
	else if (what < 99)
		space_see(s);
	else if (!draw(4))
		step_fork(1 + draw(60), forks);
}

static void steps(uint64_t n, unsigned forks)
{
	while (n--) {
		unsigned what = draw(100);

		say_where(what);
		step(what, forks);
	}
	see_all();
}

static void begin(enum kind kind, size_t pages)
{
	struct space *s = space_new(pages);
	struct twin twin;

	memory_make(&twin, pages, kind);
	s->fd = twin.fd;
	s->is_region = kind == KIND_REGION;
	s->mapping[0] = (struct mapping){twin.one, 0, pages};
	s->mapping[1] = (struct mapping){twin.two, 0, pages};
	s->mappings = 2;
}

/* All goes, in any order, and nothing is held. */
static void end(void)
{
	struct snap *snap;

	while ((snap = snap_any()))
		step_drop();
	for (unsigned i = 1; i < SPACES; i++)
		if (spaces[i].mappings)
			view_end(spaces[i].mapping[0].at);
	if (!aliases_only)
		nothing_is_held();
}

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc >= 4);
	model_begin(strtoull(argv[1], NULL, 10));
	aliases_only = argc > 4;
	begin(kind_named(argv[3]), 1 + draw(PAGES_MOST));
	steps(strtoull(argv[2], NULL, 10), 2);
	end();
	return 0;
}
