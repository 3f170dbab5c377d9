/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_many N MIB PAGES [SAMPLE]: N snapshots of a region of MIB, with
 * PAGES pages written between each and the next, under the limits that a
 * process has by default.  Of each, what was written before it and SAMPLE other
 * pages read as they did; what is held is what was written, once; and all of it
 * goes, whatever the order.
 */
#include "snapshot_help.h"

#include <sys/resource.h>

#define DESCRIPTORS 1024
#define VMAS_MOST 200 /* of the program and the shim, whatever N */
#define SLACK_KIB 1024

static uint64_t n, pages, writes, sample;
static volatile uint64_t *alias[2];
static uint64_t *id;
static uint32_t *last; /* the step that wrote a page last, by page */

static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* The Ith page that step STEP writes. */
static size_t page_of(uint64_t step, uint64_t i)
{
	return mix(step << 20 | i) % pages;
}

static uint64_t value(size_t page, uint32_t step)
{
	return (uint64_t)page << 32 | step;
}

static void write_step(uint32_t step)
{
	for (uint64_t i = 0; i < writes; i++) {
		size_t page = page_of(step, i);

		last[page] = step;
		page_put(alias[i & 1], page, value(page, step));
	}
}

/* A field of /proc/self/FILE, in KiB. */
static uint64_t kib(const char *file, const char *field)
{
	char path[32], line[256];
	uint64_t found = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/%s", file);
	f = fopen(path, "re");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, field, strlen(field)))
			found = strtoull(line + strlen(field), NULL, 10);
	fclose(f);
	return found;
}

static size_t count_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	size_t lines = 0;
	int c;

	CHECK(f);
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

/* Memory of this process: its pages, once each, and what leads to them. */
static uint64_t held(uint64_t *tables)
{
	*tables = kib("status", "VmPTE:");
	return kib("smaps_rollup", "Pss:");
}

static void look_back(uint32_t step)
{
	volatile uint64_t *v = view(id[step]);

	for (uint64_t i = 0; i < writes; i++) {
		size_t page = page_of(step, i);

		page_see(v, page, value(page, last[page]), "written");
	}
	for (uint64_t i = 0; i < sample; i++) {
		size_t page = mix((uint64_t)step << 21 | i) % pages;

		page_see(v, page, value(page, last[page]), "not written");
	}
	view_end(v);
}

/* What each wrote is written once more, in the record alone. */
static void look_back_all(void)
{
	memset(last, 0, pages * sizeof(*last));
	for (uint32_t step = 1; step <= n; step++) {
		for (uint64_t i = 0; i < writes; i++)
			last[page_of(step, i)] = step;
		look_back(step);
	}
}

static void drop_all(void)
{
	for (uint64_t left = n; left; left--) {
		uint64_t i = 1 + mix(left) % left;

		CHECK(!anonshim_snapshot_release(id[i]));
		id[i] = id[left];
	}
	nothing_is_held();
}

static void make(void)
{
	struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};
	void *one, *two = NULL;

	CHECK(!setrlimit(RLIMIT_NOFILE, &limit));
	CHECK(!anonshim_region_create(&one, pages * PAGE, 0, "many"));
	CHECK(!anonshim_region_alias(one, 0, 0, RW, &two));
	alias[0] = one;
	alias[1] = two;
	id = calloc(n + 1, sizeof(*id));
	last = calloc(pages, sizeof(*last));
	CHECK(id && last);
	for (size_t page = 0; page < pages; page++)
		page_put(alias[page & 1], page, value(page, 0));
	/* what is made once is made now */
	CHECK(!anonshim_snapshot_release(take(one)));
	for (size_t page = 0; page < pages; page++)
		page_put(alias[page & 1], page, value(page, 0));
	memset(id, 1, (n + 1) * sizeof(*id));
}

int main(int argc, char **argv)
{
	uint64_t tables[3], kept[3], versions;
	size_t fds, maps;

	victim_begin();
	alarm(3 * LIFE_SECONDS);
	CHECK(argc >= 4);
	n = strtoull(argv[1], NULL, 10);
	pages = strtoull(argv[2], NULL, 10) << 20 >> 12;
	writes = strtoull(argv[3], NULL, 10);
	sample = argc > 4 ? strtoull(argv[4], NULL, 10) : 1000;
	make();
	fds = count_fds();
	kept[0] = held(&tables[0]);
	for (uint32_t step = 1; step <= n; step++) {
		write_step(step);
		id[step] = take(alias[step & 1]);
	}
	write_step((uint32_t)n + 1);
	kept[1] = held(&tables[1]);
	versions = stats_now().saved_bytes >> 10;
	maps = count_maps();
	if (count_fds() != fds)
		wrong("%zu descriptors, not %zu", count_fds(), fds);
	if (maps > VMAS_MOST)
		wrong("%zu VMAs", maps);
	if (stats_now().snapshots != n || versions > n * writes * 4)
		wrong("%lu snapshots, %lu KiB saved", stats_now().snapshots,
		      versions);
	look_back_all();
	printf("written %lu KiB, saved %lu, held %lu, page tables %lu; %zu "
	       "VMAs, %zu descriptors\n",
	       n * writes * 4, versions, kept[1] - kept[0],
	       tables[1] - tables[0], maps, fds);
	if (kept[1] + tables[1] - kept[0] - tables[0] >
	    versions + versions / 20 + SLACK_KIB)
		wrong("%lu KiB held and %lu of page tables for %lu KiB",
		      kept[1] - kept[0], tables[1] - tables[0], versions);
	drop_all();
	kept[2] = held(&tables[2]);
	printf("after all: held %ld KiB, page tables %ld\n",
	       (long)(kept[2] - kept[0]), (long)(tables[2] - tables[0]));
	if (kept[2] > kept[0] + versions / 50 + SLACK_KIB)
		wrong("%lu KiB are still held", kept[2] - kept[0]);
	return 0;
}
