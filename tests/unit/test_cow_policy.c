/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which objects become private: marks, options, names and seals, alone and
 * against one another.
 */
#include "test_cow_fixture.h"

#include "cow/plan.h"
#include "track/registry.h"
#include "track/site.h"

struct row {
	const char *options;
	uint32_t flags;
	unsigned seals;
	bool named;
	const char *name;
	bool wanted;
};

#define ALIASED OBJECT_ALIASED
#define FOREIGN OBJECT_FOREIGN
#define SEALED OBJECT_SEALED
#define SHARE OBJECT_SHARE
#define PRIVATE OBJECT_PRIVATE
#define MEMFD "/memfd:jit (deleted)"

static const struct row rows[] = {
	/* by itself */
	{"", 0, 0, false, MEMFD, false},
	{"", ALIASED, 0, false, MEMFD, true},
	{"", ALIASED, 0, false, "", true},
	{"", ALIASED, 0, false, "/dev/zero (deleted)", true},
	{"", ALIASED, 0, true, "/dev/shm/x", false},
	{"", ALIASED | FOREIGN, 0, false, MEMFD, false},
	{"", ALIASED | SEALED, 0, false, MEMFD, false},
	{"", ALIASED, F_SEAL_FUTURE_WRITE, false, MEMFD, false},
	{"", ALIASED, F_SEAL_WRITE, false, MEMFD, false},
	{"", ALIASED, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | F_SEAL_EXEC,
	 false, MEMFD, true},
	/* all and none */
	{"fork=all", 0, 0, false, MEMFD, true},
	{"fork=all", 0, 0, true, "/dev/shm/x", false},
	{"fork=all", FOREIGN, 0, false, MEMFD, false},
	{"fork=all", SEALED, 0, false, MEMFD, false},
	{"fork=all", 0, F_SEAL_FUTURE_WRITE, false, MEMFD, false},
	{"fork=none", ALIASED, 0, false, MEMFD, false},
	/* what the program says comes first */
	{"", ALIASED | SHARE, 0, false, MEMFD, false},
	{"fork=all", SHARE, 0, false, MEMFD, false},
	{"private=jit", SHARE, 0, false, MEMFD, false},
	{"", PRIVATE, 0, false, MEMFD, true},
	{"fork=none", PRIVATE, 0, false, MEMFD, true},
	{"share=jit", PRIVATE, 0, false, MEMFD, true},
	{"", PRIVATE | FOREIGN | SEALED, F_SEAL_FUTURE_WRITE, true, MEMFD,
	 true},
	{"", PRIVATE, F_SEAL_WRITE, false, MEMFD, false},
	/* then the lists */
	{"private=jit", 0, 0, false, MEMFD, true},
	{"private=j*:x", 0, 0, false, MEMFD, true},
	{"private=x:jit", 0, 0, false, MEMFD, true},
	{"private=jit2", 0, 0, false, MEMFD, false},
	{"private=memfd*", 0, 0, false, MEMFD, false},
	{"fork=none,private=jit", FOREIGN | SEALED, F_SEAL_FUTURE_WRITE, true,
	 MEMFD, true},
	{"private=jit", 0, F_SEAL_WRITE, false, MEMFD, false},
	{"share=jit", ALIASED, 0, false, MEMFD, false},
	{"fork=all,share=jit", 0, 0, false, MEMFD, false},
	{"fork=all,share=jit", 0, 0, false, "/memfd:other (deleted)", true},
	{"share=jit,private=jit", ALIASED, 0, false, MEMFD, false},
	/* names without directory, and without what the kernel adds */
	{"private=pool", 0, 0, true, "/dev/shm/dir/pool", true},
	{"private=pool", 0, 0, false, "/tmp/pool (deleted)", true},
	{"private=a/b", 0, 0, false, "/memfd:a/b (deleted)", true},
	{"private=zero", 0, 0, false, "/dev/zero (deleted)", true},
};

static void as_in(const struct row *row)
{
	struct cow_object o = {.flags = OBJECT_USED | row->flags,
			       .seals = row->seals,
			       .named = row->named,
			       .old = -1,
			       .new = -1};

	shim_configure(row->options);
	strcpy(o.name, row->name);
	cr_assert_eq(cow_policy(&o), row->wanted,
		     "%s flags %#x seals %#x named %d %s", row->options,
		     row->flags, row->seals, row->named, row->name);
}

Test(policy, every_row)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		as_in(&rows[i]);
}

