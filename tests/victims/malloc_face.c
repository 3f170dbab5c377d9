/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The malloc family as glibc's manual and its habits have it; what holds here
 * holds with and without the shim.  malloc_face [ours|xml]: `ours` wants the
 * family to be the shim's, `xml` only prints what malloc_info says.
 */
#include "victim.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (KIB * KIB)
#define GIB (KIB * MIB)
#define MARK 77 /* an errno that nobody sets */
#define MOST_HELD 4096

/* The compiler shall not know how large they are. */
static volatile size_t huge_sizes[] = {SIZE_MAX,
				       SIZE_MAX - 15,
				       SIZE_MAX - 4095,
				       SIZE_MAX - 2 * 4096,
				       SIZE_MAX / 2 + 1,
				       SIZE_MAX / 2,
				       SIZE_MAX / 2 - 4 * KIB};
#define HUGE_SIZES (sizeof(huge_sizes) / sizeof(huge_sizes[0]))

static void *held[MOST_HELD];

static bool aligned(const void *p, size_t alignment)
{
	return !((uintptr_t)p & (alignment - 1));
}

/* Sizes to try: every small one, then some of every magnitude. */
static size_t next_size(size_t size)
{
	return size < 4200 ? size + 1 : size + size / 5 + size % 7;
}

static unsigned char pattern(size_t at)
{
	return (unsigned char)(at * 131 + (at >> 8) * 7 + 3);
}

static void fill(void *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		((unsigned char *)p)[i] = pattern(i);
}

static bool filled(const void *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const unsigned char *)p)[i] != pattern(i))
			return false;
	return true;
}

static bool zero(const void *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (((const char *)p)[i])
			return false;
	return true;
}

/* ---- what every block is ---- */

static void nothing_asked(void)
{
	char *p = malloc(0);
	char *q = malloc(0);
	char *r = calloc(0, 8);
	char *s = calloc(8, 0);
	char *t = realloc(NULL, 0);

	CHECK(p && q && r && s && t);
	CHECK(p != q && p != r && p != s && q != r && q != s && r != s);
	CHECK(t != p && t != q && t != r && t != s);
	CHECK(aligned(p, 16) && aligned(r, 16) && aligned(t, 16));
	free(p);
	free(q);
	free(r);
	free(s);
	free(t);
	free(NULL);
	CHECK(!malloc_usable_size(NULL));
}

static void every_size(void)
{
	for (size_t size = 0; size <= 8 * MIB; size = next_size(size)) {
		unsigned char *p = malloc(size);
		unsigned char *q = malloc(size);
		size_t usable;

		CHECK(p && q && p != q);
		CHECK(aligned(p, 16) && aligned(q, 16));
		usable = malloc_usable_size(p);
		CHECK(usable >= size);
		fill(q, 0, size);
		memset(p, 0xa5, usable); /* all of it is the caller's */
		CHECK(filled(q, size));
		free(p);
		CHECK(filled(q, size));
		free(q);
	}
}

/* calloc gives zeros, of memory that was used too. */
static void zeroes(void)
{
	static const size_t sizes[] = {1,    16,   24,	  100,	  250,	  1000,
				       4000, 8192, 33000, 140000, 3 * MIB};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i] > 8192 ? 20 : 500;

		for (size_t k = 0; k < n; k++) {
			held[k] = malloc(sizes[i]);
			CHECK(held[k]);
			memset(held[k], 0xff, malloc_usable_size(held[k]));
		}
		for (size_t k = 0; k < n; k++)
			free(held[k]);
		for (size_t k = 0; k < n; k++) {
			held[k] = k % 2 ? calloc(1, sizes[i])
					: calloc(sizes[i], 1);
			CHECK(held[k] && aligned(held[k], 16));
			CHECK(zero(held[k], sizes[i]));
			memset(held[k], 0xff, malloc_usable_size(held[k]));
		}
		for (size_t k = 0; k < n; k++)
			free(held[k]);
	}
}

/* ---- realloc ---- */

static void *resized(void *p, size_t *size, size_t to)
{
	size_t kept = *size < to ? *size : to;
	void *q = realloc(p, to);

	CHECK(q && aligned(q, 16) && malloc_usable_size(q) >= to);
	CHECK(filled(q, kept));
	fill(q, kept, to);
	*size = to;
	return q;
}

