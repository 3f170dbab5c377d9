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
	bool has_live;	   /* holds heap of the shim's */
	uint64_t live_bytes;
	bool estimate; /* a part of the sum is one */
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

/*
 * Adds memory under its label, to the row it belongs to.  The row, which the
 * next call may move.
 */
struct row *rows_add(struct rows *rows, const struct label *label,
		     const struct amounts *amounts, bool anonymous);

/* Adds live bytes of the heap, the same. */
void rows_add_live(struct rows *rows, const struct label *label,
		   uint64_t bytes);

/* Whether two labels belong to one row. */
bool rows_same(const struct rows *rows, const struct label *a,
	       const struct label *b);

/* Most resident first, then most swapped, then largest, then by label. */
void rows_sort(struct rows *rows);

/* Bytes to the nearest KiB. */
static inline uint64_t rows_live_kib(uint64_t bytes)
{
	return bytes / 1024 + (bytes % 1024 >= 512);
}

void amounts_add(struct amounts *sum, const struct amounts *more);

#endif
