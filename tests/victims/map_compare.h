/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry's regions compared with the kernel's list of VMAs, stretch by
 * stretch, for a victim that looks at itself.  What is anonymous is decided
 * here once more, not by the shim's own code.
 */
#ifndef ANONSHIM_TESTS_MAP_COMPARE_H
#define ANONSHIM_TESTS_MAP_COMPARE_H

#include "registry_look.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RANGES_MAX 65536
#define NAME_BYTES 128
#define DIFFERENCES_SHOWN 20
#define COMPARE_PAGE 4096

struct range {
	uintptr_t start;
	uintptr_t end;
	char name[NAME_BYTES]; /* "": none */
	bool named;	       /* whether the name counts */
};

static struct range of_kernel[RANGES_MAX];
static struct range of_registry[RANGES_MAX];
static char maps_text[RANGES_MAX * 128];

/* ---- what the kernel says ---- */

static size_t maps_read(void)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	while ((n = read(fd, maps_text + used, sizeof(maps_text) - 1 - used)) >
	       0)
		used += (size_t)n;
	close(fd);
	maps_text[used] = '\0';
	return used;
}

/* The name of an anonymous mapping; NULL where NAME is of something else. */
static const char *anonymous_name(const char *name, unsigned long inode,
				  bool shared)
{
	if (!inode && !*name)
		return "";
	if (!inode && !strcmp(name, "[heap]"))
		return "";
	if (!inode && !strncmp(name, "[anon:", 6))
		return name + 6;
	if (shared && !strncmp(name, "[anon_shmem:", 12))
		return name + 12;
	return shared && !strcmp(name, "/dev/zero (deleted)") ? "" : NULL;
}

static bool line_parse(const char *line, struct range *r)
{
	char path[512] = "";
	char perms[8];
	unsigned long inode;
	const char *name;

	if (sscanf(line, "%lx-%lx %7s %*x %*s %lu %511[^\n]", &r->start,
		   &r->end, perms, &inode, path) < 4)
		return false;
	name = anonymous_name(path, inode, perms[3] == 's');
	if (!name)
		return false;
	snprintf(r->name, sizeof(r->name), "%.*s", NAME_BYTES - 1, name);
	if (*r->name && r->name[strlen(r->name) - 1] == ']')
		r->name[strlen(r->name) - 1] = '\0';
	r->named = strcmp(path, "[heap]") != 0;
	return true;
}

static size_t kernel_ranges(void)
{
	size_t n = 0;
	char *line = maps_text;

	maps_read();
	while (*line && n < RANGES_MAX) {
		char *end = line + strcspn(line, "\n");
		char *next = end + (*end == '\n');

		*end = '\0';
		n += line_parse(line, &of_kernel[n]);
		line = next;
	}
	return n;
}

/* ---- what the registry says ---- */

static int by_start(const void *a, const void *b)
{
	const struct range *x = a;
	const struct range *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static size_t registry_ranges(void)
{
	size_t n = 0;

	for (uint64_t i = 1; i < head->table[REGISTRY_REGIONS].count; i++) {
		struct registry_region *r = element(REGISTRY_REGIONS, i);
		struct registry_site *site;
		uint32_t name;

		if (r->start == r->end || n == RANGES_MAX)
			continue;
		site = element(REGISTRY_SITES, r->site);
		name = r->own_name ? r->own_name : site->name;
		of_registry[n].start = r->start;
		of_registry[n].end = r->end;
		of_registry[n].named = !(r->flags & REGION_BRK);
		snprintf(of_registry[n].name, NAME_BYTES, "%s",
			 (char *)element(REGISTRY_STRINGS, name));
		n++;
	}
	qsort(of_registry, n, sizeof(of_registry[0]), by_start);
	return n;
}

/* ---- the comparison ---- */

static unsigned differences;

static void differ(const char *what, uintptr_t start, uintptr_t end,
		   const char *kernel, const char *registry)
{
	if (differences++ < DIFFERENCES_SHOWN)
		printf("  %012lx-%012lx %6lu pages: %s%s%s%s%s\n", start, end,
		       (end - start) / COMPARE_PAGE, what,
		       kernel ? "; kernel: " : "", kernel ? kernel : "",
		       registry ? "; registry: " : "",
		       registry ? registry : "");
}

/* Compare one stretch in which neither list begins or ends a range. */
static void compare_stretch(uintptr_t start, uintptr_t end,
			    const struct range *k, const struct range *r)
{
	if (k && !r)
		differ("mapped, not in the registry", start, end, k->name,
		       NULL);
	else if (r && !k)
		differ("in the registry, not mapped", start, end, NULL,
		       r->name);
	else if (k && r && head->flags & REGISTRY_NAMES_KERNEL && k->named &&
		 r->named && strcmp(k->name, r->name) != 0)
		differ("another name", start, end, k->name, r->name);
}

static void compare(size_t nk, size_t nr)
{
	size_t k = 0;
	size_t r = 0;
	uintptr_t at = 0;

	while (k < nk || r < nr) {
		const struct range *a = k < nk ? &of_kernel[k] : NULL;
		const struct range *b = r < nr ? &of_registry[r] : NULL;
		uintptr_t stop = UINTPTR_MAX;

		if (a)
			stop = at < a->start ? a->start : a->end;
		if (b && (at < b->start ? b->start : b->end) < stop)
			stop = at < b->start ? b->start : b->end;
		compare_stretch(at, stop, a && at >= a->start ? a : NULL,
				b && at >= b->start ? b : NULL);
		at = stop;
		k += a && a->end <= at;
		r += b && b->end <= at;
	}
}

/* A resync would hide what was recorded wrongly before it. */
static void check_counters(size_t nregions)
{
	const struct registry_counters *c = &head->counters;

	if (c->resyncs || head->flags & REGISTRY_INEXACT)
		printf("  %lu resyncs, inexact: %s\n", c->resyncs,
		       head->flags & REGISTRY_INEXACT ? "yes" : "no");
	if (c->regions != nregions)
		printf("  %lu regions counted, %zu there\n", c->regions,
		       nregions);
	if (head->generation % 2)
		printf("  generation %lu is odd at rest\n", head->generation);
	differences += c->resyncs || c->regions != nregions ||
		       head->flags & REGISTRY_INEXACT || head->generation % 2;
}

#endif
