/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the library wants of string.h, for itself alone: its constructor runs
 * before a sanitizer that is linked into the program has found libc's, in whose
 * place it stands, and memory that the program's own memcpy() would check may
 * be protected, or none of its.
 *
 * As C has them, safe in any context.  Of the program's own blocks libc's are
 * asked, which know more of the processor (env/real.h).
 */
#undef _FORTIFY_SOURCE
#include <emmintrin.h>
#include <stdint.h>
#include <string.h>

/* What the compiler makes of these loops is not to be these calls. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

#define AT_ONCE 64
#define MANY 2048 /* bytes, which the processor's own loop does faster */

typedef uint64_t __attribute__((aligned(1), may_alias)) word;
typedef uint32_t __attribute__((aligned(1), may_alias)) half;
typedef uint16_t __attribute__((aligned(1), may_alias)) quarter;

static __m128i load(const char *p)
{
	return _mm_loadu_si128((const __m128i *)p);
}

static void store(char *p, __m128i v)
{
	_mm_storeu_si128((__m128i *)p, v);
}

/* At most 16, which may overlap: all is read before anything is written. */
static void move_few(char *d, const char *s, size_t n)
{
	if (n >= 8) {
		uint64_t a = *(const word *)s;
		uint64_t b = *(const word *)(s + n - 8);

		*(word *)d = a;
		*(word *)(d + n - 8) = b;
	} else if (n >= 4) {
		uint32_t a = *(const half *)s;
		uint32_t b = *(const half *)(s + n - 4);

		*(half *)d = a;
		*(half *)(d + n - 4) = b;
	} else if (n >= 2) {
		uint16_t a = *(const quarter *)s;
		uint16_t b = *(const quarter *)(s + n - 2);

		*(quarter *)d = a;
		*(quarter *)(d + n - 2) = b;
	} else if (n) {
		*d = *s;
	}
}

/* 17 to 64, likewise. */
static void move_some(char *d, const char *s, size_t n)
{
	__m128i a = load(s);
	__m128i z = load(s + n - 16);

	if (n > 32) {
		__m128i b = load(s + 16);
		__m128i y = load(s + n - 32);

		store(d + 16, b);
		store(d + n - 32, y);
	}
	store(d, a);
	store(d + n - 16, z);
}

static void move_block(char *d, const char *s)
{
	__m128i a = load(s);
	__m128i b = load(s + 16);
	__m128i c = load(s + 32);
	__m128i e = load(s + 48);

	store(d, a);
	store(d + 16, b);
	store(d + 32, c);
	store(d + 48, e);
}

/* More than 64, to below where they are or to elsewhere. */
static void move_up(char *d, const char *s, size_t n)
{
	__m128i last[4];
	char *end = d + n;

	for (int i = 0; i < 4; i++)
		last[i] = load(s + n - 16 * (4 - i));
	if (n >= MANY) {
		size_t words = n / 8;

		__asm__ volatile("rep movsq"
				 : "+D"(d), "+S"(s), "+c"(words)
				 :
				 : "memory");
	} else {
		for (; n > AT_ONCE; n -= AT_ONCE) {
			move_block(d, s);
			d += AT_ONCE;
			s += AT_ONCE;
		}
	}
	for (int i = 0; i < 4; i++)
		store(end - 16 * (4 - i), last[i]);
}

/* More than 64, to above where they are. */
static void move_down(char *d, const char *s, size_t n)
{
	__m128i first[4];

	for (int i = 0; i < 4; i++)
		first[i] = load(s + 16 * i);
	for (; n > AT_ONCE; n -= AT_ONCE)
		move_block(d + n - AT_ONCE, s + n - AT_ONCE);
	for (int i = 0; i < 4; i++)
		store(d + 16 * i, first[i]);
}

void *memmove(void *to, const void *from, size_t n)
{
	if (n <= 16)
		move_few(to, from, n);
	else if (n <= AT_ONCE)
		move_some(to, from, n);
	else if ((uintptr_t)to - (uintptr_t)from >= n)
		move_up(to, from, n);
	else
		move_down(to, from, n);
	return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
	return memmove(to, from, n);
}

/* Less than 16. */
static void set_few(char *d, uint64_t w, size_t n)
{
	if (n >= 8) {
		*(word *)d = w;
		*(word *)(d + n - 8) = w;
	} else if (n >= 4) {
		*(half *)d = (uint32_t)w;
		*(half *)(d + n - 4) = (uint32_t)w;
	} else if (n >= 2) {
		*(quarter *)d = (uint16_t)w;
		*(quarter *)(d + n - 2) = (uint16_t)w;
	} else if (n) {
		*d = (char)w;
	}
}