static void grows_and_shrinks(void)
{
	size_t size = 0;
	void *p = NULL;
	size_t step = 1;

	for (size_t to = 1; to <= 4 * MIB; to += 1 + to / 11)
		p = resized(p, &size, to);
	for (size_t to = size; to > 1; to -= 1 + to / 11)
		p = resized(p, &size, to);
	for (unsigned i = 0; i < 300; i++) { /* to and fro */
		step = (step * 75 + 74) % 65537;
		p = resized(p, &size, 1 + (step << i % 7));
	}
	free(p);
}

static void grows_in_a_crowd(void)
{
	static size_t size[64];
	size_t seed = 1;

	memset(held, 0, sizeof(held));
	for (unsigned i = 0; i < 20000; i++) {
		unsigned k;

		seed = seed * 6364136223846793005 + 1442695040888963407;
		k = seed >> 33 & 63;
		held[k] = resized(held[k], &size[k],
				  1 + (seed >> 40) % (i % 16 ? 600 : 40000));
	}
	for (unsigned k = 0; k < 64; k++) {
		CHECK(!held[k] || filled(held[k], size[k]));
		free(held[k]);
		size[k] = 0;
	}
}

/* Large blocks move as pages; the ends tell. */
static void grows_large(void)
{
	char *p = malloc(MIB);

	CHECK(p);
	p[0] = 1;
	p[MIB - 1] = 2;
	for (size_t size = MIB; size < 128 * MIB; size *= 2) {
		p = realloc(p, size * 2);
		CHECK(p && p[0] == 1 && p[size - 1] == 2);
		p[size - 1] = 0;
		p[size * 2 - 1] = 2;
	}
	p = realloc(p, 5000);
	CHECK(p && p[0] == 1);
	free(p);
}

static void realloc_s_corners(void)
{
	volatile size_t none = 0;
	size_t size = 0;
	void *p = realloc(NULL, 100);
	void *q;

	CHECK(p);
	CHECK(!realloc(p, none)); /* has freed it */
	p = reallocarray(NULL, 10, 10);
	CHECK(p && malloc_usable_size(p) >= 100);
	fill(p, 0, 100);
	p = reallocarray(p, 100, 1000);
	CHECK(p && filled(p, 100) && malloc_usable_size(p) >= 100000);
	CHECK(!reallocarray(p, 0, 1000));
	for (size_t way = 16; way <= MIB; way *= 2) {
		p = memalign(way, 3000);
		CHECK(p && aligned(p, way));
		fill(p, 0, size = 3000);
		q = resized(p, &size, 200);
		free(resized(q, &size, 70000));
	}
}

/* ---- alignment ---- */

static void *on_boundary(unsigned how, size_t alignment, size_t size)
{
	void *p = NULL;

	if (how == 0)
		return aligned_alloc(alignment, size);
	if (how == 1)
		return memalign(alignment, size);
	CHECK(!posix_memalign(&p, alignment, size));
	return p;
}

/* Not all of a block that is large for its alignment's sake. */
static size_t some(size_t usable)
{
	return usable < 128 * KIB ? usable : 128 * KIB;
}

static void boundaries(void)
{
	static const size_t sizes[] = {0, 1, 8, 100, 4096, 5000, 70000};

	for (size_t to = sizeof(void *); to <= GIB; to *= 2) {
		for (unsigned i = 0; i < 3 * 7; i++) {
			size_t size = sizes[i / 3];
			char *p = on_boundary(i % 3, to, size);
			char *q = on_boundary(i % 3, to, size);

			CHECK(p && q && p != q);
			CHECK(aligned(p, to) && aligned(q, to));
			CHECK(malloc_usable_size(p) >= size);
			memset(q, 1, some(malloc_usable_size(q)));
			memset(p, 2, some(malloc_usable_size(p)));
			CHECK(!size || q[0] == 1);
			CHECK(!size || q[size - 1] == 1);
			free(p);
			free(q);
		}
	}
}

static void pages(void)
{
	char *p = valloc(100);
	char *q = pvalloc(1);

	CHECK(p && aligned(p, PAGE) && malloc_usable_size(p) >= 100);
	CHECK(q && aligned(q, PAGE) && malloc_usable_size(q) >= PAGE);
	memset(q, 1, PAGE);
	free(p);
	free(q);
	q = pvalloc(PAGE + 1);
	CHECK(q && aligned(q, PAGE) && malloc_usable_size(q) >= 2 * PAGE);
	memset(q, 1, 2 * PAGE);
	free(q);
	p = memalign(24, 100); /* the next power of two */
	CHECK(p && aligned(p, 32));
	free(p);
}

