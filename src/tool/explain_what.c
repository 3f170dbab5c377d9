/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a name or an address is: the parts of memory that match, put together
 * by label, each label with its figures, its ranges and the call stacks of its
 * sites.
 */
#include "tool/explain.h"

#include <stdlib.h>
#include <string.h>

#include "tool/alias_print.h"
#include "tool/callstack.h"
#include "tool/cli.h"
#include "tool/explain_heap.h"
#include "tool/heap_live.h"
#include "tool/mem.h"
#include "tool/text.h"

#define MOST_RANGES 16 /* printed a label; how many more are there is told */
#define MOST_STACKS 8

/* How a name matches: the tightest way that finds anything is taken. */
enum match { MATCH_ADDRESS, MATCH_WHOLE, MATCH_PART };

struct search {
	enum match match;
	uint64_t addr;
	char *name; /* without [anon: and ] */
	struct part *part;
	size_t count;
	size_t cap;
	struct explain_account *account; /* room for all */
	size_t naccounts;
	uint64_t *live; /* bytes, by arena */
};

static bool is_whole(const struct label *label, const char *name)
{
	return strcmp(label->name, name) == 0 ||
	       strcmp(label->owner, name) == 0 ||
	       strcmp(label->site, name) == 0;
}

static bool label_matches(const struct search *search,
			  const struct label *label)
{
	if (search->match == MATCH_WHOLE)
		return is_whole(label, search->name);
	return search->match == MATCH_PART &&
	       (strstr(label->name, search->name) != NULL ||
		strstr(label->site, search->name) != NULL);
}

static bool matches(const struct search *search, const struct part *part)
{
	if (search->match != MATCH_ADDRESS)
		return label_matches(search, &part->label);
	return part->start <= search->addr && search->addr < part->end;
}

static void keep_match(const struct part *part, void *arg)
{
	struct search *search = arg;

	if (!matches(search, part))
		return;
	search->part = mem_grow(search->part, search->count, &search->cap,
				sizeof(*part));
	search->part[search->count++] = *part;
}

/* Small owners have no memory of their own, but accounts. */
static void keep_accounts(struct search *search, struct subject *subject)
{
	const struct registry *reg = &subject->registry;

	for (uint64_t i = 0; i < reg->naccounts; i++) {
		const struct registry_account *account = &reg->accounts[i];
		struct explain_account *to =
			&search->account[search->naccounts];

		if (heap_live_account(account) == 0)
			continue;
		to->account = account;
		to->label =
			claim_label_of_account(reg, account, &subject->pool);
		if (label_matches(search, &to->label))
			search->naccounts++;
	}
}

static size_t find_matches(struct search *search, struct subject *subject)
{
	subject_attribute(subject, keep_match, search);
	keep_accounts(search, subject);
	return search->count + search->naccounts;
}

/* `[anon:NAME]` as smaps shows it is NAME. */
static char *bare_name(const char *what)
{
	static const char *const openings[] = {"[anon:", "[anon_shmem:"};
	char *name = mem_strdup(what);
	size_t len = strlen(name);

	for (size_t i = 0; i < 2; i++) {
		size_t skip = strlen(openings[i]);

		if (strncmp(what, openings[i], skip) != 0 || len <= skip ||
		    name[len - 1] != ']')
			continue;
		name[len - 1] = '\0';
		memmove(name, name + skip, len - skip);
		break;
	}
	return name;
}

/* Parts of one label stand together, in address order. */
static int by_label(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	int order = strcmp(x->label.owner, y->label.owner);

	if (order == 0)
		order = strcmp(x->label.name, y->label.name);
	if (order == 0)
		order = strcmp(x->label.site, y->label.site);
	if (order == 0)
		order = strcmp(x->label.kind, y->label.kind);
	if (order == 0)
		order = x->start < y->start ? -1 : x->start > y->start;
	return order;
}