static void set_block(char *d, __m128i v)
{
	store(d, v);
	store(d + 16, v);
	store(d + 32, v);
	store(d + 48, v);
}

/* Few branches on N, which nobody can foretell: what is set may overlap. */
void *memset(void *to, int byte, size_t n)
{
	char *d = to;
	char *end = d + n;
	uint64_t w = UINT64_C(0x0101010101010101) * (unsigned char)byte;
	__m128i v = _mm_set1_epi8((char)byte);

	if (n < 16) {
		set_few(d, w, n);
	} else if (n <= AT_ONCE) {
		size_t half_way = n > 32 ? 16 : 0;

		store(d, v);
		store(d + half_way, v);
		store(end - 16 - half_way, v);
		store(end - 16, v);
	} else {
		if (n >= MANY) {
			size_t words = n / 8;

			__asm__ volatile("rep stosq"
					 : "+D"(d), "+c"(words)
					 : "a"(w)
					 : "memory");
		} else {
			for (; end - d > AT_ONCE; d += AT_ONCE)
				set_block(d, v);
		}
		set_block(end - AT_ONCE, v);
	}
	return to;
}

/* The first of the N bytes AT that is BYTE; N: none is. */
static size_t find(const unsigned char *at, unsigned char byte, size_t n)
{
	__m128i wanted = _mm_set1_epi8((char)byte);
	size_t i = 0;

	for (; n - i >= 16; i += 16) {
		__m128i same =
			_mm_cmpeq_epi8(load((const char *)at + i), wanted);
		int bits = _mm_movemask_epi8(same);

		if (bits)
			return i + (size_t)__builtin_ctz((unsigned)bits);
	}
	while (i < n && at[i] != byte)
		i++;
	return i;
}

void *memchr(const void *at, int byte, size_t n)
{
	size_t i = find(at, (unsigned char)byte, n);

	return i < n ? (char *)at + i : NULL;
}

int memcmp(const void *left, const void *right, size_t n)
{
	const unsigned char *a = left;
	const unsigned char *b = right;
	size_t i = 0;

	while (n - i >= 8 && *(const word *)(a + i) == *(const word *)(b + i))
		i += 8;
	while (i < n && a[i] == b[i])
		i++;
	return i < n ? a[i] - b[i] : 0;
}

size_t strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

size_t strnlen(const char *s, size_t most)
{
	size_t n = 0;

	while (n < most && s[n])
		n++;
	return n;
}

int strncmp(const char *left, const char *right, size_t n)
{
	const unsigned char *a = (const unsigned char *)left;
	const unsigned char *b = (const unsigned char *)right;
	size_t i = 0;

	while (i < n && a[i] == b[i] && a[i])
		i++;
	return i < n ? a[i] - b[i] : 0;
}

int strcmp(const char *left, const char *right)
{
	return strncmp(left, right, SIZE_MAX);
}

char *strchrnul(const char *s, int c)
{
	while (*s && *s != (char)c)
		s++;
	return (char *)s;
}

char *strchr(const char *s, int c)
{
	s = strchrnul(s, c);
	return *s == (char)c ? (char *)s : NULL;
}

char *strrchr(const char *s, int c)
{
	const char *last = NULL;

	do {
		if (*s == (char)c)
			last = s;
	} while (*s++);
	return (char *)last;
}

size_t strcspn(const char *s, const char *stops)
{
	size_t n = 0;

	while (s[n] && !strchr(stops, s[n]))
		n++;
	return n;
}

size_t strspn(const char *s, const char *wanted)
{
	size_t n = 0;

	while (s[n] && strchr(wanted, s[n]))
		n++;
	return n;
}

char *strstr(const char *s, const char *what)
{
	size_t len = strlen(what);

	for (;; s++) {
		if (!len || (*s == *what && !strncmp(s, what, len)))
			return (char *)s;
		if (!*s)
			return NULL;
	}
}

char *strcpy(char *restrict to, const char *restrict from)
{
	memcpy(to, from, strlen(from) + 1);
	return to;
}

char *strncpy(char *restrict to, const char *restrict from, size_t n)
{
	size_t len = strnlen(from, n);

	memcpy(to, from, len);
	memset(to + len, 0, n - len);
	return to;
}
