/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sets of bits against an array of booleans.
 */
#include "base/bits.h"

#include "support.h"

#include <criterion/criterion.h>
#include <string.h>

#define N 300
#define ROUNDS 2000

static bool model[N];
static uint64_t bits[(N + 63) / 64];

static unsigned below(unsigned n)
{
	static uint64_t state;

	return (unsigned)(draw(&state) % n);
}

static uint64_t model_next(uint64_t i, uint64_t n, bool value)
{
	while (i < n && model[i] != value)
		i++;
	return i < n ? i : n;
}

static void check(void)
{
	unsigned n = below(N + 1);
	uint64_t sum = 0;

	for (unsigned i = 0; i < N; i++) {
		cr_assert_eq(bit_get(bits, i), model[i], "bit %u", i);
		sum += model[i];
	}
	cr_assert_eq(bits_count(bits, N), sum);
	for (unsigned i = 0; i <= n; i++)
		for (int value = 0; value < 2; value++)
			cr_assert_eq(bit_next(bits, i, n, value),
				     model_next(i, n, value),
				     "from %u below %u, %d", i, n, value);
}

Test(bits, as_an_array)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned i = below(N);

		model[i] = below(2);
		if (model[i])
			bit_set(bits, i);
		else
			bit_clear(bits, i);
		check();
	}
}

Test(bits, bytes)
{
	cr_assert_eq(bits_bytes(0), 0);
	cr_assert_eq(bits_bytes(1), 8);
	cr_assert_eq(bits_bytes(64), 8);
	cr_assert_eq(bits_bytes(65), 16);
}