static void print_figures(const struct subject *subject,
			  const struct part *part, size_t n, FILE *to)
{
	struct amounts sum = {0};
	char size[4][TEXT_HUMAN_BYTES];

	for (size_t i = 0; i < n; i++)
		amounts_add(&sum, &part[i].amounts);
	text_human(size[0], sum.rss_kib);
	text_human(size[1], sum.pss_kib);
	text_human(size[2], sum.swap_kib);
	text_human(size[3], sum.size_kib);
	if (subject->core != NULL)
		fprintf(to, "  memory    dumped %s", size[0]);
	else
		fprintf(to, "  memory    resident %s, PSS %s, swap %s", size[0],
			size[1], size[2]);
	fprintf(to, ", mapped %s in %llu %s\n", size[3],
		(unsigned long long)sum.vmas, sum.vmas == 1 ? "VMA" : "VMAs");
}

static void print_range(uint64_t start, uint64_t end, FILE *to)
{
	char size[TEXT_HUMAN_BYTES];

	fprintf(to, "%llx-%llx %s", (unsigned long long)start,
		(unsigned long long)end,
		text_human(size, (end - start) / 1024));
}

static void print_part(const struct part *part, FILE *to)
{
	const struct vma *vma = part->vma;
	bool whole = part->start == vma->start && part->end == vma->end;

	fputs("    ", to);
	print_range(part->start, part->end, to);
	fprintf(to, " %s", vma->perms);
	if (!whole) {
		fputs(", of VMA ", to);
		print_range(vma->start, vma->end, to);
	}
	if (vma->name[0] != '\0') {
		fputc(' ', to);
		text_put(to, vma->name);
	}
	fputc('\n', to);
}

static void print_parts(const struct part *part, size_t n, FILE *to)
{
	fputs("  ranges\n", to);
	for (size_t i = 0; i < n && i < MOST_RANGES; i++)
		print_part(&part[i], to);
	if (n > MOST_RANGES)
		fprintf(to,
			"    and %zu more; anonshim explain PID lists all\n",
			n - MOST_RANGES);
}

static void print_region(const struct registry_region *region, FILE *to)
{
	char flags[64];

	explain_flags(region->flags, flags, sizeof(flags));
	fputs("  region    ", to);
	print_range(region->start, region->end, to);
	fprintf(to, ", flags %s", flags);
	if (region->tid != 0)
		fprintf(to, ", thread %u", region->tid);
	fputc('\n', to);
}

/* How much of the parts comes from one site. */
struct site_use {
	uint32_t site;
	uint64_t regions;
	uint64_t bytes;
};

struct site_uses {
	struct site_use *use;
	size_t count;
	size_t cap;
};

static void add_use(struct site_uses *uses, uint32_t site, uint64_t bytes)
{
	size_t i = 0;

	while (i < uses->count && uses->use[i].site != site)
		i++;
	if (i == uses->count) {
		uses->use = mem_grow(uses->use, uses->count, &uses->cap,
				     sizeof(*uses->use));
		uses->use[uses->count++] = (struct site_use){site, 0, 0};
	}
	uses->use[i].regions++;
	uses->use[i].bytes += bytes;
}

static void add_uses(struct site_uses *uses, const struct registry *reg,
		     const struct part *part)
{
	uint64_t at = part->start;

	while (at < part->end) {
		const struct registry_region *region = registry_find(reg, at);
		uint64_t end;

		if (region == NULL)
			break;
		end = region->end < part->end ? region->end : part->end;
		if (region->site != 0)
			add_use(uses, region->site, end - at);
		at = end;
	}
}

static int most_bytes_first(const void *a, const void *b)
{
	const struct site_use *x = a, *y = b;

	return x->bytes > y->bytes ? -1 : x->bytes < y->bytes;
}

