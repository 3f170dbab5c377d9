/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Alias groups; see alias_group.h.
 *
 * The registry knows an object by an address in one of its mappings, or by
 * device and inode; maps, by the numbers that it shows.  The two sorts of
 * numbers may differ (btrfs, overlayfs), so the address comes first.  It may be
 * out of date: what is mapped there now has to fit.
 */
#include "tool/alias_group.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "tool/alias_file.h"
#include "tool/mem.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

#define MEMFD "/memfd:"
#define DELETED " (deleted)"
#define ZERO "/dev/zero" DELETED
#define HUGE_ZERO "/anon_hugepage" DELETED
#define SYSV "/SYSV"

#define NOBODY 0
#define SEVERAL SIZE_MAX

struct making {
	struct alias_groups *groups;
	struct subject *subject;
	size_t nvmas;	  /* groups->vma */
	size_t *claimant; /* of each first one: 1 + the registry's object */
	struct alias_file *file; /* a group each */
	bool has_files;
	bool may_be_off; /* the shim may do nothing any more */
};

/* Mappings ---------------------------------------------------------------- */

static struct alias_identity identity_of(const struct vma *vma)
{
	return (struct alias_identity){
		(uint64_t)vma->dev_major << 32 | vma->dev_minor, vma->inode};
}

static int compare(struct alias_identity a, struct alias_identity b)
{
	if (a.dev != b.dev)
		return a.dev < b.dev ? -1 : 1;
	return a.ino < b.ino ? -1 : a.ino > b.ino;
}

static int by_object(const void *a, const void *b)
{
	const struct vma *x = *(const struct vma *const *)a;
	const struct vma *y = *(const struct vma *const *)b;
	int order = compare(identity_of(x), identity_of(y));

	return order != 0 ? order : x->start < y->start ? -1 : 1;
}

static bool is_shared(const struct vma *vma)
{
	return vma->perms[3] == 's' && vma->inode != 0;
}

static void collect_mappings(struct making *m)
{
	const struct vma_list *vmas = &m->subject->vmas;

	m->groups->vma = mem_zalloc(vmas->count + 1, sizeof(*m->groups->vma));
	m->claimant = mem_zalloc(vmas->count + 1, sizeof(*m->claimant));
	for (size_t i = 0; i < vmas->count; i++)
		if (is_shared(&vmas->v[i]))
			m->groups->vma[m->nvmas++] = &vmas->v[i];
	if (m->nvmas > 0)
		qsort(m->groups->vma, m->nvmas, sizeof(*m->groups->vma),
		      by_object);
}

