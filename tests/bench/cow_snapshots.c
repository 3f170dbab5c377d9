/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cow snapshots: what it costs to take and to keep snapshots of a region, with
 * a hundred pages of it written, at random, between one and the next.
 *
 * Prints in one line, for each of 1, 10, 100, 1,000 and 10,000 that are alive,
 * "-" where so many were not asked for:
 *
 *   microseconds to take the last of them, to write a page for the first time
 *   after that, to make a view, and to read a page there for the first time,
 *   of the oldest snapshot, which is the one farthest from what is now; pages
 *   kept for them; KiB a snapshot of what the process takes more than without;
 *   and that for each page that was written
 *
 * and then microseconds to drop one, at random, and KiB left when all are.
 *
 * The figures of one kind are medians of neighbouring ten, where there are ten.
 * What the process takes is each of its pages once (Pss), and page tables.
 */
#include "cow.h"

#include <anonshim.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define WRITES 100 /* between two snapshots */
#define READS 1000 /* of a view */
#define NEIGHBOURS 10
#define LEVELS 5
#define SAVED_KIB 420 /* a snapshot, at most */

static char *aliases[ALIASES_MAX];
static uint64_t *ids;
static double *take_us, *write_us;
static uint32_t *written; /* by page, after which snapshot */
static char line[4096];
static size_t line_used;

/* Formats into the line, which is printed at the end: no buffer of libc's is
 * to grow meanwhile. */
static void add(double value, const char *format)
{
	line_used += (size_t)snprintf(line + line_used,
				      sizeof(line) - line_used, format, value);
}

static void add_none(size_t n)
{
	while (n--)
		line_used += (size_t)snprintf(line + line_used,
					      sizeof(line) - line_used, "- ");
}

/* Memory of its own that is there already. */
static void *room(size_t n, size_t each)
{
	void *p = malloc(n * each);

	if (!p)
		fail("malloc");
	memset(p, 0, n * each);
	return p;
}

/* KiB in the line of PATH that begins with KEY. */
static double kib_in(const char *path, const char *key)
{
	char text[256];
	double kib = -1;
	FILE *f = fopen(path, "re");

	if (!f)
		fail(path);
	while (kib < 0 && fgets(text, sizeof(text), f))
		if (!strncmp(text, key, strlen(key)))
			kib = strtod(text + strlen(key), NULL);
	fclose(f);
	if (kib < 0)
		wrong(path);
	return kib;
}

static double process_kib(void)
{
	return kib_in("/proc/self/smaps_rollup", "Pss:") +
	       kib_in("/proc/self/status", "VmPTE:");
}

static struct anonshim_snapshot_stats stats(void)
{
	struct anonshim_snapshot_stats s = {.size = sizeof(s)};

	if (anonshim_snapshot_stats(&s))
		fail("anonshim_snapshot_stats");
	return s;
}

/* Microseconds each to read N pages at random, which are to hold SEEN. */
static double read_pages(char *p, size_t n, uint64_t seen)
{
	double start = now_us();
	bool differs = false;

	for (size_t i = 0; i < n; i++)
		differs |= *word_of(p, random_number() % asked.pages) != seen;
	if (differs)
		wrong("a page is not what it was");
	return (now_us() - start) / (double)n;
}

/* So few that hardly any comes twice. */
static size_t reads(void)
{
	return asked.pages / 64 < READS ? asked.pages / 64 : READS;
}

/* Pages that were not yet, by the aliases in turn. */
static double write_pages(uint32_t serial)
{
	double start = now_us();

	for (size_t i = 0; i < WRITES;) {
		size_t page = random_number() % asked.pages;

		if (written[page] == serial)
			continue;
		written[page] = serial;
		*word_of(aliases[i++ % (size_t)asked.aliases], page) = serial;
	}
	return (now_us() - start) / WRITES;
}

/* Of the ten values that end with number N, which is from 1. */
static double median_before(const double *values, size_t n)
{
	double few[NEIGHBOURS];
	size_t k = n < NEIGHBOURS ? n : NEIGHBOURS;

	memcpy(few, values + n - k, k * sizeof(*few));
	return median(few, k);
}

/* The figures of N that are alive; memory before is KIB. */
static void add_level(size_t n, double kib)
{
	double more = process_kib() - kib;
	double start = now_us();
	void *view;

	if (anonshim_snapshot_view(ids[0], &view))
		fail("anonshim_snapshot_view");
	start = now_us() - start;
	add(median_before(take_us, n), "%.2f ");
	add(median_before(write_us, n), "%.4f ");
	add(start, "%.2f ");
	add(read_pages(view, reads(), 0), "%.4f ");
	if (anonshim_region_destroy(view))
		fail("anonshim_region_destroy");
	add((double)stats().saved_bytes / PAGE_BYTES, "%.0f ");
	add(more / (double)n, "%.2f ");
	add(more * 1024 / (double)(n * WRITES * PAGE_BYTES), "%.4f ");
}

static void make_region(void)
{
	void *at;

	if (anonshim_region_create(&at, asked.bytes, 0, "bench"))
		fail("anonshim_region_create");
	aliases[0] = at;
	for (int i = 1; i < asked.aliases; i++) {
		at = NULL;
		if (anonshim_region_alias(aliases[0], 0, 0,
					  PROT_READ | PROT_WRITE, &at))
			fail("anonshim_region_alias");
		aliases[i] = at;
	}
	for (int i = 0; i < asked.aliases; i++)
		touch(aliases[i], 0);
}

