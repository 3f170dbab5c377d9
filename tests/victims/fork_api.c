/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_api WHAT: what anonshim_set_fork and the region calls promise.
 */
#include "fork_help.h"

#define OBJECT_PAGES 4
#define BYTES (OBJECT_PAGES * PAGE)
#define RW (PROT_READ | PROT_WRITE)
#define A_VALUE 4095 /* no errno */

/* A call that fails says why; one that does not leaves errno alone. */
#define FAILS(error, call)               \
	do {                             \
		errno = A_VALUE;         \
		CHECK((call) == -1);     \
		CHECK(errno == (error)); \
	} while (0)
#define WORKS(call)                      \
	do {                             \
		errno = A_VALUE;         \
		CHECK((call) == 0);      \
		CHECK(errno == A_VALUE); \
	} while (0)

static void *once(void)
{
	void *p = mmap(NULL, BYTES, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

/* ---- anonshim_set_fork ---- */

static void set_one(void)
{
	volatile uint64_t *p = once(), *other = once();

	pair_forks(p, p, true);
	WORKS(anonshim_set_fork((void *)p, BYTES, ANONSHIM_FORK_PRIVATE));
	pair_forks(p, p, false);
	pair_forks(other, other, true);
	WORKS(anonshim_set_fork((void *)p, BYTES, ANONSHIM_FORK_SHARE));
	pair_forks(p, p, true);
	WORKS(anonshim_set_fork((void *)p, 1, ANONSHIM_FORK_PRIVATE));
	pair_forks(p, p, false);
	WORKS(anonshim_set_fork((void *)p, BYTES, ANONSHIM_FORK_DEFAULT));
	pair_forks(p, p, true);
}

static void set_twin(void)
{
	struct twin twin;
	volatile uint64_t *third;

	twin_make(&twin, OBJECT_PAGES);
	pair_forks(twin.one, twin.two, false);
	WORKS(anonshim_set_fork((void *)twin.two, PAGE, ANONSHIM_FORK_SHARE));
	pair_forks(twin.one, twin.two, true);
	/* all of it, through whichever address, now or later */
	pair_forks(twin.one + 3 * WORDS, twin.two + 3 * WORDS, true);
	third = map_shared(twin.fd, 2, 1, RW);
	pair_forks(twin.one + WORDS, third, true);
	WORKS(anonshim_set_fork((void *)third, PAGE, ANONSHIM_FORK_DEFAULT));
	pair_forks(twin.one + WORDS, third, false);
	twin_end(&twin);
}

static void set_wrong(void)
{
	char *p = once(), *own = anon(2);

	FAILS(EINVAL, anonshim_set_fork(p + 1, PAGE, ANONSHIM_FORK_SHARE));
	FAILS(EINVAL, anonshim_set_fork(p, PAGE, 3));
	FAILS(EINVAL, anonshim_set_fork(p, PAGE, -1));
	FAILS(EINVAL, anonshim_set_fork(p, 0, ANONSHIM_FORK_SHARE));
	FAILS(EINVAL, anonshim_set_fork(p, SIZE_MAX, ANONSHIM_FORK_SHARE));
	FAILS(ENOENT, anonshim_set_fork(own, PAGE, ANONSHIM_FORK_PRIVATE));
	CHECK(!munmap(own + PAGE, PAGE));
	FAILS(ENOMEM, anonshim_set_fork(own, 2 * PAGE, ANONSHIM_FORK_SHARE));
	CHECK(!munmap(p, BYTES));
	FAILS(ENOMEM, anonshim_set_fork(p, BYTES, ANONSHIM_FORK_SHARE));
}

/* ---- regions ---- */

static unsigned lines_with(const char *text)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned n = 0;

	CHECK(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, text) != NULL;
	fclose(file);
	return n;
}

static void region(void)
{
	void *first = NULL, *all = NULL, *part = NULL, *reader = NULL;
	volatile uint64_t *one, *two;
	size_t fds = count_fds();

	WORKS(anonshim_region_create(&first, BYTES - 1, 0, "test: mmap ring"));
	CHECK(first && lines_with("test: mmap ring") == 1);
	one = first;
	for (size_t i = 0; i < OBJECT_PAGES * WORDS; i++)
		CHECK(!one[i]);
	pair_forks(one, one, false);
	WORKS(anonshim_region_alias(first, 0, 0, RW, &all));
	two = all;
	one[5] = 6;
	CHECK(two != one && two[5] == 6);
	WORKS(anonshim_region_alias((char *)all + PAGE, 2 * PAGE, PAGE + 1, RW,
				    &part));
	WORKS(anonshim_region_alias(first, PAGE, 0, PROT_READ, &reader));
	CHECK(lines_with("test: mmap ring") >= 4);
	pair_forks(one, two, false);
	pair_forks(two + 2 * WORDS, part, false);
	pair_forks(two + 3 * WORDS, (uint64_t *)part + WORDS, false);
	pair_forks(one + WORDS, reader, false);
	WORKS(anonshim_set_fork(part, PAGE, ANONSHIM_FORK_SHARE));
	pair_forks(one, two, true);
	CHECK(!munmap(first, BYTES));
	WORKS(anonshim_region_destroy((char *)part + PAGE));
	CHECK(!lines_with("test: mmap ring"));
	CHECK(count_fds() == fds);
	FAILS(EINVAL, anonshim_region_destroy(part));
}

/* A child's region is one: it can be mapped more often, and destroyed. */
static void region_in_a_child(void)
{
	void *first = NULL, *second = NULL, *third = NULL;
	volatile uint64_t *one, *three;
	struct talk talk;

	WORKS(anonshim_region_create(&first, BYTES, 0, "test: mmap family"));
	WORKS(anonshim_region_alias(first, 0, 0, RW, &second));
	one = first;
	*one = 1;
	talk_open(&talk);
	talk_split(&talk, fork());
	WORKS(anonshim_region_alias(first, 0, 0, RW, &third));
	three = third;
	*three = talk.child ? 2 : 3;
	talk_say(&talk);
	talk_hear(&talk);
	pair_expect(first, second, talk.child ? 2 : 3, "own region");
	CHECK(*three == *one);
	if (!talk.child)
		pair_forks(one, three, false);
	WORKS(anonshim_region_destroy(first));
	CHECK(!lines_with("test: mmap family"));
	talk_end(&talk);
}

static void region_wrong(void)
{
	void *p = NULL, *q = NULL, *own = anon(1);
	size_t fds = count_fds();

	FAILS(EINVAL, anonshim_region_create(NULL, BYTES, 0, "x"));
	FAILS(EINVAL, anonshim_region_create(&p, 0, 0, "x"));
	FAILS(EINVAL, anonshim_region_create(&p, BYTES, 1, "x"));
	FAILS(EINVAL, anonshim_region_create(&p, BYTES, 0, ""));
	FAILS(EINVAL, anonshim_region_create(&p, BYTES, 0, "a [name]"));
	CHECK(anonshim_region_create(&p, SIZE_MAX / 2, 0, "x") == -1);
	CHECK(errno == ENOMEM || errno == EINVAL);
	CHECK(count_fds() == fds);
	WORKS(anonshim_region_create(&p, BYTES, 0, NULL));
	FAILS(EINVAL, anonshim_region_alias(own, 0, 0, RW, &q));
	FAILS(EINVAL, anonshim_region_alias(p, 1, PAGE, RW, &q));
	FAILS(EINVAL, anonshim_region_alias(p, BYTES, 0, RW, &q));
	FAILS(EINVAL, anonshim_region_alias(p, PAGE, BYTES, RW, &q));
	FAILS(EINVAL, anonshim_region_alias(p, 0, SIZE_MAX, RW, &q));
	FAILS(EINVAL, anonshim_region_alias(p, 0, 0, RW, NULL));
	q = own;
	FAILS(EEXIST, anonshim_region_alias(p, 0, 0, RW, &q));
	CHECK(!munmap(own, PAGE));
	WORKS(anonshim_region_alias(p, 0, PAGE, PROT_READ, &q));
	CHECK(q == own);
	FAILS(EINVAL, anonshim_region_destroy(NULL));
	WORKS(anonshim_region_destroy(p));
	FAILS(EINVAL, anonshim_region_alias(p, 0, 0, RW, &q));
}

static const struct {
	const char *name;
	void (*run)(void);
} all[] = {
	{"set_one", set_one},
	{"set_twin", set_twin},
	{"set_wrong", set_wrong},
	{"region", region},
	{"region_in_a_child", region_in_a_child},
	{"region_wrong", region_wrong},
};

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc == 2);
	if (!anonshim_available())
		SKIP("no shim");
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (!strcmp(argv[1], all[i].name)) {
			all[i].run();
			return 0;
		}
	return 2;
}
