/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of small numbers, a bit each, in words of 64.
 *
 * Contract: bits beyond those in use are zero.
 */
#ifndef ANONSHIM_BASE_BITS_H
#define ANONSHIM_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that N bits take. */
static inline size_t bits_bytes(uint64_t n)
{
	return (n + 63) / 64 * sizeof(uint64_t);
}

static inline bool bit_get(const uint64_t *bits, uint64_t i)
{
	return bits[i / 64] >> i % 64 & 1;
}

static inline void bit_set(uint64_t *bits, uint64_t i)
{
	bits[i / 64] |= UINT64_C(1) << i % 64;
}

static inline void bit_clear(uint64_t *bits, uint64_t i)
{
	bits[i / 64] &= ~(UINT64_C(1) << i % 64);
}

/* The first bit from I on that is VALUE, below N; N: none is. */
uint64_t bit_next(const uint64_t *bits, uint64_t i, uint64_t n, bool value);

/* How many of the first N bits are set. */
uint64_t bits_count(const uint64_t *bits, uint64_t n);

#endif
