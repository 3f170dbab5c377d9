/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tool takes for the shim's policy at fork. */
#include "tool/fork_policy.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "wire/registry_abi.h"

static struct fork_options options;

static void read_options(const char *text)
{
	fork_options_read(&options, text);
}

static void defaults(void)
{
	read_options("");
}

TestSuite(tool_fork_policy, .init = defaults);

Test(tool_fork_policy, defaults_are_those_of_the_list)
{
	cr_assert_eq(options.which, FORK_AUTO);
	cr_assert_str_eq(options.private, "");
	cr_assert_str_eq(options.share, "");
	cr_assert_eq(options.max_copy_bytes, UINT64_C(64) << 30);
	cr_assert_not(options.cut);
	cr_assert_not(fork_options_look_at_all(&options));
}

Test(tool_fork_policy, reads_options_among_others)
{
	read_options(",depth=3,fork=all,private=a*:b,,naming=auto,share=x,"
		     "max-copy=12M,verbose=1,");
	cr_assert_eq(options.which, FORK_ALL);
	cr_assert_str_eq(options.private, "a*:b");
	cr_assert_str_eq(options.share, "x");
	cr_assert_eq(options.max_copy_bytes, 12 << 20);
	cr_assert(fork_options_look_at_all(&options));
}

Test(tool_fork_policy, the_last_of_several_is_in_force)
{
	read_options("fork=all,fork=none,private=a,private=");
	cr_assert_eq(options.which, FORK_NONE);
	cr_assert_str_eq(options.private, "");
}

Test(tool_fork_policy, a_bad_value_changes_nothing)
{
	static const char *const bad[] = {
		"fork",		 "fork=",	   "fork=some",
		"fork=allx",	 "Fork=none",	   "max-copy",
		"max-copy=",	 "max-copy=x",	   "max-copy=-1",
		"max-copy=1",	 "max-copy=12MB",  "max-copy=M",
		"max-copy=65T",	 "max-copy=1G,x",  "max-copy= 1G",
		"max_copy=1000", "max-copy=65537G"};
	char text[64];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		bool good = strchr(bad[i], ',') != NULL;

		strcpy(text, "fork=all,max-copy=8K,");
		strcat(text, bad[i]);
		read_options(text);
		cr_assert_eq(options.which, FORK_ALL, "%s", bad[i]);
		cr_assert_eq(options.max_copy_bytes,
			     good ? UINT64_C(1) << 30 : 8192, "%s", bad[i]);
	}
	read_options("max-copy=99999999999999999999999999");
	cr_assert_eq(options.max_copy_bytes, UINT64_C(64) << 30);
}

/* The shim refuses a list that is too long, and keeps 4,095 bytes of all. */
Test(tool_fork_policy, long_texts)
{
	static char text[8192];

	strcpy(text, "share=");
	memset(text + 6, 'x', 1024);
	read_options(text);
	cr_assert_eq(strlen(options.share), 1024);
	text[6 + 1024] = 'x';
	read_options(text);
	cr_assert_str_eq(options.share, "");
	cr_assert_not(options.cut);
	memset(text + 6, 'x', 4095 - 6);
	read_options(text);
	cr_assert(options.cut);
}

/* ------------------------------------------------------------------------- */

static struct fork_object ring(uint32_t flags)
{
	return (struct fork_object){
		.flags = OBJECT_USED | flags,
		.name = "/memfd:ring (deleted)",
		.site_name = "prog: mmap ring_make",
		.owner = "prog",
		.symbol = "ring_make",
	};
}

static enum fork_fate fate_of(struct fork_object object)
{
	return fork_decide(&options, &object).fate;
}

#define COPIED(object) cr_assert_eq(fate_of(object), FORK_COPIED)
#define SHARED(object)                                                       \
	cr_assert_eq(fate_of(object), FORK_SHARED, "%s/%s", options.private, \
		     options.share)
#define UNKNOWN(object) cr_assert_eq(fate_of(object), FORK_UNKNOWN)

Test(tool_fork_policy, copies_aliases_and_nothing_else)
{
	COPIED(ring(OBJECT_ALIASED));
	SHARED(ring(0));
	SHARED(ring(OBJECT_ALIASED | OBJECT_FOREIGN));
	SHARED(ring(OBJECT_ALIASED | OBJECT_SEALED));
	read_options("fork=none");
	SHARED(ring(OBJECT_ALIASED));
	read_options("fork=all");
	COPIED(ring(0));
	SHARED(ring(OBJECT_FOREIGN));
}