static void boundaries_refused(void)
{
	static const size_t bad[] = {0, 1, 4, 12, 24, 4095, 12345};
	void *p = held;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		errno = MARK;
		CHECK(posix_memalign(&p, bad[i], 100) == EINVAL);
		CHECK(errno == MARK && p == held);
	}
	for (unsigned i = 0; i < HUGE_SIZES; i++) {
		errno = MARK;
		CHECK(posix_memalign(&p, 64, huge_sizes[i]) == ENOMEM);
		CHECK(p == held);
	}
}

/* ---- what cannot be had ---- */

static void no_memory(void *p)
{
	CHECK(!p && errno == ENOMEM);
	errno = 0;
}

static void too_much(void)
{
	char *p = malloc(100);

	CHECK(p);
	fill(p, 0, 100);
	errno = 0;
	for (unsigned i = 0; i < HUGE_SIZES; i++) {
		size_t size = huge_sizes[i];

		no_memory(malloc(size));
		no_memory(calloc(1, size));
		no_memory(calloc(size, 1));
		no_memory(realloc(NULL, size));
		no_memory(realloc(p, size));
		no_memory(reallocarray(p, 1, size));
		no_memory(memalign(16, size));
		no_memory(memalign(4096, size));
		no_memory(aligned_alloc(64, size));
		no_memory(valloc(size));
		no_memory(pvalloc(size));
		CHECK(filled(p, 100));
	}
	free(p);
}

static void products_overflow(void)
{
	static volatile size_t pairs[][2] = {{SIZE_MAX, 2},
					     {2, SIZE_MAX},
					     {SIZE_MAX, SIZE_MAX},
					     {SIZE_MAX / 2 + 1, 2},
					     {SIZE_MAX / 16 + 1, 16},
					     {(size_t)1 << 32, (size_t)1 << 32},
					     {SIZE_MAX / 100 + 2, 100}};
	void *p = malloc(40);

	CHECK(p);
	fill(p, 0, 40);
	errno = 0;
	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		no_memory(calloc(pairs[i][0], pairs[i][1]));
		no_memory(reallocarray(NULL, pairs[i][0], pairs[i][1]));
		no_memory(reallocarray(p, pairs[i][0], pairs[i][1]));
		CHECK(filled(p, 40));
	}
	free(p);
}

static void free_keeps_errno(void)
{
	for (size_t size = 1; size <= 64 * MIB; size *= 4) {
		for (unsigned i = 0; i < 8; i++) {
			held[i] = malloc(size);
			CHECK(held[i]);
		}
		for (unsigned i = 0; i < 8; i++) {
			errno = MARK;
			free(held[i]);
			CHECK(errno == MARK);
		}
	}
	errno = MARK;
	free(NULL);
	CHECK(errno == MARK);
}

/* ---- of C23, not in every libc ---- */