/* Whatever the rest: SHARE and F_SEAL_WRITE share, PRIVATE alone does not. */
Test(policy, what_nothing_overrides)
{
	static const char *const options[] = {
		"",	     "fork=all",	   "fork=none", "private=jit",
		"share=jit", "fork=all,private=*", "share=*",	"private=*:jit",
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		for (uint32_t flags = 0; flags < 64; flags++) {
			uint32_t f = flags << 2; /* ALIASED .. REGION */
			bool named = flags & 1;
			struct row share = {options[i], f | SHARE, 0,
					    named,	MEMFD,	   false};
			struct row sealed = {options[i], f,	F_SEAL_WRITE,
					     named,	 MEMFD, false};
			struct row private = {
				options[i], (f & ~(uint32_t)SHARE) | PRIVATE,
				0,	    named,
				MEMFD,	    true};

			as_in(&share);
			as_in(&sealed);
			as_in(&private);
		}
}

/* Sites count as names do: owner, function, and the whole. */
Test(policy, sites_that_mapped_it)
{
	struct cow_object o = {.flags = OBJECT_USED, .old = -1, .new = -1};
	uint32_t site;

	shim_start("private=pool_make");
	site = site_of_owner(KIND_MMAP, "libpool.so", "pool_make");
	o.site = site;
	cr_assert(cow_policy(&o));
	shim_configure("private=libpool.*");
	cr_assert(cow_policy(&o));
	shim_configure("private=libother.*:pool");
	cr_assert(!cow_policy(&o));
	o.flags |= OBJECT_ALIASED;
	cr_assert(cow_policy(&o));
	shim_configure("share=libpool.so");
	cr_assert(!cow_policy(&o));
}

static void short_name_is(const char *name, const char *want)
{
	struct cow_object o = {.old = -1};
	char got[COW_NAME_BYTES];

	strcpy(o.name, name);
	cow_short_name(&o, got);
	cr_assert_str_eq(got, want);
}

Test(policy, short_names)
{
	char longest[COW_NAME_BYTES];

	short_name_is("", "");
	short_name_is("x", "x");
	short_name_is("/a/b/c", "c");
	short_name_is("/a/b/", "");
	short_name_is("/memfd: (deleted)", "");
	short_name_is("/memfd:a/b/c (deleted)", "a/b/c");
	short_name_is("/tmp/x (deleted) (deleted)", "x (deleted)");
	short_name_is(" (deleted)", "");
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	short_name_is(longest, longest);
}

/* From the calls to the policy --------------------------------------------- */

static char *map_twice(int fd)
{
	char *p = shared_map(fd, 0, 2, RW);

	shared_map(fd, 0, 2, RW);
	return p;
}

Test(policy, files_with_a_name_stay_shared)
{
	char path[] = "/dev/shm/anonshim-XXXXXX";
	int fd = mkstemp(path);

	cow_started("naming=registry");
	cr_assert_eq(ftruncate(fd, 2 * PAGE), 0);
	map_twice(fd);
	fork_as_ever();
	close(fd);
	fork_as_ever();
	unlink(path);
	fork_and_see(NULL);
}

Test(policy, sealed_memfds_stay_shared)
{
	int fd = memfd_of(2, 0);

	cow_started("naming=registry");
	map_twice(fd);
	cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	fork_as_ever();
}

Test(policy, what_was_open_at_the_start_stays_shared)
{
	int fd = memfd_of(2, 0);
	int file = unlinked_of("/dev/shm", 2);

	cow_started("naming=registry");
	map_twice(fd);
	map_twice(file);
	fork_as_ever();
}

Test(policy, all_takes_what_nobody_saw_mapped)
{
	int fd = memfd_of(2, 0);
	char *p = mmap(NULL, 2 * PAGE, RW, MAP_SHARED, fd, 0);

	close(fd);
	cow_started("naming=registry,fork=all");
	p[0] = 1;
	fork_and_see(NULL);
}

static char *low;
static char *high;

static int both_ends(void)
{
	if (low[0] != 'l' || high[0] != 'h')
		return 1;
	low[0] = high[0] = 'c';
	return 0;
}

/* Its size is not known: it ends where the last mapping does. */
Test(policy, all_takes_the_whole_of_it)
{
	int fd = memfd_of(8, 0);

	low = mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0);
	high = mmap(NULL, PAGE, RW, MAP_SHARED, fd, (off_t)(7 * PAGE));
	close(fd);
	cow_started("naming=registry,fork=all");
	be_nobody();
	low[0] = 'l';
	high[0] = 'h';
	fork_and_see(both_ends);
	cr_assert(low[0] == 'l' && high[0] == 'h');
}

Test(policy, none_leaves_all_as_it_is)
{
	cow_started("naming=registry,fork=none");
	map_twice(memfd_of(2, 0));
	fork_as_ever();
}
