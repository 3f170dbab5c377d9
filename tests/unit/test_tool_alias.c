/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Alias groups of this very process: real mappings and descriptors, and a
 * registry by hand that says of them what a shim would.
 */
#include "tool/alias_print.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test_tool_fixture.h"

#define BYTES (16 * 4096UL)

static struct fake_registry fake;
static struct subject subject;
static struct alias_groups groups;
static uint32_t site;

static void start(void)
{
	fake_registry_init(&fake);
	site = fake_site(&fake, "libring.so", KIND_MMAP, "ring_make",
			 "libring.so: mmap ring_make");
}

static void set_options(const char *text)
{
	fake.head.options = fake_string(&fake, text);
}

static void done(void)
{
	alias_groups_destroy(&groups);
	subject_close(&subject);
}

TestSuite(tool_alias, .init = start, .fini = done);

static void make(void)
{
	int fd = open("/proc/self/smaps", O_RDONLY);

	subject.has_registry = true;
	cr_assert_eq(
		registry_read(&subject.registry, &fake.memory.space, FAKE_HEAD),
		0);
	cr_assert_eq(vma_list_read(&subject.vmas, fd, &subject.pool), 0);
	close(fd);
	cr_assert_eq(procfs_open(&subject.proc, "/proc", getpid()), 0);
	subject.pagemap.fd = -1;
	alias_groups_make(&groups, &subject);
}

static void *map(int fd, size_t bytes, off_t offset)
{
	int flags = fd >= 0 ? MAP_SHARED : MAP_SHARED | MAP_ANONYMOUS;
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, offset);

	cr_assert_neq(p, MAP_FAILED);
	return p;
}

static int memfd(const char *name, size_t bytes)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

/* The record of what fd is, mapped at an address. */
static struct registry_object *record(int fd, void *at, uint32_t flags)
{
	struct registry_object *object = fake_object(&fake, flags, site);
	struct stat st;

	object->at = (uintptr_t)at;
	object->size = BYTES;
	if (fd < 0)
		return object;
	cr_assert_eq(fstat(fd, &st), 0);
	object->dev = st.st_dev;
	object->ino = st.st_ino;
	return object;
}

static char *print(void (*how)(const struct alias_groups *, FILE *))
{
	static char *text;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	how(&groups, out);
	fclose(out);
	return text;
}

static void check_has(const char *text, const char *what)
{
	cr_assert_not_null(strstr(text, what), "%s is not in\n%s", what, text);
}

Test(tool_alias, a_memfd_mapped_twice)
{
	int fd = memfd("ring one", BYTES);
	char *low = map(fd, BYTES, 0), *high = map(fd, BYTES / 2, 4096);
	const struct alias_group *group;
	char *text;

	memset(low, 1, 3 * 4096);
	high[0] = 1; /* the same page again */
	record(fd, high, OBJECT_ALIASED);
	make();
	cr_assert(groups.known);
	cr_assert_eq(groups.count, 1);
	group = &groups.group[0];
	cr_assert_eq(group->kind, ALIAS_MEMFD);
	cr_assert_str_eq(group->name, "ring one");
	cr_assert_str_eq(group->label.owner, "libring.so");
	cr_assert_str_eq(group->label.site, "ring_make");
	cr_assert_eq(group->fork.fate, FORK_COPIED);
	cr_assert_eq(group->nvmas, 2);
	cr_assert(group->has_size && group->has_held && group->has_rss);
	cr_assert_eq(group->size_kib, 64);
	cr_assert_eq(group->held_kib, 12);
	cr_assert_eq(group->rss_kib, 12);
	cr_assert_eq(alias_groups_find(&groups, (uintptr_t)high + 5), group);
	cr_assert_eq(alias_groups_find(&groups, (uintptr_t)low), group);
	cr_assert_null(alias_groups_find(&groups, (uintptr_t)&fake));
	text = print(alias_print);
	check_has(text, "  memfd ring one, by libring.so: ring_make\n"
			"    64K, 12K held\n"
			"    a fork copies it, 12K, less than 0.1 ms: it is "
			"mapped at two addresses at once, or was\n");
	check_has(text, " 32K rw-s, offset 1000\n");
	check_has(text, "  a fork copies 12K, less than 0.1 ms\n");
	free(text);
	text = print(alias_print_json);
	check_has(text, "\"fork_copy\": {\"objects\": 1, \"copy_kib\": 12, "
			"\"copy_ms\": 0.004, \"at_least\": false, "
			"\"max_copy_kib\": 67108864},\n");
	check_has(text, "{\"object\": \"memfd\", \"name\": \"ring one\", "
			"\"owner\": \"libring.so\", \"site\": \"ring_make\", "
			"\"size_kib\": 64, \"held_kib\": 12, \"rss_kib\": 12, "
			"\"aliased\": true, \"region\": false, "
			"\"fork\": \"copied\", ");
	check_has(text, "\"copy_kib\": 12, \"copy_ms\": 0.004, \"at_least\": "
			"false, \"mappings\": [{\"start\": \"");
	free(text);
}

