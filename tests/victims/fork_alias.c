/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_alias SEED TOPOLOGIES [WHICH]: so many times a few shared objects of
 * random kinds, mapped at random, disturbed at random; then forks, each with
 * both sides writing through one alias and looking through all others, and
 * through every descriptor.  What was mapped twice at once has to be the
 * child's own, all else shared; with "all" everything is its own.
 *
 * fork_alias row SEED FORKS: one topology and as many forks in a row.
 * fork_alias lazy ...: as the first, where copies are lazy.
 *
 * Exit status 0: all was right; else a line says what was not, and where.
 */
#include "fork_disturb.h"

#define MAPS_TRIES 5
#define OBJECTS_MAX 3
#define VMAS_MAX 1024
#define DEPTH 2 /* a child of a child */

static struct object object[OBJECTS_MAX];
static unsigned objects;
static const char *which = ""; /* is the child's own: if aliased, all, none */
static bool nested;	       /* in a child, which writes its own only */

/* Where in the test this is. */
static unsigned long seed, topology;
static const char *phase;

static bool is_private(const struct object *o)
{
	return strcmp(which, "none") && (o->aliased || *which);
}

static __attribute__((noreturn)) void
bad(const struct object *o, const char *what, unsigned number, size_t page)
{
	wrong("seed %lu topology %lu, %s: object %d (%s, %s, %zu pages): "
	      "%s %u, page %zu (errno %d)",
	      seed, topology, phase, (int)(o - object), kind_name[o->kind],
	      o->aliased ? "aliased" : "not aliased", o->pages, what, number,
	      page, errno);
}

/* ---- mappings as the kernel lists them ---- */

struct vma {
	uintptr_t start, end;
	unsigned long pgoff, inode;
	char prot[5];
};

static struct vma vmas[2][VMAS_MAX]; /* at fork, and now */
static unsigned vmas_of[2];
static char maps_text[1 << 20];

static bool is_of_an_alias(uintptr_t at)
{
	for (unsigned i = 0; i < objects; i++)
		for (unsigned a = 0; a < object[i].aliases; a++) {
			const struct alias *alias = &object[i].alias[a];
			uintptr_t start = (uintptr_t)alias->addr;

			if (at >= start && at < start + alias->pages * PAGE)
				return true;
		}
	return false;
}

/* How the kernel cuts what is alike into VMAs is its own matter. */
static void vma_add(unsigned list, const struct vma *vma)
{
	struct vma *last = &vmas[list][vmas_of[list] - !!vmas_of[list]];
	unsigned long pages = (last->end - last->start) / PAGE;

	if (vmas_of[list] && last->end == vma->start &&
	    last->inode == vma->inode && !strcmp(last->prot, vma->prot) &&
	    last->pgoff + pages * PAGE == vma->pgoff) {
		last->end = vma->end;
		return;
	}
	CHECK(vmas_of[list] < VMAS_MAX);
	vmas[list][vmas_of[list]++] = *vma;
}

static void vmas_read(unsigned list)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	struct vma vma;
	ssize_t n;

	CHECK(fd >= 0);
	while ((n = read(fd, maps_text + used, sizeof(maps_text) - 1 - used)) >
	       0)
		used += (size_t)n;
	close(fd);
	maps_text[used] = '\0';
	vmas_of[list] = 0;
	for (char *line = maps_text; *line; line = strchr(line, '\n') + 1) {
		CHECK(sscanf(line, "%lx-%lx %4s %lx %*s %lu", &vma.start,
			     &vma.end, vma.prot, &vma.pgoff, &vma.inode) == 5);
		if (vma.prot[3] == 's' && is_of_an_alias(vma.start))
			vma_add(list, &vma);
	}
}

/* The first that differs; none: how many there are. */
static unsigned vmas_differ(void)
{
	unsigned n;

	for (n = 0; n < vmas_of[0] && n < vmas_of[1]; n++)
		if (vmas[0][n].start != vmas[1][n].start ||
		    vmas[0][n].end != vmas[1][n].end ||
		    vmas[0][n].pgoff != vmas[1][n].pgoff ||
		    strcmp(vmas[0][n].prot, vmas[1][n].prot))
			break;
	return n;
}

/*
 * The same addresses, offsets and protections as at the fork.  While another
 * thread ends its watching of them the kernel may show one twice, or a part.
 */
static void vmas_compare(void)
{
	unsigned n = 0;

	for (int tries = 0; tries < MAPS_TRIES; tries++) {
		vmas_read(1);
		n = vmas_differ();
		if (n == vmas_of[0] && n == vmas_of[1])
			return;
	}
	wrong("seed %lu topology %lu, %s: mapping %u was %lx-%lx %s %lx and is "
	      "%lx-%lx %s %lx",
	      seed, topology, phase, n, vmas[0][n].start, vmas[0][n].end,
	      vmas[0][n].prot, vmas[0][n].pgoff, vmas[1][n].start,
	      vmas[1][n].end, vmas[1][n].prot, vmas[1][n].pgoff);
}