static void print_stacks(struct callstack *stack, const struct part *part,
			 size_t n, FILE *to)
{
	const struct registry *reg = &stack->subject->registry;
	struct site_uses uses = {NULL, 0, 0};
	char size[TEXT_HUMAN_BYTES];

	for (size_t i = 0; i < n; i++)
		if (part[i].claimed)
			add_uses(&uses, reg, &part[i]);
	if (uses.count > 0)
		qsort(uses.use, uses.count, sizeof(*uses.use),
		      most_bytes_first);
	for (size_t i = 0; i < uses.count && i < MOST_STACKS; i++) {
		const struct registry_site *site =
			&reg->sites[uses.use[i].site];

		if (site->nframes == 0)
			continue;
		fprintf(to, "  call stack of %s in %llu %s\n",
			text_human(size, uses.use[i].bytes / 1024),
			(unsigned long long)uses.use[i].regions,
			uses.use[i].regions == 1 ? "region" : "regions");
		callstack_print(stack, site, to);
	}
	if (uses.count > MOST_STACKS)
		fprintf(to, "  and %zu more call stacks\n",
			uses.count - MOST_STACKS);
	free(uses.use);
}

/* What only an address leads to: the region and the object there. */
static void print_at(struct subject *subject, uint64_t addr, FILE *to)
{
	const struct registry_region *region =
		registry_find(&subject->registry, addr);
	const struct alias_group *group;
	struct alias_groups groups;

	if (region != NULL)
		print_region(region, to);
	alias_groups_make(&groups, subject);
	group = alias_groups_find(&groups, addr);
	if (group != NULL)
		alias_print_group(group, to);
	alias_groups_destroy(&groups);
}

/* Parts [part, part + n) have one label. */
static void print_label(struct subject *subject, struct callstack *stack,
			const struct search *search, const struct part *part,
			size_t n, FILE *to)
{
	const struct label *label = &part->label;

	text_put(to, label->name[0] != '\0' ? label->name : label->owner);
	fputc('\n', to);
	explain_field(to, "owner", label->owner);
	explain_field(to, "kind", label->kind);
	explain_field(to, "site", label->site);
	print_figures(subject, part, n, to);
	if (search->match == MATCH_ADDRESS && subject->has_registry)
		print_at(subject, search->addr, to);
	explain_arenas(subject, search->live, part, n, to);
	print_parts(part, n, to);
	if (subject->has_registry)
		print_stacks(stack, part, n, to);
}

static void print_all(struct subject *subject, struct search *search, FILE *to)
{
	struct callstack stack;
	size_t first = 0;

	if (search->count > 0)
		qsort(search->part, search->count, sizeof(*search->part),
		      by_label);
	if (subject->has_registry)
		callstack_init(&stack, subject);
	for (size_t i = 1; i <= search->count; i++) {
		if (i < search->count &&
		    label_equal(&search->part[i].label,
				&search->part[first].label))
			continue;
		fputs(first > 0 ? "\n" : "", to);
		print_label(subject, &stack, search, &search->part[first],
			    i - first, to);
		first = i;
	}
	if (search->naccounts > 0) {
		fputs(search->count > 0 ? "\n" : "", to);
		explain_accounts(&stack, search->account, search->naccounts,
				 to);
	}
	if (subject->has_registry)
		callstack_destroy(&stack);
}

bool explain_what(struct subject *subject, const char *what, FILE *to)
{
	const struct registry *reg = &subject->registry;
	struct search search = {
		.match = MATCH_WHOLE,
		.account =
			mem_zalloc(reg->naccounts + 1, sizeof(*search.account)),
		.live = heap_live_bytes(reg),
	};
	bool found;

	/* A short word of hexadecimal digits may be a name: `cafe`. */
	if (cli_parse_addr(what, &search.addr) &&
	    (strncmp(what, "0x", 2) == 0 || strlen(what) >= 8))
		search.match = MATCH_ADDRESS;
	search.name = bare_name(what);
	found = find_matches(&search, subject) > 0;
	if (!found && search.match == MATCH_WHOLE) {
		search.match = MATCH_PART;
		found = find_matches(&search, subject) > 0;
	}
	if (found)
		print_all(subject, &search, to);
	free(search.name);
	free(search.part);
	free(search.account);
	free(search.live);
	return found;
}
