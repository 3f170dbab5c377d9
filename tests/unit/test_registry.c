/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry's head and its strings.
 */
#include "support.h"
#include "track/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

Test(registry, head)
{
	struct registry_head *h;

	cr_assert_eq(registry_init("1.2.3", "depth=3"), 0);
	h = anonshim_registry;
	cr_assert(!memcmp(h->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES));
	cr_assert_eq(h->version, REGISTRY_VERSION);
	cr_assert_eq(h->head_bytes, sizeof(*h));
	cr_assert_eq(h->self, (uint64_t)(uintptr_t)h);
	cr_assert_eq(h->self % PAGE, 0, "a core file is searched by pages");
	cr_assert_eq(h->pid, (uint32_t)getpid());
	cr_assert_str_eq(registry_text((uint32_t)h->shim_version), "1.2.3");
	cr_assert_str_eq(registry_text((uint32_t)h->options), "depth=3");
	cr_assert_eq(h->generation, 0);
}

Test(registry, equal_strings_share_one)
{
	uint32_t a;
	uint32_t b;
	uint64_t used;

	cr_assert_eq(registry_init("1", ""), 0);
	a = registry_string("libfoo.so.1", 11);
	b = registry_string("libfoo.so.2", 11);
	used = anonshim_registry->table[REGISTRY_STRINGS].count;
	cr_assert(a && b && a != b);
	cr_assert_eq(registry_string("libfoo.so.1xyz", 11), a);
	cr_assert_eq(anonshim_registry->table[REGISTRY_STRINGS].count, used);
	cr_assert_neq(registry_string("libfoo.so", 9), a, "a prefix is none");
	cr_assert_eq(registry_string("", 0), 0);
	cr_assert_str_eq(registry_text(0), "");
}

Test(registry, many_strings_across_chunks)
{
	static uint32_t id[5000];
	char text[64];

	cr_assert_eq(registry_init("1", ""), 0);
	for (unsigned i = 0; i < 5000; i++) {
		int n = snprintf(text, sizeof(text), "a string of number %u",
				 i);

		id[i] = registry_string(text, (size_t)n);
	}
	for (unsigned i = 0; i < 5000; i++) {
		int n = snprintf(text, sizeof(text), "a string of number %u",
				 i);

		cr_assert_str_eq(registry_text(id[i]), text);
		cr_assert_eq(registry_string(text, (size_t)n), id[i]);
	}
}

Test(registry, a_very_long_string_is_cut)
{
	static char text[10000];
	uint32_t id;

	memset(text, 'x', sizeof(text));
	cr_assert_eq(registry_init("1", ""), 0);
	id = registry_string(text, sizeof(text));
	cr_assert_eq(strlen(registry_text(id)), 4095);
	cr_assert_eq(registry_string(text, 9000), id);
}

Test(registry, out_of_memory_at_every_step_of_start_up)
{
	for (unsigned pass = 0; pass < 20; pass++) {
		int status = -1;
		pid_t pid = fork(); /* it starts once a process */

		if (!pid) {
			int result;

			fault_set(SYS_mmap, -ENOMEM, pass, -1);
			result = registry_init("1", "o");
			_exit(!((result == 0 || result == -ENOMEM) &&
				!anonshim_registry == !!result &&
				(!result || pass < 10)));
		}
		waitpid(pid, &status, 0);
		cr_assert_eq(status, 0, "pass %u", pass);
	}
}

Test(registry, out_of_memory_gives_the_empty_string)
{
	char text[4000];
	uint32_t id = 1;
	uint32_t first;

	memset(text, 'a', sizeof(text));
	cr_assert_eq(registry_init("1", ""), 0);
	first = registry_string("first", 5);
	fault_set(SYS_mmap, -ENOMEM, 0, -1);
	for (unsigned i = 0; id && i < 100; i++) {
		text[i] = 'b';
		id = registry_string(text, sizeof(text));
	}
	cr_assert_eq(id, 0);
	cr_assert_eq(registry_string("first", 5), first);
}