/* ---- descriptors ---- */

/* All but how it was opened. */
#define STATUS (O_ACCMODE | O_APPEND | O_NONBLOCK)

static struct stat at_fork[OBJECTS_MAX];
static int flags_at_fork[OBJECTS_MAX][FDS_MAX][2], seals_at_fork[OBJECTS_MAX];

/* Its parent's writes after the fork, in pages of an object. */
#define FIRST_WRITES 12

/*
 * Blocks of zeros that a child may have in place of holes: where its parent was
 * the first to write while a lazy copy was made.
 */
static blkcnt_t zeros;

static void fds_note(void)
{
	char byte;

	for (unsigned i = 0; i < objects; i++)
		for (unsigned f = 0; f < object[i].fds; f++) {
			int fd = object[i].fd[f].fd;

			/* what has not come yet has no blocks */
			if (zeros && pread(fd, &byte, 1, 0) < 0)
				errno = 0;
			CHECK(!fstat(fd, &at_fork[i]));
			flags_at_fork[i][f][0] = fcntl(fd, F_GETFD);
			flags_at_fork[i][f][1] = fcntl(fd, F_GETFL) & STATUS;
			seals_at_fork[i] = fcntl(fd, F_GET_SEALS);
		}
}

/* Before anything is read through a mapping: that fills holes. */
static void fds_compare(bool child)
{
	struct stat st;

	for (unsigned i = 0; i < objects; i++)
		for (unsigned f = 0; f < object[i].fds; f++) {
			struct object *o = &object[i];
			int fd = o->fd[f].fd;

			if (fstat(fd, &st))
				bad(o, "no descriptor", f, 0);
			if (st.st_size != at_fork[i].st_size)
				bad(o, "size by descriptor", f, 0);
			if ((st.st_mode ^ at_fork[i].st_mode) & 07777)
				bad(o, "mode by descriptor", f, 0);
			if (o->kind < DISK_TMPFILE && child &&
			    st.st_blocks > at_fork[i].st_blocks + zeros)
				bad(o, "holes filled by descriptor", f, 0);
			if ((st.st_ino == at_fork[i].st_ino) ==
			    (child && is_private(o)))
				bad(o, "wrong object by descriptor", f, 0);
			if (fcntl(fd, F_GETFD) != flags_at_fork[i][f][0] ||
			    (fcntl(fd, F_GETFL) & STATUS) !=
				    flags_at_fork[i][f][1])
				bad(o, "flags of descriptor", f, 0);
			if (o->kind < DISK_TMPFILE &&
			    fcntl(fd, F_GET_SEALS) != seals_at_fork[i])
				bad(o, "seals by descriptor", f, 0);
		}
}

/* Those of one open file have one offset, and no others. */
static void offsets_check(struct object *o)
{
	for (unsigned f = 0; f < o->fds; f++)
		if (lseek(o->fd[f].fd, 0, SEEK_CUR) != o->offset[o->fd[f].file])
			bad(o, "offset of descriptor", f, 0);
}

static void offsets_move(struct object *o)
{
	const struct descriptor *d = &o->fd[o->fds ? below(o->fds) : 0];

	if (!o->fds || !is_private(o))
		return;
	o->offset[d->file] = (off_t)below(o->pages * PAGE);
	CHECK(lseek(d->fd, o->offset[d->file], SEEK_SET) >= 0);
	offsets_check(o);
}

/* ---- contents ---- */

static void alias_check(const struct object *o, unsigned number)
{
	const struct alias *alias = &o->alias[number];

	for (unsigned c = 0; c < alias->cells; c++) {
		const struct cell *cell = &alias->cell[c];

		if (cell->prot == ABSENT || !(cell->prot & PROT_READ))
			continue;
		if (page_differs(alias->addr + cell->at * PAGE,
				 o->stamp[cell->stamp]) != WORDS)
			bad(o, "alias", number, o->index[cell->stamp]);
	}
}

static void descriptor_check(const struct object *o, unsigned number)
{
	uint64_t page[WORDS];

	for (unsigned s = 0; s < o->stamps; s++)
		if (pread(o->fd[number].fd, page, PAGE,
			  (off_t)(o->index[s] * PAGE)) != PAGE ||
		    page_differs(page, o->stamp[s]) != WORDS)
			bad(o, "descriptor", number, o->index[s]);
}

static void check_all(const char *when)
{
	phase = when;
	for (unsigned i = 0; i < objects; i++) {
		for (unsigned f = 0; f < object[i].fds; f++)
			descriptor_check(&object[i], f);
		for (unsigned a = 0; a < object[i].aliases; a++)
			alias_check(&object[i], a);
		if (is_private(&object[i]))
			offsets_check(&object[i]);
	}
}

/* What is this process's own. */
static void write_own(unsigned times)
{
	for (unsigned i = 0; i < objects; i++)
		for (unsigned n = 0; is_private(&object[i]) && n < times; n++)
			object_write(&object[i], true);
}