/* The first mapping that shows no object before this one. */
static size_t first_of(const struct making *m, struct alias_identity identity)
{
	size_t low = 0, high = m->nvmas;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(identity_of(m->groups->vma[mid]), identity) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static size_t past_last_of(const struct making *m, size_t first,
			   struct alias_identity identity)
{
	while (first < m->nvmas &&
	       compare(identity_of(m->groups->vma[first]), identity) == 0)
		first++;
	return first;
}

/* Objects ----------------------------------------------------------------- */

static bool is_anonymous(const struct vma *vma)
{
	return vma->class == VMA_ANON || strcmp(vma->name, HUGE_ZERO) == 0;
}

/*
 * Whether what is mapped at an anonymous object's address may be it: the
 * region there is of the same site.
 */
static bool is_of_its_site(const struct registry *reg,
			   const struct registry_object *object)
{
	const struct registry_region *region = registry_find(reg, object->at);

	return region == NULL || region->site == object->site;
}

static struct alias_identity identify(const struct making *m,
				      const struct registry_object *object)
{
	const struct vma *vma =
		object->at != 0 ? vma_list_find(&m->subject->vmas, object->at)
				: NULL;
	struct alias_identity identity = {0, 0};
	bool fits;

	if (object->ino != 0)
		identity = (struct alias_identity){
			(uint64_t)major(object->dev) << 32 | minor(object->dev),
			object->ino};
	if (vma == NULL || !is_shared(vma))
		return identity;
	if (object->ino != 0)
		fits = vma->inode == object->ino;
	else
		fits = is_anonymous(vma) &&
		       is_of_its_site(&m->subject->registry, object);
	return fits ? identity_of(vma) : identity;
}

/* Two anonymous objects cannot be in one place: one has gone, but which? */
static void claim_places(struct making *m)
{
	const struct registry *reg = &m->subject->registry;

	for (uint64_t i = 0; i < reg->nobjects; i++) {
		struct alias_identity identity = identify(m, &reg->objects[i]);
		size_t first = first_of(m, identity);

		if (identity.ino == 0 ||
		    past_last_of(m, first, identity) == first)
			continue;
		m->claimant[first] =
			m->claimant[first] == NOBODY ? i + 1 : SEVERAL;
	}
}

static struct alias_group *add_group(struct making *m,
				     struct alias_identity identity)
{
	struct alias_groups *groups = m->groups;
	struct alias_group *group;
	size_t first = first_of(m, identity);

	groups->group = mem_grow(groups->group, groups->count, &groups->cap,
				 sizeof(*groups->group));
	group = &groups->group[groups->count++];
	*group = (struct alias_group){
		.kind = ALIAS_UNKNOWN,
		.name = strpool_empty,
		.identity = identity,
		.label = label_make(&m->subject->pool, LABEL_UNATTRIBUTED, "",
				    "", ""),
		.vma = groups->vma + first,
	};
	if (identity.ino != 0)
		group->nvmas = past_last_of(m, first, identity) - first;
	return group;
}

/* Whether the shim looks at an object at all when it forks. */
static bool is_candidate(const struct making *m, uint32_t flags)
{
	return fork_options_look_at_all(&m->groups->options) ||
	       (flags & (OBJECT_ALIASED | OBJECT_PRIVATE)) != 0;
}

static void add_known(struct making *m)
{
	struct subject *subject = m->subject;
	const struct registry *reg = &subject->registry;

	for (uint64_t i = 0; i < reg->nobjects; i++) {
		const struct registry_object *object = &reg->objects[i];
		struct alias_group *group;

		if (!is_candidate(m, object->flags))
			continue;
		group = add_group(m, identify(m, object));
		group->object = object;
		group->flags = object->flags;
		if (object->ino == 0)
			group->kind = ALIAS_ANONYMOUS;
		if (object->size != 0) {
			group->has_size = true;
			group->size_kib = object->size / 1024;
		}
		if (object->site != 0)
			group->label = claim_label_of_site(reg, object->site,
							   &subject->pool);
	}
}

/* Mapped behind the shim's back, or before it: a fork finds these too. */
static void add_unknown(struct making *m)
{
	size_t next;

	if (!fork_options_look_at_all(&m->groups->options))
		return;
	for (size_t i = 0; i < m->nvmas; i = next) {
		struct alias_identity identity = identity_of(m->groups->vma[i]);

		next = past_last_of(m, i, identity);
		if (m->claimant[i] == NOBODY)
			add_group(m, identity);
	}
}

/* Files ------------------------------------------------------------------- */

static uint64_t dev_of(const struct alias_group *group)
{
	if (group->object != NULL)
		return group->object->dev;
	return makedev((unsigned)(group->identity.dev >> 32),
		       (unsigned)group->identity.dev);
}

static uint64_t ino_of(const struct alias_group *group)
{
	return group->object != NULL ? group->object->ino : group->identity.ino;
}

static void read_files(struct making *m)
{
	const struct procfs *proc = &m->subject->proc;
	size_t count = m->groups->count;

	m->file = mem_zalloc(count + 1, sizeof(*m->file));
	if (m->subject->core != NULL || count == 0)
		return;
	for (size_t i = 0; i < count; i++) {
		m->file[i].dev = dev_of(&m->groups->group[i]);
		m->file[i].ino = ino_of(&m->groups->group[i]);
	}
	m->has_files = alias_files_read(proc, m->file, count) == 0;
	for (size_t i = 0; i < count; i++) {
		const struct alias_group *group = &m->groups->group[i];

		for (size_t v = 0; v < group->nvmas && !m->file[i].has_stat;
		     v++)
			alias_file_by_mapping(proc, group->vma[v], &m->file[i]);
	}
}

/* A shim that has given up (see life.h) says so as it does of a loss. */
static bool may_be_off(const struct subject *subject)
{
	char status[4096];
	const char *field;

	if (subject->core != NULL ||
	    (subject->registry.head.flags & REGISTRY_INEXACT) == 0)
		return false;
	if (procfs_text(&subject->proc, "status", status, sizeof(status)) <= 0)
		return true;
	field = strstr(status, "\nSeccomp:");
	return field != NULL && strtoul(field + 9, NULL, 10) != 0;
}

/* What is known of a group ------------------------------------------------ */

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), tail = strlen(end);

	return n >= tail && strcmp(text + n - tail, end) == 0;
}

