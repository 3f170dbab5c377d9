/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding what a fork has to copy; see plan.h.
 *
 * Which objects may be meant is known (track/share.h); where they are mapped
 * and which descriptors lead to them is asked of the kernel, so that mappings
 * made before the shim was ready, or behind its back, are found as well.
 */
#include "cow/lazy.h"
#include "cow/plan.h"

#include "base/fdlist.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "base/table.h"
#include "env/caps.h"
#include "env/guard.h"
#include "track/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define MAPS_TRIES 3
#define ANON_LABEL "[anon_shmem:"
#define DELETED " (deleted)"

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text);
	size_t m = strlen(end);

	return n >= m && !strcmp(text + n - m, end);
}

/* Objects ----------------------------------------------------------------- */

static struct cow_object *object_add(struct cow_plan *plan)
{
	struct cow_object *o =
		cow_list_add(&plan->objects, sizeof(struct cow_object));

	if (o)
		o->program_fd = o->old = o->new = -1;
	return o;
}

/* The index of the object with ID; COW_NONE: PLAN has none. */
static uint32_t index_of(const struct cow_plan *plan, uint32_t id)
{
	uint32_t next = id < plan->by_id.n ? *COW_NEXT(plan, id) : 0;

	return next ? next - 1 : COW_NONE;
}

/* The object with ID that PLAN has already, or a new one. */
static struct cow_object *object_of(struct cow_plan *plan, uint32_t id)
{
	uint32_t i = index_of(plan, id);
	struct cow_object *o;

	if (i != COW_NONE)
		return COW_OBJECT(plan, i);
	while (plan->by_id.n <= id)
		if (!cow_list_add(&plan->by_id, sizeof(uint32_t)))
			return NULL;
	o = object_add(plan);
	if (!o)
		return NULL;
	o->id = id;
	*COW_NEXT(plan, id) = (uint32_t)plan->objects.n;
	return o;
}

/* Whether others can still open it: the answer costs a call, not a list. */
static bool has_name(const struct registry_object *known, uintptr_t at)
{
	struct procmap_vma vma;

	return known->flags & OBJECT_NAMED && caps.procmap && at &&
	       !procmaps_query(at, &vma) && vma.name[0] == '/' &&
	       !ends_in(vma.name, DELETED);
}

/* Whether a fork has to look at it. */
static bool may_be_meant(const struct registry_object *known, uintptr_t at)
{
	if (!(known->flags & OBJECT_USED))
		return false;
	if (cow_always || known->flags & OBJECT_PRIVATE)
		return true;
	return known->flags & OBJECT_ALIASED && !has_name(known, at);
}

/* All that may be meant, as share.h knows them. */
static int known_objects(struct cow_plan *plan)
{
	const struct registry_table *t =
		&anonshim_registry->table[REGISTRY_OBJECTS];

	for (uint32_t id = 1; id < t->count; id++) {
		const struct registry_object *known = share_object_at(id);
		const struct share *s =
			known->flags & OBJECT_USED ? share_of(id) : NULL;
		uintptr_t at = s ? s->start : 0;
		struct cow_object *o;

		if (!may_be_meant(known, at))
			continue;
		o = object_of(plan, id);
		if (!o)
			return -ENOMEM;
		o->at = at;
		o->flags = known->flags;
		o->site = known->site;
		o->is_file = known->ino;
		o->dev = known->dev;
		o->ino = known->ino;
		o->born_ns = known->born_ns;
		o->size = known->size;
	}
	return 0;
}

static bool same_identity(const struct cow_identity *a,
			  const struct cow_identity *b)
{
	return a->ino == b->ino && a->major == b->major && a->minor == b->minor;
}

static bool begins_with(const char *text, const char *start)
{
	return !strncmp(text, start, strlen(start));
}

/* O is what M shows. */
static void object_meet(struct cow_object *o, const struct cow_map *m)
{
	o->identity = m->identity;
	o->mapped = true;
	if (m->prot & PROT_EXEC)
		o->exec_prot |= m->prot;
	if (m->name[0] && !o->name[0])
		memcpy(o->name, m->name, sizeof(o->name));
	if (m->name[0] && !ends_in(m->name, DELETED))
		o->named = true;
	/* its numbers are those of memfds */
	if (begins_with(m->name, "/SYSV"))
		o->named = true;
}

/* Mappings ---------------------------------------------------------------- */

struct gathering {
	struct cow_plan *plan;
	int result;
	struct cow_list hidden;
};

