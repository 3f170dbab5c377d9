/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the victims that take snapshots share: memory at two addresses, pages
 * that are one value in all of their words, and views that are looked at.
 */
#ifndef SNAPSHOT_HELP_H
#define SNAPSHOT_HELP_H

#include "fork_help.h"

#define RW (PROT_READ | PROT_WRITE)

/* How there is memory of one object at two addresses. */
enum kind { KIND_REGION, KIND_MEMFD, KIND_ANONYMOUS };

static inline enum kind kind_named(const char *name)
{
	static const char *const names[] = {"region", "memfd", "anonymous"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return (enum kind)i;
	wrong("%s is no kind of memory", name);
}

static inline void region_make(struct twin *twin)
{
	void *one, *two = NULL;

	CHECK(!anonshim_region_create(&one, twin->pages * PAGE, 0, "twin"));
	CHECK(!anonshim_region_alias(one, 0, 0, RW, &two));
	CHECK(!anonshim_region_fd(one, &twin->fd));
	twin->one = one;
	twin->two = two;
}

/* PAGES pages of zeros; a descriptor, but of what is anonymous. */
static inline void memory_make(struct twin *twin, size_t pages, enum kind kind)
{
	*twin = (struct twin){.pages = pages, .fd = -1};
	if (kind == KIND_REGION) {
		region_make(twin);
		return;
	}
	if (kind == KIND_MEMFD) {
		twin_make(twin, pages);
	} else {
		twin->one = mmap(NULL, pages * PAGE, RW,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		CHECK(twin->one != MAP_FAILED);
		twin->two = mremap((void *)twin->one, 0, pages * PAGE,
				   MREMAP_MAYMOVE);
		CHECK(twin->two != MAP_FAILED);
	}
	/* a child has snapshots of what is its own */
	if (anonshim_available())
		CHECK(!anonshim_set_fork((void *)twin->one, pages * PAGE,
					 ANONSHIM_FORK_PRIVATE));
}

/* ---- pages of one value ---- */

static inline void page_put(volatile uint64_t *p, size_t page, uint64_t value)
{
	for (size_t i = 0; i < WORDS; i++)
		p[page * WORDS + i] = value;
}

static inline void page_see(const volatile uint64_t *p, size_t page,
			    uint64_t value, const char *what)
{
	for (size_t i = 0; i < WORDS; i++)
		if (p[page * WORDS + i] != value)
			wrong("%s: page %zu word %zu is %#lx, not %#lx", what,
			      page, i, p[page * WORDS + i], value);
}

/* ---- snapshots and views ---- */

static inline uint64_t take(volatile void *p)
{
	uint64_t id = 0;

	if (anonshim_snapshot_take((void *)p, &id))
		wrong("no snapshot, errno %d", errno);
	CHECK(id);
	return id;
}

static inline volatile uint64_t *view(uint64_t id)
{
	void *p = NULL;

	if (anonshim_snapshot_view(id, &p))
		wrong("no view, errno %d", errno);
	return p;
}

static inline void view_end(volatile uint64_t *p)
{
	CHECK(!anonshim_region_destroy((void *)p));
}

/* All of snapshot ID is VALUE and the number of the page, as twin_write(). */
static inline void snapshot_see(uint64_t id, size_t pages, uint64_t value,
				const char *what)
{
	volatile uint64_t *v = view(id);

	for (size_t i = 0; i < pages; i++)
		if (v[i * WORDS] != value + i ||
		    v[i * WORDS + WORDS - 1] != value + i)
			wrong("%s: page %zu is %#lx, not %#lx", what, i,
			      v[i * WORDS], value + i);
	view_end(v);
}

static inline struct anonshim_snapshot_stats stats_now(void)
{
	struct anonshim_snapshot_stats s = {.size = sizeof(s)};

	CHECK(!anonshim_snapshot_stats(&s));
	return s;
}

static inline void nothing_is_held(void)
{
	struct anonshim_snapshot_stats s = stats_now();

	if (s.snapshots || s.views || s.saved_bytes || s.view_bytes)
		wrong("%lu snapshots, %lu views, %lu and %lu bytes are left",
		      s.snapshots, s.views, s.saved_bytes, s.view_bytes);
}

#endif
