/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of small numbers; see bits.h.
 */
#include "base/bits.h"

uint64_t bit_next(const uint64_t *bits, uint64_t i, uint64_t n, bool value)
{
	while (i < n) {
		uint64_t word = value ? bits[i / 64] : ~bits[i / 64];

		word &= UINT64_MAX << i % 64;
		if (word) {
			i = i / 64 * 64 + (uint64_t)__builtin_ctzll(word);
			return i < n ? i : n;
		}
		i = (i / 64 + 1) * 64;
	}
	return n;
}

uint64_t bits_count(const uint64_t *bits, uint64_t n)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < (n + 63) / 64; i++)
		sum += (uint64_t)__builtin_popcountll(bits[i]);
	return sum;
}