/* What io_setup(2) and io_uring_setup(2) map. */
static bool is_ring(const struct procmap_vma *vma)
{
	return begins_with(vma->name, "/[aio]") ||
	       begins_with(vma->name, "anon_inode:[io_uring]");
}

static void map_found(const struct procmap_vma *vma, void *arg)
{
	struct gathering *g = arg;
	struct cow_map *m;

	if (!vma->shared || !vma->inode || g->result ||
	    cow_hides(&g->hidden, vma->start))
		return;
	g->plan->rings |= is_ring(vma);
	m = cow_list_add(&g->plan->maps, sizeof(*m));
	if (!m) {
		g->result = -ENOMEM;
		return;
	}
	*m = (struct cow_map){
		.start = vma->start,
		.end = vma->end,
		.offset = vma->offset,
		.prot = (vma->readable ? PROT_READ : 0) |
			(vma->writable ? PROT_WRITE : 0) |
			(vma->executable ? PROT_EXEC : 0),
		.object = COW_NONE,
		.identity = {vma->major, vma->minor, vma->inode},
	};
	if (begins_with(vma->name, ANON_LABEL)) {
		size_t n = strcspn(vma->name + sizeof(ANON_LABEL) - 1, "]");

		if (n < sizeof(m->label))
			memcpy(m->label, vma->name + sizeof(ANON_LABEL) - 1, n);
	} else {
		memcpy(m->name, vma->name, sizeof(m->name));
	}
}

static struct cow_map *map_at(struct cow_plan *plan, uintptr_t addr)
{
	size_t low = 0;
	size_t high = plan->maps.n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (COW_MAP(plan, middle)->end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low < plan->maps.n && COW_MAP(plan, low)->start <= addr
		       ? COW_MAP(plan, low)
		       : NULL;
}

static bool is_shown(const struct cow_plan *plan, const struct cow_map *m,
		     uint32_t i)
{
	const struct cow_object *o = COW_OBJECT(plan, i);

	return o->mapped && same_identity(&o->identity, &m->identity);
}

/* The object with M's identity; COW_NONE: none. */
static uint32_t object_shown(const struct cow_plan *plan,
			     const struct cow_map *m)
{
	const struct share *s = share_at_or_above(m->start);
	uint32_t i = s ? index_of(plan, s->object) : COW_NONE;

	if (i != COW_NONE && is_shown(plan, m, i)) /* as it should be */
		return i;
	for (i = 0; i < plan->objects.n; i++)
		if (is_shown(plan, m, i))
			return i;
	return COW_NONE;
}

/* Which of the mappings show which object. */
static int maps_match(struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);
		const struct cow_map *m = o->at ? map_at(plan, o->at) : NULL;

		o->mapped = false;
		if (m)
			object_meet(o, m);
		else if (o->is_file) /* in case that one is unknown */
			o->identity = (struct cow_identity){
				major(o->dev), minor(o->dev), o->ino};
		o->mapped |= o->is_file;
	}
	for (size_t i = 0; i < plan->maps.n; i++) {
		struct cow_map *m = COW_MAP(plan, i);

		m->object = object_shown(plan, m);
		if (m->object == COW_NONE && cow_always) {
			struct cow_object *o = object_add(plan);

			if (!o)
				return -ENOMEM;
			o->dev = makedev(m->identity.major, m->identity.minor);
			o->ino = m->identity.ino;
			o->is_file = true;
			m->object = (uint32_t)plan->objects.n - 1;
		}
		if (m->object != COW_NONE)
			object_meet(COW_OBJECT(plan, m->object), m);
	}
	return 0;
}

/* Descriptors ------------------------------------------------------------- */

static bool is_ours(const struct cow_plan *plan, int fd)
{
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->old == fd &&
		    !COW_OBJECT(plan, i)->old_borrowed)
			return true;
	return false;
}

static void fd_found(int fd, void *arg)
{
	struct gathering *g = arg;
	struct cow_plan *plan = g->plan;
	struct sys_object file;
	struct cow_fd *f;

	if (g->result || is_ours(plan, fd) ||
	    sys_failed(sys_object(fd, &file)) || file.is_zero)
		return;
	for (uint32_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);

		if (!o->is_file || o->ino != file.ino || o->dev != file.dev ||
		    (o->born_ns && o->born_ns != file.born_ns))
			continue;
		f = cow_list_add(&plan->fds, sizeof(*f));
		if (!f) {
			g->result = -ENOMEM;
			return;
		}
		*f = (struct cow_fd){.number = fd, .copy = -1, .object = i};
		o->program_fd = fd;
		o->size = file.size;
		o->mode = file.mode;
		o->named = file.links != 0;
		return;
	}
}

