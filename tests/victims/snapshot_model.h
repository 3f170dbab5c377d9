/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model of snapshot_model: memory and views with what each page is now, and
 * snapshots with what each was.
 */
#ifndef SNAPSHOT_MODEL_H
#define SNAPSHOT_MODEL_H

#include "snapshot_help.h"

#define PAGES_MOST 96
#define SPACES 6
#define SNAPS 24
#define MAPPINGS 4
#define WHERE_BYTES 96

/* Where pages [first, first + pages) of a space are mapped. */
struct mapping {
	volatile uint64_t *at;
	size_t first;
	size_t pages;
};

struct snap {
	uint64_t id;		  /* 0: there is none here */
	volatile uint64_t *alias; /* instead, where that is all there is */
	bool used;
	size_t pages;
	uint64_t was[PAGES_MOST];
	bool written[PAGES_MOST]; /* until the next one */
	bool vague;		  /* more may be said to be written */
	struct snap *prev, *next; /* of the same memory, older and newer */
	struct space *space;
};

/* Memory, the first one, or a view. */
struct space {
	size_t pages;
	int fd;
	bool is_region;
	struct mapping mapping[MAPPINGS];
	size_t mappings; /* 0: there is none here */
	uint64_t now[PAGES_MOST];
	struct snap *last;
};

static struct space spaces[SPACES];
static struct snap snaps[SNAPS];
static bool aliases_only;
static unsigned depth; /* of children */
static int scratch;
static uint64_t seed, state, counter, done_steps;

static size_t draw(size_t below)
{
	state = state * 6364136223846793005 + 1442695040888963407;
	return (size_t)(state >> 33) % below;
}

static void model_begin(uint64_t number)
{
	seed = number;
	state = number * 0x9e3779b97f4a7c15 + 1;
	draw(1);
	scratch = memfd_of("scratch", 1, MFD_CLOEXEC);
}

static void say_where(unsigned what)
{
	static char where[WHERE_BYTES];

	snprintf(where, sizeof(where), "seed %lu, step %lu (%u), depth %u",
		 seed, ++done_steps, what, depth);
	whoami = where;
}

static struct space *space_new(size_t pages)
{
	for (unsigned i = 0; i < SPACES; i++)
		if (!spaces[i].mappings) {
			spaces[i] = (struct space){.pages = pages, .fd = -1};
			return &spaces[i];
		}
	return NULL;
}

/* The memory itself as often as any view. */
static struct space *space_any(void)
{
	struct space *s = &spaces[draw(SPACES)];

	return s->mappings ? s : &spaces[0];
}

static void space_forget(struct space *s)
{
	for (unsigned i = 0; i < SNAPS; i++)
		if (snaps[i].space == s)
			snaps[i].space = NULL;
	s->mappings = 0;
	s->last = NULL;
}

static struct snap *snap_new(struct space *s)
{
	for (unsigned i = 0; i < SNAPS; i++) {
		struct snap *snap = &snaps[i];

		if (snap->used)
			continue;
		*snap = (struct snap){.used = true, .pages = s->pages};
		memcpy(snap->was, s->now, sizeof(snap->was));
		snap->space = s;
		snap->prev = s->last;
		if (s->last)
			s->last->next = snap;
		s->last = snap;
		return snap;
	}
	return NULL;
}

static struct snap *snap_any(void)
{
	size_t from = draw(SNAPS);

	for (size_t i = 0; i < SNAPS; i++)
		if (snaps[(from + i) % SNAPS].used)
			return &snaps[(from + i) % SNAPS];
	return NULL;
}

/* What was written since is written since the one before. */
static void snap_forget(struct snap *snap)
{
	for (size_t i = 0; snap->prev && i < snap->pages; i++)
		snap->prev->written[i] |= snap->written[i];
	if (snap->prev) {
		snap->prev->vague |= snap->vague;
		snap->prev->next = snap->next;
	}
	if (snap->next)
		snap->next->prev = snap->prev;
	else if (snap->space)
		snap->space->last = snap->prev;
	snap->used = false;
	snap->space = NULL;
}

/* Page PAGE of S is about to be written.  Returns its new value. */
static uint64_t wrote(struct space *s, size_t page)
{
	if (s->last)
		s->last->written[page] = true;
	return s->now[page] = ++counter + ((uint64_t)depth << 48);
}

/* Any mapping of S that shows PAGE, or NULL. */
static struct mapping *showing(struct space *s, size_t page)
{
	size_t from = draw(s->mappings);

	for (size_t i = 0; i < s->mappings; i++) {
		struct mapping *m = &s->mapping[(from + i) % s->mappings];

		if (page >= m->first && page - m->first < m->pages)
			return m;
	}
	return NULL;
}

static volatile uint64_t *at(const struct mapping *m, size_t page)
{
	return m->at + (page - m->first) * WORDS;
}

/* S is what it should be, through all of its mappings. */
static void space_see(const struct space *s)
{
	for (size_t i = 0; i < s->mappings; i++)
		for (size_t k = 0; k < s->mapping[i].pages; k++)
			page_see(s->mapping[i].at, k,
				 s->now[s->mapping[i].first + k],
				 s == &spaces[0] ? "memory" : "a view");
}

#endif
