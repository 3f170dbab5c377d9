/* SPDX-License-Identifier: BSD-2-Clause */
/* Alias groups for people and as JSON; see alias_print.h. */
#include "tool/alias_print.h"

#include <string.h>

#include "tool/text.h"

#define MOST_MAPPINGS 16 /* of a group; how many more there are is told */
#define TIME_BYTES 64
#define LAZY_KIB (16 << 10) /* more may be copied lazily */

/* What a fork copies in all. */
struct sum {
	uint64_t objects;
	uint64_t kib;
	bool at_least;
	uint64_t unknown;
};

static struct sum sum_up(const struct alias_groups *groups)
{
	struct sum sum = {0, 0, false, 0};

	for (size_t i = 0; i < groups->count; i++) {
		const struct alias_group *group = &groups->group[i];

		if (group->fork.fate == FORK_COPIED) {
			sum.objects++;
			sum.kib += alias_group_cost_kib(group);
			sum.at_least |= !group->has_held;
		}
		sum.unknown += group->fork.fate == FORK_UNKNOWN;
	}
	return sum;
}

/* For people ------------------------------------------------------------- */

static const char *time_text(char to[TIME_BYTES], uint64_t kib)
{
	double ms = fork_copy_ms(kib);

	/* where the kernel permits that, see copy= */
	const char *or_less = kib > LAZY_KIB ? ", less if it is lazy" : "";

	if (ms < 0.1)
		snprintf(to, TIME_BYTES, "less than 0.1 ms");
	else if (ms < 1000)
		snprintf(to, TIME_BYTES, "about %.1f ms%s", ms, or_less);
	else
		snprintf(to, TIME_BYTES, "about %.1f s%s", ms / 1000, or_less);
	return to;
}

static void print_cost(uint64_t kib, bool at_least, FILE *to)
{
	char size[TEXT_HUMAN_BYTES], time[TIME_BYTES];

	fprintf(to, "%s%s, %s", at_least ? "at least " : "",
		text_human(size, kib), time_text(time, kib));
}

static void print_what(const struct alias_group *group, FILE *to)
{
	static const char *const words[] = {
		[ALIAS_ANONYMOUS] = "shared anonymous memory",
		[ALIAS_MEMFD] = "memfd",
		[ALIAS_FILE] = "file",
		[ALIAS_UNKNOWN] = "an object without a name",
	};

	fputs(words[group->kind], to);
	if (group->name[0] != '\0') {
		fputc(' ', to);
		text_put(to, group->name);
	}
	fputs(", by ", to);
	text_put(to, group->label.owner);
	if (group->label.site[0] != '\0') {
		fputs(": ", to);
		text_put(to, group->label.site);
	}
}

static void print_sizes(const struct alias_group *group, FILE *to)
{
	char size[2][TEXT_HUMAN_BYTES];

	if (group->has_size)
		fprintf(to, "%s, ", text_human(size[0], group->size_kib));
	else
		fputs("of unknown size, ", to);
	if (!group->has_rss) {
		fputs("not known how much it held", to);
		return;
	}
	fprintf(to, "%s%s held", group->has_held ? "" : "at least ",
		text_human(size[1], alias_group_cost_kib(group)));
}

static void print_fate(const struct alias_group *group, FILE *to)
{
	static const char *const words[] = {
		[FORK_COPIED] = "a fork copies it",
		[FORK_SHARED] = "a fork shares it",
		[FORK_UNKNOWN] = "not known whether a fork copies it",
	};

	fputs(words[group->fork.fate], to);
	if (group->fork.fate != FORK_SHARED && group->has_rss) {
		fputs(", ", to);
		print_cost(alias_group_cost_kib(group), !group->has_held, to);
	}
	fputs(": ", to);
	fputs(group->fork.why, to);
}

static void print_mappings(const struct alias_group *group, FILE *to)
{
	char size[TEXT_HUMAN_BYTES];

	for (size_t i = 0; i < group->nvmas && i < MOST_MAPPINGS; i++) {
		const struct vma *vma = group->vma[i];

		fprintf(to, "    %llx-%llx %s %s, offset %llx\n",
			(unsigned long long)vma->start,
			(unsigned long long)vma->end,
			text_human(size, vma_size_kib(vma)), vma->perms,
			(unsigned long long)vma->offset);
	}
	if (group->nvmas > MOST_MAPPINGS)
		fprintf(to, "    and %zu more; --json lists all\n",
			group->nvmas - MOST_MAPPINGS);
}

static void print_sum(const struct alias_groups *groups, FILE *to)
{
	uint64_t most = groups->options.max_copy_bytes;
	struct sum sum = sum_up(groups);
	char size[TEXT_HUMAN_BYTES];

	if (groups->core)
		return;
	fputs("  a fork copies ", to);
	if (sum.objects == 0)
		fputs("nothing", to);
	else
		print_cost(sum.kib, sum.at_least, to);
	if (sum.unknown > 0)
		fprintf(to, ", not counting the %llu of which it is not known",
			(unsigned long long)sum.unknown);
	if (sum.kib > most / 1024)
		fprintf(to,
			"; that is more than max-copy, %s: it fails with "
			"ENOMEM",
			text_human(size, most / 1024));
	fputc('\n', to);
}