/* Whether A and B are one open file; a guess where that may not be asked. */
static bool same_file(const struct cow_fd *a, const struct cow_fd *b)
{
	long pid = sys_getpid();
	long result = -EPERM;

	if (!sys_filtered())
		result = sys_call(SYS_kcmp, pid, pid, KCMP_FILE, a->number,
				  b->number, 0);
	return sys_failed(result)
		       ? a->flags == b->flags && a->offset == b->offset
		       : result == 0;
}

/* The rest of what is to be known of descriptor I. */
static int fd_ask(struct cow_plan *plan, uint32_t i)
{
	struct cow_fd *f = COW_FD(plan, i);
	long flags = sys_call(SYS_fcntl, f->number, F_GETFL, 0, 0, 0, 0);
	long own = sys_call(SYS_fcntl, f->number, F_GETFD, 0, 0, 0, 0);

	/* closed meanwhile: a child will see that it is another, or none */
	if (flags == -EBADF || own == -EBADF)
		flags = own = 0;
	if (sys_failed(flags) || sys_failed(own))
		return (int)(sys_failed(flags) ? flags : own);
	f->flags = (int)flags;
	f->cloexec = own & FD_CLOEXEC;
	f->offset = sys_call(SYS_lseek, f->number, 0, SEEK_CUR, 0, 0, 0);
	if (sys_failed(f->offset) && f->offset != -EBADF) /* O_PATH */
		return (int)f->offset;
	f->same = i;
	for (uint32_t j = 0; j < i; j++)
		if (COW_FD(plan, j)->object == f->object &&
		    COW_FD(plan, j)->same == j &&
		    same_file(COW_FD(plan, j), f)) {
			f->same = j;
			break;
		}
	return 0;
}

static void fd_name(int fd, char name[COW_NAME_BYTES])
{
	char path[FDLIST_PATH_BYTES];
	long n;

	fdlist_path(0, fd, path);
	n = sys_readlink(path, name, COW_NAME_BYTES - 1);
	name[n > 0 ? n : 0] = '\0';
}

/* What only a descriptor tells. */
static void object_ask(struct cow_object *o)
{
	long seals;

	if (o->program_fd < 0)
		return;
	seals = sys_call(SYS_fcntl, o->program_fd, F_GET_SEALS, 0, 0, 0, 0);
	if (!sys_failed(seals))
		o->seals = (unsigned)seals;
	/* /proc/PID/maps has \012 where a line would end */
	if (!o->name[0] || strchr(o->name, '\\'))
		fd_name(o->program_fd, o->name);
	o->huge_bytes = sys_huge_bytes(o->program_fd);
}

/* ------------------------------------------------------------------------- */

/* Take elements out of a list: those that KEEP says no to. */
#define KEEP(list, type, condition)                              \
	do {                                                     \
		size_t kept = 0;                                 \
		for (size_t i = 0; i < (list)->n; i++) {         \
			struct type e = *COW_AT(list, type, i);  \
			if (condition)                           \
				*COW_AT(list, type, kept++) = e; \
		}                                                \
		(list)->n = kept;                                \
	} while (0)

/*
 * What this thread writes all the time cannot be held, nor be copied before it
 * forks: its stack, and what libc keeps there.
 */
static void spare_own(struct cow_plan *plan)
{
	static bool said;
	uintptr_t own[] = {(uintptr_t)&own, (uintptr_t)&guard};

	for (size_t i = 0; i < 2; i++) {
		const struct cow_map *m = map_at(plan, own[i]);

		if (!m || m->object == COW_NONE ||
		    !COW_OBJECT(plan, m->object)->wanted)
			continue;
		COW_OBJECT(plan, m->object)->wanted = false;
		log_once(&said, "fork: the stack that forks lies in memory that"
				" is mapped twice; the child shares it");
	}
}

static int descriptors(struct cow_plan *plan)
{
	struct gathering g = {.plan = plan};
	int result = fdlist_read(fd_found, &g);

	if (g.result || result)
		return g.result ? g.result : result;
	for (size_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);

		object_ask(o);
		o->wanted = cow_policy(o);
		o->view = o->wanted && o->id && cow_is_view(o->id);
	}
	spare_own(plan);
	KEEP(&plan->fds, cow_fd, COW_OBJECT(plan, e.object)->wanted);
	for (uint32_t i = 0; !result && i < plan->fds.n; i++)
		result = fd_ask(plan, i);
	return result;
}

