/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Size classes; see class.h.  Four to a doubling, as jemalloc has them.
 */
#include "heap/class.h"

uint8_t class_fine[CLASS_FINE_BYTES / CLASS_FINE_STEP + 1];
uint8_t class_coarse[CLASS_MAX_BYTES / CLASS_COARSE_STEP + 1];
uint32_t class_bytes[HEAP_CLASSES];

/* The size that follows BYTES: steps of 16 up to 128, then of a quarter. */
static uint32_t class_next(uint32_t bytes)
{
	uint32_t power = UINT32_C(1) << (31 - __builtin_clz(bytes));

	return bytes + (bytes < 64 ? 16 : power / 4);
}

static void fill(uint8_t *table, size_t entries, size_t step)
{
	uint8_t class = 1;

	for (size_t i = 0; i < entries; i++) {
		while (class_bytes[class] < i * step)
			class ++;
		table[i] = class;
	}
}

void class_init(void)
{
	uint32_t bytes = 16;

	for (unsigned class = 1; class < HEAP_CLASSES; class ++) {
		class_bytes[class] = bytes <= CLASS_MAX_BYTES ? bytes : 0;
		bytes = class_next(bytes);
	}
	fill(class_fine, sizeof(class_fine), CLASS_FINE_STEP);
	fill(class_coarse, sizeof(class_coarse), CLASS_COARSE_STEP);
}