/* An object is one to a fork also while it is not mapped. */
Test(tool_alias, a_descriptor_alone)
{
	int fd = memfd("idle", BYTES);
	char *text;

	record(fd, (void *)0x10000, OBJECT_ALIASED);
	make();
	cr_assert_eq(groups.count, 1);
	cr_assert_eq(groups.group[0].nvmas, 0);
	cr_assert_eq(groups.group[0].fork.fate, FORK_COPIED);
	cr_assert_eq(groups.group[0].held_kib, 0);
	cr_assert_str_eq(groups.group[0].name, "idle");
	text = print(alias_print_json);
	check_has(text, "\"mappings\": []}");
	free(text);
}

Test(tool_alias, what_has_gone_is_no_group)
{
	int fd = memfd("gone", BYTES);

	record(fd, (void *)0x10000, OBJECT_ALIASED);
	record(-1, (void *)0x10000, OBJECT_ALIASED);
	record(-1, NULL, OBJECT_ALIASED);
	close(fd);
	make();
	cr_assert_eq(groups.count, 0);
	cr_assert_str_empty(print(alias_print));
}

Test(tool_alias, seals_are_read)
{
	int fd[2] = {memfd("read", BYTES), memfd("then", BYTES)};

	cr_assert_eq(fcntl(fd[0], F_ADD_SEALS, F_SEAL_WRITE), 0);
	cr_assert_eq(fcntl(fd[1], F_ADD_SEALS, 0x10), 0);
	for (int i = 0; i < 2; i++)
		record(fd[i], NULL, OBJECT_ALIASED);
	make();
	cr_assert_eq(groups.count, 2);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(groups.group[i].fork.fate, FORK_SHARED);
		cr_assert_str_eq(groups.group[i].fork.why,
				 "it is sealed against writing");
	}
}

/* Without a look at the descriptors there may be seals. */
Test(tool_alias, seals_that_cannot_be_read_are_not_known)
{
	int fd = memfd("ring", BYTES);
	char *text;

	record(fd, map(fd, BYTES, 0), OBJECT_ALIASED);
	make();
	alias_groups_destroy(&groups);
	procfs_close(&subject.proc);
	cr_assert_eq(procfs_open(&subject.proc, "/", 1), -ESRCH);
	alias_groups_make(&groups, &subject);
	cr_assert_eq(groups.count, 1);
	cr_assert_eq(groups.group[0].fork.fate, FORK_UNKNOWN);
	cr_assert_not(groups.group[0].has_held);
	text = print(alias_print);
	check_has(text, "at least 0K held\n    not known whether a fork copies "
			"it, at least 0K, less than 0.1 ms: its seals are not "
			"known\n");
	check_has(text, "  a fork copies nothing, not counting the 1 of which "
			"it is not known\n");
	free(text);
	text = print(alias_print_json);
	check_has(text, "\"fork_copy\": {\"objects\": null, \"copy_kib\": "
			"null, \"copy_ms\": null,");
	check_has(text, "\"fork\": \"unknown\"");
	check_has(text, "\"held_kib\": null");
	check_has(text, "\"copy_kib\": null, \"copy_ms\": null");
	free(text);
}