Test(tool_fork_policy, the_program_comes_before_the_options)
{
	read_options("fork=none,share=ring");
	COPIED(ring(OBJECT_PRIVATE));
	COPIED(ring(OBJECT_PRIVATE | OBJECT_FOREIGN));
	read_options("fork=all,private=ring");
	SHARED(ring(OBJECT_SHARE | OBJECT_ALIASED));
}

Test(tool_fork_policy, lists_match_names_and_sites)
{
	static const char *const fit[] = {
		"ring",	    "r*",     "?ing",	   "prog",
		"*_make",   "x:ring", "*",	   "prog: mmap*",
		":::ring:", "r*n*g",  "ring_make", "ri??",
	};
	static const char *const other[] = {"rin",  "rings", "memfd?ring",
					    "Ring", "r?g",   "(deleted)",
					    "*x",   ":",     "/memfd*"};
	char text[64] = "fork=none,private=";
	size_t len = strlen(text);

	for (size_t i = 0; i < sizeof(fit) / sizeof(fit[0]); i++) {
		strcpy(text + len, fit[i]);
		read_options(text);
		COPIED(ring(0));
	}
	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
		strcpy(text + len, other[i]);
		read_options(text);
		SHARED(ring(OBJECT_ALIASED));
	}
	read_options("share=ring,private=*");
	SHARED(ring(OBJECT_ALIASED));
}

Test(tool_fork_policy, a_file_s_name_is_without_its_directory)
{
	struct fork_object file = ring(OBJECT_ALIASED);

	file.name = "/dev/shm/pool.1 (deleted)";
	read_options("share=pool.?");
	SHARED(file);
	read_options("share=shm*");
	COPIED(file);
	/* a memfd's may hold slashes */
	file.name = "/memfd:a/b (deleted)";
	read_options("share=a/b");
	SHARED(file);
}

Test(tool_fork_policy, what_has_a_name_is_shared)
{
	struct fork_object file = ring(OBJECT_ALIASED);

	file.named = FORK_YES;
	SHARED(file);
	file.flags |= OBJECT_PRIVATE;
	COPIED(file);
}

/* Nobody can write it: not even private= has it copied. */
Test(tool_fork_policy, what_is_sealed_is_shared)
{
	struct fork_object object = ring(OBJECT_ALIASED | OBJECT_PRIVATE);

	object.sealed = FORK_YES;
	SHARED(object);
	object.sealed = FORK_NO;
	object.sealed_then = FORK_YES;
	COPIED(object);
	object.flags = OBJECT_ALIASED;
	SHARED(object);
}

Test(tool_fork_policy, does_not_guess)
{
	struct fork_object object = ring(OBJECT_ALIASED);

	object.sealed = object.sealed_then = FORK_NOT_KNOWN;
	UNKNOWN(object);
	cr_assert_str_eq(fork_decide(&options, &object).why,
			 "its seals are not known");
	/* shared in any case */
	object.flags = OBJECT_ALIASED | OBJECT_FOREIGN;
	SHARED(object);
	cr_assert_str_eq(fork_decide(&options, &object).why,
			 "it came from another process");
	object = ring(OBJECT_ALIASED);
	object.named = FORK_NOT_KNOWN;
	UNKNOWN(object);
	cr_assert_str_eq(fork_decide(&options, &object).why,
			 "its name is not known");
	object.flags |= OBJECT_PRIVATE;
	COPIED(object);
}

Test(tool_fork_policy, options_that_were_cut_decide_nothing)
{
	options.cut = true;
	UNKNOWN(ring(OBJECT_ALIASED));
	UNKNOWN(ring(0));
	SHARED(ring(OBJECT_SHARE));
	COPIED(ring(OBJECT_PRIVATE));
}

Test(tool_fork_policy, time_goes_with_size)
{
	cr_assert_float_eq(fork_copy_ms(1 << 20), 330, 0.001);
	cr_assert_float_eq(fork_copy_ms(16 << 10), 5.156, 0.001);
	cr_assert_float_eq(fork_copy_ms(0), 0, 0.001);
}
