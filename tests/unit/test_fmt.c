/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatting into a fixed buffer.
 */
#include "base/fmt.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

Test(fmt, numbers_as_printf_writes_them)
{
	static const uint64_t values[] = {
		0, 1, 9, 10, 255, 4096, UINT32_MAX, INT64_MAX, UINT64_MAX};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char want[64];
		char have[64];
		struct fmt f;

		snprintf(want, sizeof(want), "%" PRIu64 "/%" PRIx64, values[i],
			 values[i]);
		fmt_init(&f, have, sizeof(have));
		fmt_u64(&f, values[i]);
		fmt_char(&f, '/');
		fmt_hex(&f, values[i]);
		cr_assert_str_eq(have, want);
		cr_assert_eq(f.len, strlen(want));
		cr_assert(!f.truncated);
	}
}

Test(fmt, text_past_the_end_is_dropped_and_told)
{
	char buf[8];
	struct fmt f;

	memset(buf, 'x', sizeof(buf));
	fmt_init(&f, buf, 5);
	fmt_str(&f, NULL);
	fmt_str(&f, "abcd");
	cr_assert(!f.truncated);
	fmt_char(&f, 'e');
	cr_assert(f.truncated);
	fmt_u64(&f, 12345);
	cr_assert_str_eq(buf, "abcd");
	cr_assert_eq(buf[5], 'x', "nothing past the buffer is touched");
}

Test(fmt, smallest_buffer_holds_the_nul)
{
	char buf[1] = {'x'};
	struct fmt f;

	fmt_init(&f, buf, 1);
	fmt_str(&f, "y");
	cr_assert_eq(buf[0], '\0');
	cr_assert(f.truncated);
}

Test(fmt, errno_texts)
{
	char buf[64];
	struct fmt f;

	fmt_init(&f, buf, sizeof(buf));
	fmt_errno(&f, ENOENT);
	cr_assert_str_eq(buf, " no such file or directory");
	fmt_init(&f, buf, sizeof(buf));
	fmt_errno(&f, 4001);
	cr_assert_str_eq(buf, " errno 4001");
}

static int parse(const char *text, unsigned base, uint64_t *value, size_t *used)
{
	const char *p = text;
	int result = fmt_parse_u64(&p, text + strlen(text), base, value);

	*used = (size_t)(p - text);
	return result;
}

Test(fmt, parse_takes_what_is_a_number_and_stops)
{
	uint64_t v = 0;
	size_t used;

	cr_assert_eq(parse("123K", 10, &v, &used), 0);
	cr_assert(v == 123 && used == 3);
	cr_assert_eq(parse("7fFf-", 16, &v, &used), 0);
	cr_assert(v == 0x7fff && used == 4);
	cr_assert_eq(parse("18446744073709551615", 10, &v, &used), 0);
	cr_assert_eq(v, UINT64_MAX);
	cr_assert_eq(parse("ffffffffffffffff", 16, &v, &used), 0);
	cr_assert_eq(v, UINT64_MAX);
}

Test(fmt, parse_refuses_the_rest)
{
	static const char *const bad[] = {"",
					  "x",
					  "-1",
					  " 1",
					  "18446744073709551616",
					  "99999999999999999999999"};
	uint64_t v = 77;
	size_t used;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cr_assert_eq(parse(bad[i], 10, &v, &used), -EINVAL, "%s",
			     bad[i]);
		cr_assert_eq(used, 0, "%s: text not moved", bad[i]);
		cr_assert_eq(v, 77);
	}
	cr_assert_eq(parse("a", 10, &v, &used), -EINVAL);
	cr_assert_eq(parse("10000000000000000", 16, &v, &used), -EINVAL);
}
