/* SPDX-License-Identifier: BSD-2-Clause */
/* The registry's regions beside the kernel's VMAs. */
#include "tool/explain.h"

#include <string.h>

#include "tool/table.h"
#include "tool/text.h"

static const struct table_column people[] = {
	{"START", "", true}, {"END", "", true},	   {"SIZE", "", true},
	{"RSS", "", true},   {"FLAGS", "", false}, {"NAME", "", false},
};

static const struct table_column scripts[] = {
	{"", "start", true},  {"", "end", true},	{"", "kind", false},
	{"", "flags", false}, {"", "site_name", false}, {"", "own_name", false},
};

#define COLUMNS(c) (sizeof(c) / sizeof((c)[0]))

void explain_flags(uint32_t flags, char *to, size_t bytes)
{
	static const struct {
		uint32_t flag;
		const char *word;
	} words[] = {
		{REGION_SHARED, "shared"},
		{REGION_EARLY, "early"},
		{REGION_OWN, "own"},
		{REGION_BRK, "brk"},
		{REGION_GROWSDOWN, "growsdown"},
	};
	size_t used = 0;

	snprintf(to, bytes, "-");
	for (size_t i = 0; i < COLUMNS(words) && used < bytes; i++)
		if ((flags & words[i].flag) != 0)
			used += (size_t)snprintf(to + used, bytes - used,
						 "%s%s", used > 0 ? "," : "",
						 words[i].word);
}

static void add_address(struct table *table, uint64_t addr)
{
	char text[24];

	snprintf(text, sizeof(text), "%llx", (unsigned long long)addr);
	table_text(table, text);
}

static const struct registry_site *site_of(const struct registry *reg,
					   const struct registry_region *region)
{
	static const struct registry_site none;

	return region->site < reg->nsites ? &reg->sites[region->site] : &none;
}

static void list_tsv(const struct registry *reg, FILE *to)
{
	struct table table;
	char flags[64];

	table_init(&table, scripts, COLUMNS(scripts));
	for (uint64_t i = 0; i < reg->nregions; i++) {
		const struct registry_region *region = &reg->regions[i];
		const struct registry_site *site = site_of(reg, region);
		const char *kind = registry_kind_word(site->kind);

		explain_flags(region->flags, flags, sizeof(flags));
		add_address(&table, region->start);
		add_address(&table, region->end);
		table_text(&table, kind[0] != '\0' ? kind : "-");
		table_text(&table, flags);
		table_text(&table, registry_string(reg, site->name));
		table_text(&table, registry_string(reg, region->own_name));
	}
	table_print_tsv(&table, to);
	table_destroy(&table);
}

static void add_vma(struct table *table, const struct vma *vma)
{
	add_address(table, vma->start);
	add_address(table, vma->end);
	table_size(table, vma_size_kib(vma));
	table_size(table, vma->rss_kib);
	table_text(table, vma->perms);
	table_text(table, vma->name);
}

static void add_region(struct table *table, const struct registry *reg,
		       const struct registry_region *region, bool mapped)
{
	const char *own = registry_string(reg, region->own_name);
	const char *name = registry_string(reg, site_of(reg, region)->name);
	char flags[64], text[512];

	explain_flags(region->flags, flags, sizeof(flags));
	snprintf(text, sizeof(text), "%s%s%s%s%s",
		 mapped ? "  - " : "  - (not in the kernel's map) ",
		 name[0] != '\0' ? name : "(no site)",
		 own[0] != '\0' ? ", named " : "", own,
		 region->tid != 0 ? ", thread " : "");
	if (region->tid != 0)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%u",
			 region->tid);
	add_address(table, region->start);
	add_address(table, region->end);
	table_size(table, (region->end - region->start) / 1024);
	table_text(table, "");
	table_text(table, flags);
	table_text(table, text);
}

/* Regions from *next on that start before `end`. */
static void add_regions(struct table *table, const struct subject *subject,
			uint64_t *next, uint64_t end)
{
	const struct registry *reg = &subject->registry;

	for (; *next < reg->nregions && reg->regions[*next].start < end;
	     (*next)++) {
		const struct registry_region *region = &reg->regions[*next];
		const struct vma *vma =
			vma_list_find(&subject->vmas, region->start);
		bool grows = (region->flags & REGION_GROWSDOWN) != 0;

		add_region(table, reg, region, vma != NULL || grows);
	}
}

void explain_list(const struct subject *subject, bool tsv, FILE *to)
{
	const struct vma_list *vmas = &subject->vmas;
	struct table table;
	uint64_t next = 0;

	if (tsv) {
		list_tsv(&subject->registry, to);
		return;
	}
	table_init(&table, people, COLUMNS(people));
	for (size_t i = 0; i < vmas->count; i++) {
		add_regions(&table, subject, &next, vmas->v[i].start);
		add_vma(&table, &vmas->v[i]);
		add_regions(&table, subject, &next, vmas->v[i].end);
	}
	add_regions(&table, subject, &next, UINT64_MAX);
	table_print(&table, to, table_wants_colour(to));
	table_destroy(&table);
}