/*
 * The name that maps shows, where no name of PR_SET_VMA hides it; or the notes
 * of a core file, which do not tell objects apart, at its address.
 */
static const char *mapped_name(const struct making *m,
			       const struct alias_group *group)
{
	const struct vma *vma;

	if (m->subject->core != NULL) {
		vma = vma_list_find(&m->subject->vmas, group->object->at);
		return vma != NULL && vma->class == VMA_FILE ? vma->name : "";
	}
	for (size_t i = 0; i < group->nvmas; i++)
		if (group->vma[i]->anon_name == NULL &&
		    group->vma[i]->name[0] != '\0')
			return group->vma[i]->name;
	return "";
}

/* As the shim has it: a name that leads to the object, by all that is seen. */
static enum fork_known named(const struct making *m,
			     const struct alias_group *group,
			     const struct alias_file *file, const char *name)
{
	if (group->kind == ALIAS_ANONYMOUS)
		return FORK_NO;
	if (file->has_fd)
		return file->is_linked ? FORK_YES : FORK_NO;
	if (m->subject->core != NULL && name[0] == '\0')
		return FORK_NOT_KNOWN;
	if (strncmp(name, SYSV, strlen(SYSV)) == 0)
		return FORK_YES;
	return name[0] != '\0' && !ends_in(name, DELETED) ? FORK_YES : FORK_NO;
}

/* The shim goes by a descriptor, too, and without one knows of no seal. */
static enum fork_known sealed(const struct making *m,
			      const struct alias_group *group,
			      const struct alias_file *file, unsigned seal)
{
	if (group->kind == ALIAS_ANONYMOUS)
		return FORK_NO;
	if (!m->has_files || (file->has_fd && !file->has_seals))
		return FORK_NOT_KNOWN;
	return (file->seals & seal) != 0 ? FORK_YES : FORK_NO;
}

static void decide(const struct making *m, struct alias_group *group,
		   const struct alias_file *file)
{
	const struct registry *reg = &m->subject->registry;
	const char *name = mapped_name(m, group);
	struct fork_object object = {
		.flags = group->flags,
		.named = named(m, group, file, name),
		.sealed = sealed(m, group, file, F_SEAL_WRITE),
		.sealed_then = sealed(m, group, file, F_SEAL_FUTURE_WRITE),
		.name = name,
		.site_name = "",
		.owner = "",
		.symbol = "",
	};

	if (group->object != NULL && group->object->site != 0) {
		const struct registry_site *site =
			&reg->sites[group->object->site];

		object.site_name = registry_string(reg, site->name);
		object.owner = registry_string(reg, site->owner);
		object.symbol = registry_string(reg, site->symbol);
	}
	group->fork = fork_decide(&m->groups->options, &object);
	if (group->fork.fate == FORK_COPIED && m->may_be_off)
		group->fork = (struct fork_verdict){
			FORK_UNKNOWN,
			"the process has confined itself (seccomp), and the "
			"shim may do nothing any more"};
	if (group->nvmas > 0 &&
	    m->claimant[group->vma - m->groups->vma] == SEVERAL)
		group->fork = (struct fork_verdict){
			FORK_UNKNOWN, "two records claim these addresses"};
}

/* NAME without what the kernel puts around it. */
static const char *bare_name(struct strpool *pool, const char *name)
{
	size_t len = strlen(name), skip = 0;

	if (strncmp(name, MEMFD, strlen(MEMFD)) == 0)
		skip = strlen(MEMFD);
	if (ends_in(name, DELETED))
		len -= strlen(DELETED);
	return strpool_intern(pool, name + skip, len > skip ? len - skip : 0);
}

static void name_group(const struct making *m, struct alias_group *group,
		       const struct alias_file *file)
{
	const char *name = mapped_name(m, group);

	if (name[0] == '\0')
		name = file->path;
	if (group->kind == ALIAS_ANONYMOUS || strcmp(name, ZERO) == 0) {
		group->kind = ALIAS_ANONYMOUS;
		return;
	}
	if (strncmp(name, MEMFD, strlen(MEMFD)) == 0)
		group->kind = ALIAS_MEMFD;
	else if (name[0] != '\0')
		group->kind = ALIAS_FILE;
	else if ((group->flags & OBJECT_REGION) != 0)
		group->kind = ALIAS_MEMFD;
	group->name = bare_name(&m->subject->pool, name);
}

/* Pages that are seen at one distance between address and offset. */
struct view {
	uint64_t delta;
	uint64_t rss_kib;
};