static void sized_frees(bool wanted)
{
	void (*sized)(void *, size_t) =
		(void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	void (*aligned_sized)(void *, size_t, size_t) =
		(void (*)(void *, size_t, size_t))dlsym(RTLD_DEFAULT,
							"free_aligned_sized");

	CHECK(!wanted || (sized && aligned_sized));
	for (size_t size = 0; size < 300000; size = next_size(size)) {
		if (sized) {
			sized(malloc(size), size);
			sized(calloc(1, size), size);
			sized(realloc(malloc(1), size + 1), size + 1);
		}
		if (aligned_sized)
			aligned_sized(aligned_alloc(64, size), 64, size);
	}
	if (sized)
		sized(NULL, 5);
	if (aligned_sized)
		aligned_sized(NULL, 16, 5);
}

/* ---- operators, where there is no C++ library ---- */

static void operators_without_a_library(void)
{
	static const char *const names[] = {"_ZnwmRKSt9nothrow_t",
					    "_ZnamRKSt9nothrow_t"};

	for (unsigned i = 0; i < 2; i++) {
		void *(*f)(size_t, const void *) =
			(void *(*)(size_t, const void *))dlsym(RTLD_DEFAULT,
							       names[i]);

		if (!f)
			continue;
		free(f(100, ""));
		for (unsigned k = 0; k < HUGE_SIZES; k++)
			CHECK(!f(huge_sizes[k], ""));
	}
}

/* ---- what malloc says of itself ---- */

static size_t in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static size_t in_use_short(void)
{
	struct mallinfo info = mallinfo();

	return (size_t)info.uordblks + (size_t)info.hblkhd;
}

static void counts(void)
{
	size_t before = in_use();
	size_t before_short = in_use_short();

	for (unsigned i = 0; i < MOST_HELD; i++)
		CHECK((held[i] = malloc(3000)));
	CHECK(in_use() >= before + MOST_HELD * 3000UL);
	CHECK(in_use() <= before + MOST_HELD * 4000UL);
	CHECK(in_use_short() >= before_short + MOST_HELD * 3000UL);
	for (unsigned i = 0; i < MOST_HELD; i++)
		free(held[i]);
	CHECK(in_use() <= before + MIB);
	held[0] = malloc(64 * MIB);
	CHECK(held[0] && in_use() >= before + 64 * MIB);
	free(held[0]);
	CHECK(in_use() <= before + MIB);
}

/* malloc_info's text, in a block of open_memstream. */
static char *info_text(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	CHECK(file);
	CHECK(!malloc_info(0, file));
	CHECK(!fclose(file));
	CHECK(text && size);
	return text;
}

static void speaks(void)
{
	char *text = info_text();
	char *end = strstr(text, "</malloc>");
	FILE *file = tmpfile();
	int err;

	CHECK(!strncmp(text, "<malloc version=", 16));
	CHECK(end && (!end[9] || !strcmp(end + 9, "\n")));
	free(text);
	CHECK(file);
	CHECK(malloc_info(1, file) == EINVAL);
	err = dup(2);
	CHECK(err > 2 && dup2(fileno(file), 2) == 2);
	malloc_stats();
	fflush(stderr);
	CHECK(dup2(err, 2) == 2);
	close(err);
	CHECK(lseek(fileno(file), 0, SEEK_END) > 0);
	fclose(file);
}

static void tuned(void)
{
	CHECK(mallopt(M_ARENA_MAX, 2) == 1);
	CHECK(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
	CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
	CHECK(mallopt(M_TOP_PAD, 1 << 16) == 1);
	for (unsigned i = 0; i < MOST_HELD; i++)
		CHECK((held[i] = malloc(3000)));
	for (unsigned i = 0; i < MOST_HELD; i++)
		free(held[i]);
	for (size_t pad = 0; pad < 10 * MIB; pad += MIB)
		CHECK((malloc_trim(pad) | 1) == 1);
	every_size();
}

static bool from_shim(const char *name)
{
	Dl_info info;
	void *f = dlsym(RTLD_DEFAULT, name);

	return f && dladdr(f, &info) && strstr(info.dli_fname, "libanonshim");
}

static void family_is_the_shim_s(void)
{
	static const char *const names[] = {
		"malloc",	  "calloc",	 "realloc",
		"reallocarray",	  "free",	 "aligned_alloc",
		"posix_memalign", "memalign",	 "valloc",
		"pvalloc",	  "free_sized",	 "free_aligned_sized",
		"malloc_trim",	  "mallopt",	 "mallinfo",
		"mallinfo2",	  "malloc_info", "malloc_stats",
		"_Znwm",	  "_ZdlPv",	 "malloc_usable_size"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (from_shim(names[i]))
			continue;
		dprintf(2, "%s is not the shim's\n", names[i]);
		_exit(1);
	}
}

int main(int argc, char **argv)
{
	bool ours = argc > 1 && !strcmp(argv[1], "ours");

	victim_begin();
	if (argc > 1 && !strcmp(argv[1], "xml")) {
		char *text = info_text();

		CHECK(fputs(text, stdout) >= 0);
		free(text);
		return 0;
	}
	if (ours)
		family_is_the_shim_s();
	nothing_asked();
	every_size();
	zeroes();
	grows_and_shrinks();
	grows_in_a_crowd();
	grows_large();
	realloc_s_corners();
	boundaries();
	pages();
	boundaries_refused();
	too_much();
	products_overflow();
	free_keeps_errno();
	sized_frees(ours);
	operators_without_a_library();
	counts();
	speaks();
	tuned();
	return 0;
}