/* What is shared, from VALUE on; the other side only notes it. */
static void write_shared(uint64_t value, bool really)
{
	for (unsigned i = 0; i < objects; i++) {
		struct object *o = &object[i];

		for (unsigned c = 0; !is_private(o) && c < o->alias[0].cells;
		     c++) {
			const struct cell *cell = &o->alias[0].cell[c];

			if (cell->prot == ABSENT || !(cell->prot & PROT_WRITE))
				continue;
			o->stamp[cell->stamp] = value + c;
			if (really)
				page_fill(o->alias[0].addr + cell->at * PAGE,
					  value + c);
		}
	}
}

/* ---- forks ---- */

enum { BY_PARENT = 1000, BY_CHILD = 2000 };

static void round_of(unsigned depth);

/* Mappings made after the fork are of the child's own object. */
static void alias_more(void)
{
	for (unsigned i = 0; i < objects; i++)
		if (is_private(&object[i]) && one_in(2))
			object_alias(&object[i]);
}

static void child_side(struct talk *talk, unsigned depth)
{
	phase = "as forked";
	vmas_compare();
	fds_compare(true);
	check_all("as forked");
	talk_say(talk);
	talk_hear(talk);
	if (!nested)
		write_shared(BY_PARENT, false);
	check_all("after the parent wrote");
	write_own(12);
	if (!nested)
		write_shared(BY_CHILD, true);
	check_all("after the child wrote");
	for (unsigned i = 0; i < objects; i++)
		offsets_move(&object[i]);
	talk_say(talk);
	talk_hear(talk);
	alias_more();
	write_own(4);
	check_all("after both wrote");
	nested = true;
	if (depth > 1)
		round_of(depth - 1);
	talk_end(talk);
}

static void parent_side(struct talk *talk)
{
	write_own(FIRST_WRITES);
	talk_hear(talk);
	if (!nested)
		write_shared(BY_PARENT, true);
	talk_say(talk);
	phase = "after fork";
	vmas_compare();
	talk_hear(talk);
	if (!nested)
		write_shared(BY_CHILD, false);
	check_all("after the child wrote");
	fds_compare(false);
	write_own(4);
	talk_say(talk);
	check_all("after both wrote");
	talk_end(talk);
	check_all("after the child ended");
}

static void round_of(unsigned depth)
{
	struct talk talk;
	uint64_t next;

	write_own(6);
	check_all("before fork");
	vmas_read(0);
	fds_note();
	next = draw();
	talk_open(&talk);
	talk_split(&talk, fork());
	draw_from(next + !talk.child);
	if (talk.child)
		parent_side(&talk);
	else
		child_side(&talk, depth);
}

static void disturb_all(unsigned times)
{
	while (times--) {
		struct object *o = &object[below(objects)];

		if (one_in(3))
			object_alias(o);
		else if (one_in(3))
			disturb_fds(o);
		else if (one_in(2))
			disturb_mapping(o);
		else
			object_write(o, true);
	}
}

static void topology_make(void)
{
	objects = 1 + (unsigned)below(OBJECTS_MAX);
	for (unsigned i = 0; i < objects; i++) {
		object_make(&object[i]);
		/* one in four stays with one mapping, all but for what comes */
		for (size_t n = one_in(4) ? 0 : below(ALIASES_MAX); n; n--)
			object_alias(&object[i]);
		for (unsigned n = 0; n < object[i].stamps / 2; n++)
			object_write(&object[i], false);
	}
	disturb_all((unsigned)below(24));
}

static void topology_end(void)
{
	for (unsigned i = 0; i < objects; i++)
		object_end(&object[i]);
}

static void topologies(unsigned long times)
{
	for (topology = 0; topology < times; topology++) {
		draw_from(seed * 1000003 + topology);
		topology_make();
		for (size_t n = 1 + below(2); n; n--) {
			round_of(1 + (unsigned)below(DEPTH));
			disturb_all(6);
		}
		topology_end();
	}
}

static void row(unsigned long forks)
{
	draw_from(seed);
	topology_make();
	for (topology = 0; topology < forks; topology++)
		round_of(1);
	topology_end();
}

int main(int argc, char **argv)
{
	bool lazy = argc > 1 && !strcmp(argv[1], "lazy");
	bool in_a_row = argc > 1 && !strcmp(argv[1], "row");
	size_t fds = count_fds();

	victim_begin();
	argv += in_a_row + lazy;
	argc -= in_a_row + lazy;
	zeros = lazy ? FIRST_WRITES * (blkcnt_t)(PAGE / 512) : 0;
	CHECK(argc >= 3);
	seed = strtoul(argv[1], NULL, 10);
	which = argc > 3 ? argv[3] : "";
	if (in_a_row)
		row(strtoul(argv[2], NULL, 10));
	else
		topologies(strtoul(argv[2], NULL, 10));
	if (count_fds() != fds)
		wrong("%zu descriptors, not %zu as before", count_fds(), fds);
	return 0;
}
