/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shim's own string functions against libc's: any length, any offset, and
 * not a byte beyond, which is in a page that is not there.
 */
#include "support.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define BYTES 16384
#define TEXT 40

#define LIBC(name) ((__typeof__(&name))libc_function(#name))

static unsigned below(unsigned n)
{
	static uint64_t state;

	return (unsigned)(draw(&state) % n);
}

/* The BYTES before a page that is not there. */
static char *room(void)
{
	char *p = mmap(NULL, BYTES + 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(p, MAP_FAILED);
	cr_assert_eq(mprotect(p + BYTES, 4096, PROT_NONE), 0);
	return p;
}

/* All small ones, and a few large. */
static size_t length(unsigned i)
{
	return i < 300 ? i : 300 + below(BYTES / 2 - 300);
}

Test(string, what_is_moved_and_set)
{
	char *a = room();
	char *b = room();
	char *model = room();

	for (unsigned i = 0; i < 2000; i++) {
		size_t n = length(i % 400);
		size_t from = below(2) ? BYTES - n : below(BYTES / 2);
		size_t to = below(2) ? BYTES - n : below(BYTES / 2);

		for (size_t k = 0; k < BYTES; k++)
			a[k] = b[k] = model[k] = (char)below(256);
		switch (i / 400 % 5) {
		case 0:
			cr_assert_eq(memcpy(b + to, a + from, n), b + to);
			LIBC(memcpy)(model + to, a + from, n);
			break;
		case 1:
		case 2:
			if (below(2)) /* a little apart */
				to = from > n ? from - n / 3 : from;
			cr_assert_eq(memmove(b + to, b + from, n), b + to);
			LIBC(memmove)(model + to, model + from, n);
			break;
		case 3:
			cr_assert_eq(memset(b + to, (int)i, n), b + to);
			LIBC(memset)(model + to, (int)i, n);
			break;
		default:
			a[BYTES - 1 - n / 2] = 0;
			to = BYTES - n;
			cr_assert_eq(strncpy(b + to, a + BYTES - 1 - n, n),
				     b + to);
			LIBC(strncpy)(model + to, a + BYTES - 1 - n, n);
		}
		cr_assert_eq(LIBC(memcmp)(b, model, BYTES), 0, "round %u", i);
	}
}

/* A text of few letters that ends at its page's end, perhaps without a 0. */
static char *text(char *page, bool ended)
{
	size_t n = below(TEXT);
	char *s = page + BYTES - n - ended;

	for (size_t k = 0; k < n; k++)
		s[k] = "abcd\377"[below(4) ? below(2) : below(5)];
	if (ended)
		s[n] = 0;
	return s;
}

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

Test(string, what_is_compared_and_found)
{
	char *a = room();
	char *b = room();

	for (unsigned i = 0; i < 50000; i++) {
		const char *s = text(a, true);
		const char *t = text(b, true);
		const char few[] = {"abcd\377"[below(5)], "ab"[below(2)], 0};
		int c = below(8) ? few[0] : 0;
		size_t n = below(TEXT);

		cr_assert_eq(strlen(s), LIBC(strlen)(s));
		cr_assert_eq(strnlen(s, n), LIBC(strnlen)(s, n));
		cr_assert_eq(sign(strcmp(s, t)), sign(LIBC(strcmp)(s, t)));
		cr_assert_eq(sign(strncmp(s, t, n)),
			     sign(LIBC(strncmp)(s, t, n)));
		cr_assert_eq(strchr(s, c), LIBC(strchr)(s, c));
		cr_assert_eq(strchrnul(s, c), LIBC(strchrnul)(s, c));
		cr_assert_eq(strrchr(s, c), LIBC(strrchr)(s, c));
		cr_assert_eq(strspn(s, few), LIBC(strspn)(s, few));
		cr_assert_eq(strcspn(s, few), LIBC(strcspn)(s, few));
		cr_assert_eq(strstr(s, few), LIBC(strstr)(s, few));
		cr_assert_eq(strstr(s, t), LIBC(strstr)(s, t));
		s = text(a, false);
		t = text(b, false);
		n = (size_t)(a + BYTES - s);
		cr_assert_eq(memchr(s, c, n), LIBC(memchr)(s, c, n));
		if (n > (size_t)(b + BYTES - t))
			n = (size_t)(b + BYTES - t);
		cr_assert_eq(sign(memcmp(s, t, n)),
			     sign(LIBC(memcmp)(s, t, n)));
	}
}

Test(string, a_text_is_copied_whole)
{
	char *a = room();
	char to[TEXT + 1];

	for (unsigned i = 0; i < 1000; i++) {
		const char *s = text(a, true);

		cr_assert_eq(strcpy(to, s), to);
		cr_assert_eq(LIBC(strcmp)(to, s), 0);
	}
}