void alias_print_group(const struct alias_group *group, FILE *to)
{
	fputs("  aliases   of ", to);
	print_what(group, to);
	fputs("; ", to);
	print_sizes(group, to);
	fputs("\n  fork      ", to);
	print_fate(group, to);
	fputc('\n', to);
}

void alias_print(const struct alias_groups *groups, FILE *to)
{
	if (groups->count == 0)
		return;
	fputs("\nshared memory with aliases, or that a fork copies:\n", to);
	for (size_t i = 0; i < groups->count; i++) {
		const struct alias_group *group = &groups->group[i];

		fputs("  ", to);
		print_what(group, to);
		fputs("\n    ", to);
		print_sizes(group, to);
		fputs("\n    ", to);
		print_fate(group, to);
		fputc('\n', to);
		print_mappings(group, to);
	}
	print_sum(groups, to);
}

/* JSON -------------------------------------------------------------------- */

static void put_key(FILE *to, const char *key)
{
	text_put_json(to, key);
	fputs(": ", to);
}

static void put_string(FILE *to, const char *key, const char *value)
{
	put_key(to, key);
	text_put_json(to, value);
	fputs(", ", to);
}

static void put_number(FILE *to, const char *key, bool known, uint64_t value)
{
	put_key(to, key);
	if (known)
		fprintf(to, "%llu, ", (unsigned long long)value);
	else
		fputs("null, ", to);
}

static void put_bool(FILE *to, const char *key, bool value)
{
	put_key(to, key);
	fputs(value ? "true, " : "false, ", to);
}

static void put_ms(FILE *to, bool known, uint64_t kib)
{
	put_key(to, "copy_ms");
	if (known)
		fprintf(to, "%.3f, ", fork_copy_ms(kib));
	else
		fputs("null, ", to);
}

static void put_mapping(const struct vma *vma, FILE *to)
{
	fprintf(to,
		"{\"start\": \"%llx\", \"end\": \"%llx\", \"perms\": \"%s\", "
		"\"offset\": %llu, \"size_kib\": %llu, \"rss_kib\": %llu}",
		(unsigned long long)vma->start, (unsigned long long)vma->end,
		vma->perms, (unsigned long long)vma->offset,
		(unsigned long long)vma_size_kib(vma),
		(unsigned long long)vma->rss_kib);
}

/* A core file does not say which mappings are of one object. */
static void put_mappings(const struct alias_group *group, bool core, FILE *to)
{
	put_key(to, "mappings");
	if (core) {
		fputs("null", to);
		return;
	}
	fputc('[', to);
	for (size_t i = 0; i < group->nvmas; i++) {
		fputs(i > 0 ? ", " : "", to);
		put_mapping(group->vma[i], to);
	}
	fputc(']', to);
}

static void put_group(const struct alias_group *group, bool core, FILE *to)
{
	static const char *const objects[] = {
		[ALIAS_ANONYMOUS] = "anonymous",
		[ALIAS_MEMFD] = "memfd",
		[ALIAS_FILE] = "file",
		[ALIAS_UNKNOWN] = "unknown",
	};
	static const char *const fates[] = {"copied", "shared", "unknown"};
	uint64_t cost = alias_group_cost_kib(group);
	bool copied = group->fork.fate == FORK_COPIED;
	bool known = group->fork.fate != FORK_UNKNOWN && !core;

	put_string(to, "object", objects[group->kind]);
	put_string(to, "name", group->name);
	put_string(to, "owner", group->label.owner);
	put_string(to, "site", group->label.site);
	put_number(to, "size_kib", group->has_size, group->size_kib);
	put_number(to, "held_kib", group->has_held, group->held_kib);
	put_number(to, "rss_kib", group->has_rss, group->rss_kib);
	put_bool(to, "aliased", (group->flags & OBJECT_ALIASED) != 0);
	put_bool(to, "region", (group->flags & OBJECT_REGION) != 0);
	put_string(to, "fork", fates[group->fork.fate]);
	put_string(to, "why", group->fork.why);
	put_number(to, "copy_kib", known, copied ? cost : 0);
	put_ms(to, known, copied ? cost : 0);
	put_bool(to, "at_least", copied && !group->has_held);
	put_mappings(group, core, to);
}

void alias_print_json(const struct alias_groups *groups, FILE *to)
{
	struct sum sum = sum_up(groups);
	bool known = groups->known && !groups->core && sum.unknown == 0;

	fputs("  \"fork_copy\": {", to);
	put_number(to, "objects", known, sum.objects);
	put_number(to, "copy_kib", known, sum.kib);
	put_ms(to, known, sum.kib);
	put_bool(to, "at_least", sum.at_least);
	put_key(to, "max_copy_kib");
	if (groups->known && !groups->options.cut)
		fprintf(to, "%llu},\n",
			(unsigned long long)groups->options.max_copy_bytes /
				1024);
	else
		fputs("null},\n", to);
	fputs("  \"alias_groups\": ", to);
	if (!groups->known) {
		fputs("null\n", to);
		return;
	}
	fputc('[', to);
	for (size_t i = 0; i < groups->count; i++) {
		fputs(i > 0 ? ",\n    {" : "\n    {", to);
		put_group(&groups->group[i], groups->core, to);
		fputc('}', to);
	}
	fputs(groups->count > 0 ? "\n  ]\n" : "]\n", to);
}