/* Whether there is memory at OFFSET of what M shows, or may be. */
static bool reaches(const struct cow_map *m, uint64_t offset)
{
	char byte;

	if (m->offset > offset || offset >= m->offset + (m->end - m->start) ||
	    !(m->prot & PROT_READ))
		return false;
	return sys_filtered() ||
	       sys_peek((char *)m->start + (offset - m->offset), &byte, 1) !=
		       -EFAULT;
}

/*
 * No descriptor tells how large object I is.  It may have been written to after
 * it was cut last: all that is mapped counts then.
 */
static void object_measure(const struct cow_plan *plan, uint32_t i)
{
	struct cow_object *o = COW_OBJECT(plan, i);
	uint64_t edge = page_up(o->size);
	uint64_t most = 0;
	bool larger = !o->size;

	if (o->program_fd >= 0 || (!o->is_file && o->size))
		return;
	for (size_t j = 0; j < plan->maps.n; j++) {
		const struct cow_map *m = COW_MAP(plan, j);
		uint64_t end = m->offset + (m->end - m->start);

		if (m->object != i)
			continue;
		larger |= reaches(m, edge);
		most = most < end ? end : most;
	}
	if (larger && most > o->size)
		o->size = most;
}

/* What a group that is not there any more leaves. */
static void forget_gone(struct cow_plan *plan)
{
	for (uint32_t i = 0; i < plan->objects.n; i++) {
		struct cow_object *o = COW_OBJECT(plan, i);
		bool there = o->program_fd >= 0;

		for (size_t j = 0; !there && j < plan->maps.n; j++)
			there = COW_MAP(plan, j)->object == i;
		if (there)
			continue;
		o->wanted = false;
		if (o->id)
			share_mark(o->id, 0,
				   OBJECT_ALIASED | OBJECT_PRIVATE |
					   OBJECT_SHARE | OBJECT_REGION);
	}
}

/* Whether something is known to be mapped of what may be meant that was not
 * found. */
static bool maps_lack(struct cow_plan *plan)
{
	const struct share *s;

	for (uintptr_t at = 0; (s = share_at_or_above(at)); at = s->end) {
		const struct cow_map *m;

		if (index_of(plan, s->object) == COW_NONE)
			continue;
		for (uintptr_t p = s->start; p < s->end; p = m->end) {
			m = map_at(plan, p);
			if (!m)
				return true;
		}
	}
	return false;
}

/* All that is mapped, but what is hidden.  While others change mappings - the
 * engine's are not the map's - a kernel may leave some out. */
static int maps(struct cow_plan *plan)
{
	struct gathering g = {.plan = plan};
	int result = cow_hidden(&g.hidden);

	for (int tries = 0; !result && tries < MAPS_TRIES; tries++) {
		plan->maps.n = 0;
		result = procmaps_read(map_found, &g);
		result = result < 0 ? result : g.result;
		if (!maps_lack(plan))
			break;
	}
	cow_list_drop(&g.hidden);
	return result;
}

int cow_gather(struct cow_plan *plan)
{
	int result = known_objects(plan);

	if (!result && !plan->objects.n && !cow_always)
		return 0;
	if (!result)
		result = maps(plan);
	if (!result)
		result = maps_match(plan);
	if (!result)
		result = descriptors(plan);
	if (result)
		return result;
	forget_gone(plan);
	KEEP(&plan->maps, cow_map,
	     e.object != COW_NONE && COW_OBJECT(plan, e.object)->wanted);
	for (uint32_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->wanted)
			object_measure(plan, i);
	for (size_t i = 0; i < plan->objects.n; i++)
		if (COW_OBJECT(plan, i)->wanted &&
		    COW_OBJECT(plan, i)->flags & OBJECT_ADVISED) {
			cow_advice_read(plan);
			break;
		}
	return 0;
}

int cow_gather_again(struct cow_plan *plan)
{
	for (size_t i = 0; i < plan->fds.n; i++)
		if (COW_FD(plan, i)->copy >= 0)
			sys_close(COW_FD(plan, i)->copy);
	plan->fds.n = 0;
	plan->maps.n = 0;
	for (size_t i = 0; i < plan->objects.n; i++) {
		COW_OBJECT(plan, i)->program_fd = -1;
		if (COW_OBJECT(plan, i)->old_borrowed)
			COW_OBJECT(plan, i)->old = -1;
		COW_OBJECT(plan, i)->old_borrowed = false;
		COW_OBJECT(plan, i)->wanted = false;
	}
	return cow_gather(plan);
}
