/* SPDX-License-Identifier: BSD-2-Clause */
/* Sums of memory by owner, site, kind or name. */
#ifndef ANONSHIM_TOOL_ROWS_H
#define ANONSHIM_TOOL_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool/label.h"

enum rows_by { ROWS_BY_OWNER, ROWS_BY_SITE, ROWS_BY_KIND, ROWS_BY_NAME };

struct amounts {
	uint64_t rss_kib;
	uint64_t pss_kib;
	uint64_t swap_kib;
	uint64_t size_kib;
	uint64_t vmas; /* VMAs, or parts of one */
};

struct row {
	struct label label; /* what the rows are not by is "" */
	struct amounts sum;
	uint64_t anon_kib; /* RSS of anonymous VMAs among it */
};

struct rows {
	enum rows_by by;
	struct row *row;
	size_t count;
	size_t cap;
	size_t *slot; /* 1 + index of a row, 0 free; open addressing */
	size_t nslots;
};

void rows_init(struct rows *rows, enum rows_by by);
void rows_destroy(struct rows *rows);

/* Adds memory under its label, to the row it belongs to. */
void rows_add(struct rows *rows, const struct label *label,
	      const struct amounts *amounts, bool anonymous);

/* Most resident first, then most swapped, then largest, then by label. */
void rows_sort(struct rows *rows);

void amounts_add(struct amounts *sum, const struct amounts *more);

#endif
