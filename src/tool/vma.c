/* SPDX-License-Identifier: BSD-2-Clause */
/* Lists of VMAs: reading, classifying, searching, mending of PSS. */
#include "tool/vma.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool/mem.h"
#include "tool/smaps.h"
#include "tool/split.h"

#define DELETED " (deleted)"

struct reading {
	struct vma_list *list;
	struct strpool *pool;
};

static bool starts_with(const char *text, const char *with)
{
	return strncmp(text, with, strlen(with)) == 0;
}

/* [anon:NAME] or [anon_shmem:NAME]: NAME without the closing bracket. */
static const char *bracketed_name(const char *name, struct strpool *pool)
{
	size_t skip, len = strlen(name);

	if (starts_with(name, "[anon:"))
		skip = strlen("[anon:");
	else if (starts_with(name, "[anon_shmem:"))
		skip = strlen("[anon_shmem:");
	else
		return NULL;
	if (len <= skip || name[len - 1] != ']')
		return NULL;
	return strpool_intern(pool, name + skip, len - skip - 1);
}

static enum vma_class class_of(const struct vma *vma, bool shared)
{
	const char *name = vma->name;

	if (name[0] == '\0' || vma->anon_name != NULL)
		return VMA_ANON;
	/* What MAP_SHARED|MAP_ANONYMOUS looks like before 6.2 or unnamed. */
	if (shared && strcmp(name, "/dev/zero" DELETED) == 0)
		return VMA_ANON;
	if (strcmp(name, "[heap]") == 0)
		return VMA_HEAP;
	if (starts_with(name, "[stack"))
		return VMA_STACK;
	return name[0] == '[' ? VMA_KERNEL : VMA_FILE;
}

void vma_classify(struct vma *vma, bool shared, struct strpool *pool)
{
	vma->anon_name = bracketed_name(vma->name, pool);
	vma->class = class_of(vma, shared);
}

void vma_list_add(struct vma_list *list, const struct vma *vma)
{
	list->v = mem_grow(list->v, list->count, &list->cap, sizeof(*vma));
	list->v[list->count++] = *vma;
}

static int add_read(const struct smaps_vma *from, void *arg)
{
	struct reading *reading = arg;
	struct vma_list *list = reading->list;
	struct vma vma = {
		.start = from->start,
		.end = from->end,
		.offset = from->offset,
		.inode = from->inode,
		.dev_major = from->dev_major,
		.dev_minor = from->dev_minor,
		.rss_kib = from->rss_kib,
		.pss_kib = from->pss_kib,
		.swap_kib = from->swap_kib,
	};

	/*
	 * One that changed while it was read may come twice.  The sums then
	 * differ from the rollup's, and the view is taken again.
	 */
	if (list->count > 0 && vma.start < list->v[list->count - 1].end)
		vma.start = list->v[list->count - 1].end;
	if (vma.start >= vma.end)
		return 0;
	memcpy(vma.perms, from->perms, sizeof(vma.perms));
	vma.name = strpool_add(reading->pool, from->name);
	vma_classify(&vma, from->perms[3] == 's', reading->pool);
	vma_list_add(list, &vma);
	return 0;
}

int vma_list_read(struct vma_list *list, int fd, struct strpool *pool)
{
	struct reading reading = {list, pool};

	return smaps_read(fd, add_read, &reading);
}

static int take_rollup(const struct smaps_vma *from, void *arg)
{
	struct vma_rollup *rollup = arg;

	rollup->rss_kib = from->rss_kib;
	rollup->pss_kib = from->pss_kib;
	rollup->swap_kib = from->swap_kib;
	return 0;
}

int vma_rollup_read(struct vma_rollup *rollup, int fd)
{
	memset(rollup, 0, sizeof(*rollup));
	return smaps_read(fd, take_rollup, rollup);
}

void vma_list_sum(const struct vma_list *list, struct vma_rollup *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (size_t i = 0; i < list->count; i++) {
		sum->rss_kib += list->v[i].rss_kib;
		sum->pss_kib += list->v[i].pss_kib;
		sum->swap_kib += list->v[i].swap_kib;
	}
}

size_t vma_list_lower(const struct vma_list *list, uint64_t addr)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (list->v[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct vma *vma_list_find(const struct vma_list *list, uint64_t addr)
{
	size_t at = vma_list_lower(list, addr);

	if (at == list->count || list->v[at].start > addr)
		return NULL;
	return &list->v[at];
}

void vma_list_destroy(struct vma_list *list)
{
	free(list->v);
	memset(list, 0, sizeof(*list));
}

static bool has_shared_pages(const struct vma *vma)
{
	return vma->pss_kib < vma->rss_kib;
}

/* One KiB each to `missing` of the `shared` VMAs with shared pages. */
static void add_fractions(struct vma_list *list, uint64_t missing,
			  uint64_t shared)
{
	uint64_t seen = 0;

	for (size_t i = 0; i < list->count && missing > 0; i++) {
		struct vma *vma = &list->v[i];
		uint64_t before = seen * missing / shared;

		if (!has_shared_pages(vma))
			continue;
		seen++;
		vma->pss_kib += seen * missing / shared - before;
	}
}

/*
 * Moves PSS from sum to want, up into what others hold of the VMAs' pages, or
 * down out of the PSS of those that others hold too.
 */
static bool drift(struct vma_list *list, uint64_t sum, uint64_t want)
{
	bool up = want > sum;
	uint64_t change = up ? want - sum : sum - want, room = 0;
	uint64_t *weight = mem_alloc(2 * list->count, sizeof(*weight));
	uint64_t *share = weight + list->count;

	for (size_t i = 0; i < list->count; i++) {
		const struct vma *vma = &list->v[i];

		weight[i] = 0;
		if (has_shared_pages(vma))
			weight[i] =
				up ? vma->rss_kib - vma->pss_kib : vma->pss_kib;
		room += weight[i];
	}
	if (change <= room && room > 0) {
		split_total(change, weight, share, list->count);
		for (size_t i = 0; i < list->count; i++)
			list->v[i].pss_kib += up ? share[i] : -share[i];
	}
	free(weight);
	return change <= room;
}

enum vma_mend vma_list_mend_pss(struct vma_list *list, uint64_t rollup_pss_kib)
{
	struct vma_rollup sum;
	uint64_t shared = 0;

	vma_list_sum(list, &sum);
	for (size_t i = 0; i < list->count; i++)
		shared += has_shared_pages(&list->v[i]);
	if (sum.pss_kib <= rollup_pss_kib &&
	    rollup_pss_kib - sum.pss_kib <= shared) {
		add_fractions(list, rollup_pss_kib - sum.pss_kib, shared);
		return VMA_MEND_ROUNDED;
	}
	if (drift(list, sum.pss_kib, rollup_pss_kib))
		return VMA_MEND_DRIFTED;
	return VMA_MEND_FAILED;
}

const char *vma_basename(const char *path, struct strpool *pool)
{
	size_t len = strlen(path), tail = strlen(DELETED);
	const char *slash;

	if (len > tail && strcmp(path + len - tail, DELETED) == 0)
		len -= tail;
	slash = memrchr(path, '/', len);
	if (slash == NULL || slash + 1 == path + len)
		return strpool_intern(pool, path, len);
	return strpool_intern(pool, slash + 1,
			      len - (size_t)(slash + 1 - path));
}