/* Returns microseconds each. */
static double drop_all(void)
{
	double start;

	for (size_t i = asked.snapshots; i-- > 1;) {
		size_t j = random_number() % (i + 1);
		uint64_t id = ids[i];

		ids[i] = ids[j];
		ids[j] = id;
	}
	start = now_us();
	for (size_t i = 0; i < asked.snapshots; i++)
		if (anonshim_snapshot_release(ids[i]))
			fail("anonshim_snapshot_release");
	return (now_us() - start) / (double)asked.snapshots;
}

void snapshots_run(void)
{
	size_t levels = 0;
	size_t level = 1;
	double kib;

	if (!anonshim_available())
		wrong("the shim is not there");
	warm(asked.bytes + asked.bytes / 8 +
	     (asked.snapshots * SAVED_KIB << 10));
	ids = room(asked.snapshots, sizeof(*ids));
	take_us = room(asked.snapshots, sizeof(*take_us));
	write_us = room(asked.snapshots, sizeof(*write_us));
	written = room(asked.pages, sizeof(*written));
	make_region();
	kib = process_kib();
	for (size_t i = 0; i < asked.snapshots; i++) {
		double start = now_us();

		if (anonshim_snapshot_take(aliases[0], &ids[i]))
			fail("anonshim_snapshot_take");
		take_us[i] = now_us() - start;
		write_us[i] = write_pages((uint32_t)i + 1);
		if (i + 1 == level && levels < LEVELS) {
			add_level(level, kib);
			levels++;
			level *= 10;
		}
	}
	add_none((LEVELS - levels) * 7);
	add(drop_all(), "%.4f ");
	if (stats().saved_bytes || stats().snapshots || stats().views)
		wrong("snapshots are left");
	add(process_kib() - kib, "%.0f ");
	puts(line);
}

bool snapshots_permitted(void)
{
	void *at;
	uint64_t id;

	return anonshim_available() &&
	       !anonshim_region_create(&at, asked.bytes, 0, NULL) &&
	       !anonshim_snapshot_take(at, &id);
}

/* What else there is: the columns are those of one snapshot. -------------- */

void snapshots_copy(void)
{
	double us[NEIGHBOURS], writing[NEIGHBOURS], reading[NEIGHBOURS];
	char *from, *to;

	warm(asked.bytes / 4 * 9);
	aliases[0] = from =
		map(asked.bytes, new_memfd(asked.bytes), MAP_SHARED);
	to = map(asked.bytes, -1, MAP_PRIVATE);
	asked.aliases = 1;
	written = room(asked.pages, sizeof(*written));
	touch(from, 0);
	touch(to, 0);
	for (size_t i = 0; i < NEIGHBOURS; i++) {
		memset(from, 0, asked.bytes); /* also out of the cache */
		us[i] = now_us();
		memcpy(to, from, asked.bytes);
		us[i] = now_us() - us[i];
		writing[i] = write_pages((uint32_t)i + 1);
		reading[i] = read_pages(to, reads(), 0);
	}
	add(median(us, NEIGHBOURS), "%.2f ");
	add(median(writing, NEIGHBOURS), "%.4f ");
	add_none(1);
	add(median(reading, NEIGHBOURS), "%.4f ");
	add((double)asked.pages, "%.0f ");
	add((double)asked.bytes / 1024, "%.0f ");
	add((double)asked.pages / WRITES, "%.2f ");
	puts(line);
}

static char *map_view(int fd, double *us)
{
	double start = now_us();
	char *p = mmap(NULL, asked.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE,
		       fd, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	*us = now_us() - start;
	return p;
}

void snapshots_private(void)
{
	double us[NEIGHBOURS], writing[NEIGHBOURS], reading[NEIGHBOURS];
	double dropping[NEIGHBOURS], taking[NEIGHBOURS];
	int fd = new_memfd(asked.bytes);

	warm(asked.bytes / 4 * 9);
	touch(map(asked.bytes, fd, MAP_SHARED), 0);
	asked.aliases = 1;
	written = room(asked.pages, sizeof(*written));
	for (size_t i = 0; i < NEIGHBOURS; i++) {
		double kib = process_kib();
		double again;

		aliases[0] = map_view(fd, &us[i]);
		writing[i] = write_pages((uint32_t)i + 1);
		taking[i] = process_kib() - kib;
		dropping[i] = now_us();
		munmap(aliases[0], asked.bytes);
		dropping[i] = now_us() - dropping[i];
		/* another, for nothing may be there yet */
		aliases[0] = map_view(fd, &again);
		reading[i] = read_pages(aliases[0], reads(), 0);
		munmap(aliases[0], asked.bytes);
	}
	add(median(us, NEIGHBOURS), "%.2f ");
	add(median(writing, NEIGHBOURS), "%.4f ");
	add_none(1);
	add(median(reading, NEIGHBOURS), "%.4f ");
	add(WRITES, "%.0f ");
	add(median(taking, NEIGHBOURS), "%.2f ");
	add(median(taking, NEIGHBOURS) * 1024 / (WRITES * PAGE_BYTES), "%.4f ");
	add_none((LEVELS - 1) * 7);
	add(median(dropping, NEIGHBOURS), "%.4f ");
	puts(line);
}