Test(tool_alias, files_with_and_without_a_name)
{
	char path[2][32] = {"/tmp/test_tool_alias.XXXXXX",
			    "/tmp/test_tool_alias.XXXXXX"};

	for (int i = 0; i < 2; i++) {
		int fd = mkstemp(path[i]);

		cr_assert_geq(fd, 0);
		cr_assert_eq(ftruncate(fd, BYTES), 0);
		if (i == 0)
			unlink(path[i]);
		record(fd, map(fd, BYTES, 0), OBJECT_ALIASED);
		map(fd, BYTES, 0);
	}
	make();
	unlink(path[1]);
	cr_assert_eq(groups.count, 2);
	cr_assert_eq(groups.group[0].kind, ALIAS_FILE);
	cr_assert_eq(groups.group[0].fork.fate, FORK_COPIED);
	cr_assert_str_eq(groups.group[0].name, path[0]);
	cr_assert_eq(groups.group[0].nvmas, 2);
	cr_assert_eq(groups.group[1].fork.fate, FORK_SHARED);
	cr_assert_str_eq(groups.group[1].fork.why,
			 "it has a name that others can open");
}

Test(tool_alias, shared_anonymous_memory)
{
	char *p = map(-1, BYTES, 0), *q = mremap(p, 0, BYTES, MREMAP_MAYMOVE);
	const struct alias_group *group;

	cr_assert_neq(q, MAP_FAILED);
	memset(q, 1, BYTES);
	p[0] = 1;
	record(-1, q, OBJECT_ALIASED);
	make();
	cr_assert_eq(groups.count, 1);
	group = &groups.group[0];
	cr_assert_eq(group->kind, ALIAS_ANONYMOUS);
	cr_assert_str_eq(group->name, "");
	cr_assert_eq(group->nvmas, 2);
	cr_assert_eq(group->fork.fate, FORK_COPIED);
	cr_assert_eq(group->size_kib, 64);
	cr_assert_eq(group->rss_kib, 64);
	/* to tell what it holds takes privileges */
	cr_assert_eq(alias_group_cost_kib(group), 64);
}

/* Two objects cannot be in one place; the registry may remember one wrongly. */
Test(tool_alias, two_records_of_one_place_are_told)
{
	char *p = map(-1, BYTES, 0);

	record(-1, p, OBJECT_ALIASED);
	record(-1, p, 0);
	make();
	cr_assert_eq(groups.count, 1);
	cr_assert_eq(groups.group[0].fork.fate, FORK_UNKNOWN);
}

/* What is mapped there now is another site's. */
Test(tool_alias, a_place_that_was_used_again)
{
	uint32_t other =
		fake_site(&fake, "prog", KIND_MMAP, "main", "prog: mmap main");
	char *p = map(-1, BYTES, 0);
	struct registry_region *region = fake_region(&fake, 0, 1, other);

	region->start = (uintptr_t)p;
	region->end = (uintptr_t)p + BYTES;
	record(-1, p, OBJECT_ALIASED);
	make();
	cr_assert_eq(groups.count, 0);
}

/* Private memory there is none of ours. */
Test(tool_alias, a_private_mapping_shows_no_object)
{
	void *p = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	record(-1, p, OBJECT_ALIASED);
	make();
	cr_assert_eq(groups.count, 0);
}

Test(tool_alias, single_mappings_only_where_a_fork_copies_them)
{
	int fd = memfd("pool", BYTES);

	record(fd, map(fd, BYTES, 0), 0);
	map(memfd("unseen", BYTES), BYTES, 0); /* the registry missed it */
	make();
	cr_assert_eq(groups.count, 0);
}

