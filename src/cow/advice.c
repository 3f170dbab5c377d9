/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What madvise(2) said of mappings, out of /proc/self/smaps; see plan.h.
 */
#include "cow/plan.h"

#include "base/procmaps.h"
#include "base/sys.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#define BUF_BYTES 2048

static const struct {
	char word[3];
	int advice;
	uint32_t bit;
} words[] = {
	{"hg", MADV_HUGEPAGE, COW_HUGE},
	{"nh", MADV_NOHUGEPAGE, COW_NO_HUGE},
	{"dd", MADV_DONTDUMP, COW_NO_DUMP},
	{"rr", MADV_RANDOM, COW_RANDOM},
	{"sr", MADV_SEQUENTIAL, COW_SEQUENTIAL},
};

#define WORDS (sizeof(words) / sizeof(words[0]))

static struct cow_map *map_starting_at(const struct cow_plan *plan,
				       uintptr_t start)
{
	for (size_t i = 0; i < plan->maps.n; i++)
		if (COW_MAP(plan, i)->start == start)
			return COW_MAP(plan, i);
	return NULL;
}

/* "VmFlags: rd wr sh mr mw me ms hg" */
static uint32_t flags_of(const char *line, size_t len)
{
	uint32_t advice = 0;

	for (size_t at = sizeof("VmFlags: ") - 1; at + 2 <= len; at += 3)
		for (size_t i = 0; i < WORDS; i++)
			if (!memcmp(line + at, words[i].word, 2))
				advice |= words[i].bit;
	return advice;
}

static void line_read(const struct cow_plan *plan, const char *line, size_t len,
		      struct cow_map **current)
{
	struct procmap_vma vma;

	if (len > 9 && !memcmp(line, "VmFlags: ", 9)) {
		if (*current)
			(*current)->advice = flags_of(line, len);
		return;
	}
	/* "Rss: 4 kB" and the like begin with a capital */
	if (*line < 'A' || *line > 'Z')
		if (!procmaps_parse(line, line + len, &vma))
			*current = map_starting_at(plan, vma.start);
}

void cow_advice_read(struct cow_plan *plan)
{
	struct cow_map *current = NULL;
	char buf[BUF_BYTES];
	size_t kept = 0;
	long fd = sys_open("/proc/self/smaps", O_RDONLY, 0);
	long n;

	if (sys_failed(fd))
		return;
	while ((n = sys_read((int)fd, buf + kept, sizeof(buf) - kept)) > 0) {
		char *line = buf;
		char *end = buf + kept + (size_t)n;
		char *stop;

		while ((stop = memchr(line, '\n', (size_t)(end - line)))) {
			line_read(plan, line, (size_t)(stop - line), &current);
			line = stop + 1;
		}
		kept = (size_t)(end - line);
		if (kept == sizeof(buf))
			kept = 0; /* a path without end */
		memmove(buf, line, kept);
	}
	sys_close((int)fd);
}

void cow_advise(const struct cow_map *m)
{
	for (size_t i = 0; i < WORDS; i++)
		if (m->advice & words[i].bit)
			sys_madvise((void *)m->start, m->end - m->start,
				    words[i].advice);
}