static int by_delta(const void *a, const void *b)
{
	const struct view *x = a, *y = b;

	return x->delta < y->delta ? -1 : x->delta > y->delta;
}

/* Within a view no page comes twice; what several add is not known. */
static uint64_t most_resident(const struct alias_group *group)
{
	struct view *view = mem_zalloc(group->nvmas + 1, sizeof(*view));
	uint64_t most = 0, sum = 0;

	for (size_t i = 0; i < group->nvmas; i++) {
		view[i].delta = group->vma[i]->offset - group->vma[i]->start;
		view[i].rss_kib = group->vma[i]->rss_kib;
	}
	qsort(view, group->nvmas, sizeof(*view), by_delta);
	for (size_t i = 0; i < group->nvmas; i++) {
		if (i > 0 && view[i].delta != view[i - 1].delta)
			sum = 0;
		sum += view[i].rss_kib;
		if (sum > most)
			most = sum;
	}
	free(view);
	return most;
}

static void fill_in(struct making *m, struct alias_group *group,
		    const struct alias_file *file)
{
	name_group(m, group, file);
	if (file->has_stat) {
		group->has_size = group->has_held = true;
		group->size_kib = file->size_bytes / 1024;
		group->held_kib = file->held_bytes / 1024;
	}
	group->has_rss = m->subject->core == NULL;
	group->rss_kib = most_resident(group);
	decide(m, group, file);
}

/* Which are told --------------------------------------------------------- */

/* Of a core file neither descriptors nor all mappings are known. */
static bool is_there(const struct making *m, const struct alias_group *group,
		     const struct alias_file *file)
{
	if (m->subject->core == NULL)
		return group->nvmas > 0 || file->has_fd;
	return group->object->at != 0 &&
	       vma_list_find(&m->subject->vmas, group->object->at) != NULL;
}

static bool is_told(const struct making *m, const struct alias_group *group,
		    const struct alias_file *file)
{
	return is_there(m, group, file) &&
	       (group->fork.fate != FORK_SHARED ||
		(group->flags & (OBJECT_ALIASED | OBJECT_PRIVATE)) != 0);
}

static uint64_t at_of(const struct alias_group *group)
{
	return group->nvmas > 0 ? group->vma[0]->start : UINT64_MAX;
}

static int most_costly_first(const void *a, const void *b)
{
	const struct alias_group *x = a, *y = b;
	uint64_t cost_x = alias_group_cost_kib(x);
	uint64_t cost_y = alias_group_cost_kib(y);

	if (x->fork.fate != y->fork.fate)
		return x->fork.fate < y->fork.fate ? -1 : 1;
	if (cost_x != cost_y)
		return cost_x > cost_y ? -1 : 1;
	return at_of(x) < at_of(y) ? -1 : at_of(x) > at_of(y);
}

void alias_groups_make(struct alias_groups *groups, struct subject *subject)
{
	struct making m = {.groups = groups, .subject = subject};
	const struct registry *reg = &subject->registry;
	size_t kept = 0;

	memset(groups, 0, sizeof(*groups));
	groups->core = subject->core != NULL;
	groups->known = subject->has_registry && !reg->no_objects;
	if (!groups->known)
		return;
	fork_options_read(&groups->options,
			  registry_string(reg, reg->head.options));
	collect_mappings(&m);
	claim_places(&m);
	add_known(&m);
	add_unknown(&m);
	read_files(&m);
	m.may_be_off = may_be_off(subject);
	for (size_t i = 0; i < groups->count; i++) {
		fill_in(&m, &groups->group[i], &m.file[i]);
		if (is_told(&m, &groups->group[i], &m.file[i]))
			groups->group[kept++] = groups->group[i];
	}
	groups->count = kept;
	if (kept > 0)
		qsort(groups->group, kept, sizeof(*groups->group),
		      most_costly_first);
	free(m.claimant);
	free(m.file);
}

void alias_groups_destroy(struct alias_groups *groups)
{
	free(groups->group);
	free(groups->vma);
	memset(groups, 0, sizeof(*groups));
}

const struct alias_group *alias_groups_find(const struct alias_groups *groups,
					    uint64_t addr)
{
	for (size_t i = 0; i < groups->count; i++) {
		const struct alias_group *group = &groups->group[i];

		for (size_t v = 0; v < group->nvmas; v++)
			if (group->vma[v]->start <= addr &&
			    addr < group->vma[v]->end)
				return group;
	}
	return NULL;
}

uint64_t alias_group_cost_kib(const struct alias_group *group)
{
	return group->has_held ? group->held_kib : group->rss_kib;
}