Test(tool_alias, with_fork_all_also_what_the_registry_missed)
{
	int fd = memfd("pool", BYTES);

	set_options("fork=all,share=lib*");
	record(fd, map(fd, BYTES, 0), 0);
	map(memfd("unseen", BYTES), BYTES, 0);
	make();
	cr_assert_eq(groups.count, 1);
	cr_assert_str_eq(groups.group[0].name, "unseen");
	cr_assert_str_eq(groups.group[0].label.owner, LABEL_UNATTRIBUTED);
	cr_assert_null(groups.group[0].object);
	cr_assert_eq(groups.group[0].fork.fate, FORK_COPIED);
}

Test(tool_alias, what_costs_most_comes_first_and_the_limit_is_told)
{
	static const char *const names[] = {"small", "large", "other"};
	char *text;

	set_options("max-copy=64K");
	for (int i = 0; i < 3; i++) {
		int fd = memfd(names[i], BYTES);
		char *p = map(fd, BYTES, 0);

		memset(p, 1, i == 1 ? BYTES : 4096);
		record(fd, p, OBJECT_ALIASED | (i == 2 ? OBJECT_FOREIGN : 0));
	}
	make();
	cr_assert_eq(groups.count, 3);
	cr_assert_str_eq(groups.group[0].name, "large");
	cr_assert_str_eq(groups.group[1].name, "small");
	cr_assert_str_eq(groups.group[2].name, "other");
	text = print(alias_print);
	check_has(text, "a fork copies 68K, less than 0.1 ms; that is more "
			"than max-copy, 64K: it fails with ENOMEM\n");
	check_has(text, "a fork shares it: it came from another process\n");
	free(text);
}

Test(tool_alias, names_are_fit_for_a_terminal)
{
	int fd = memfd("a\033[31m\"b\\", BYTES);
	char *text;

	record(fd, map(fd, BYTES, 0), OBJECT_ALIASED);
	make();
	text = print(alias_print);
	cr_assert_null(strchr(text, '\033'));
	free(text);
	text = print(alias_print_json);
	check_has(text, "\\\"b");
	cr_assert_null(strchr(text, '\033'));
	free(text);
}

Test(tool_alias, nothing_is_known_without_a_registry)
{
	char *text;

	alias_groups_make(&groups, &subject);
	cr_assert_not(groups.known);
	cr_assert_str_empty(print(alias_print));
	text = print(alias_print_json);
	check_has(text, "\"alias_groups\": null\n");
	check_has(text, "\"max_copy_kib\": null}");
	free(text);
	subject.proc.dir = -1;
}

Test(tool_alias, a_registry_without_objects_is_none)
{
	fake.head.table[REGISTRY_OBJECTS].elem_bytes++;
	make();
	cr_assert_not(groups.known);
}

/* A core file: no descriptors, no devices, no seals. */
Test(tool_alias, of_a_core_file_what_it_tells)
{
	int fd = memfd("ring", BYTES);
	void *p = map(fd, BYTES, 0);
	char *text;

	record(fd, p, OBJECT_ALIASED);
	record(fd, p, OBJECT_ALIASED | OBJECT_FOREIGN);
	record(-1, (void *)0x10000, OBJECT_ALIASED); /* not in it */
	make();
	procfs_close(&subject.proc);
	alias_groups_destroy(&groups);
	for (size_t i = 0; i < subject.vmas.count; i++) {
		subject.vmas.v[i].perms[3] = 'p';
		subject.vmas.v[i].inode = 0;
	}
	subject.core = "core";
	alias_groups_make(&groups, &subject);
	subject.core = NULL;
	cr_assert_eq(groups.count, 2);
	cr_assert_eq(groups.group[0].fork.fate, FORK_SHARED);
	cr_assert_eq(groups.group[1].fork.fate, FORK_UNKNOWN);
	cr_assert_str_eq(groups.group[1].name, "ring");
	text = print(alias_print);
	check_has(text, "64K, not known how much it held\n    not known "
			"whether a fork copies it: its seals are not known\n");
	free(text);
	text = print(alias_print_json);
	check_has(text, "\"rss_kib\": null");
	check_has(text, "\"mappings\": null}");
	free(text);
}
