/* SPDX-License-Identifier: BSD-2-Clause */
/* VMAs: what sort each one is, searching, and PSS that adds up. */
#include "tool/vma.h"

#include "../asleep.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct strpool pool;
static struct vma_list list;

static void done(void)
{
	vma_list_destroy(&list);
	strpool_destroy(&pool);
}

TestSuite(tool_vma, .fini = done);

static struct vma classified(const char *name, bool shared)
{
	struct vma vma = {.name = strpool_add(&pool, name)};

	vma_classify(&vma, shared, &pool);
	return vma;
}

Test(tool_vma, tells_sorts_of_memory_by_name)
{
	static const struct {
		const char *name;
		bool shared;
		enum vma_class class;
	} cases[] = {
		{"", false, VMA_ANON},
		{"[heap]", false, VMA_HEAP},
		{"[stack]", false, VMA_STACK},
		{"[vdso]", false, VMA_KERNEL},
		{"[vvar_vclock]", false, VMA_KERNEL},
		{"[vsyscall]", false, VMA_KERNEL},
		{"[anon:a: mmap b]", false, VMA_ANON},
		{"[anon_shmem:a: mmap b]", true, VMA_ANON},
		{"/dev/zero (deleted)", true, VMA_ANON},
		{"/dev/zero", false, VMA_FILE},
		{"/dev/zero (deleted)", false, VMA_FILE},
		{"/anon_hugepage (deleted)", false, VMA_FILE},
		{"/memfd:jit (deleted)", true, VMA_FILE},
		{"/SYSV00000000 (deleted)", true, VMA_FILE},
		{"/usr/lib/libc.so.6", false, VMA_FILE},
		{"anon_inode:[perf_event]", true, VMA_FILE},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(classified(cases[i].name, cases[i].shared).class,
			     cases[i].class, "%s", cases[i].name);
}

Test(tool_vma, takes_the_name_out_of_its_brackets)
{
	cr_assert_str_eq(classified("[anon:libc.so.6: bss]", false).anon_name,
			 "libc.so.6: bss");
	cr_assert_str_eq(classified("[anon_shmem:x]", true).anon_name, "x");
	cr_assert_null(classified("[anon:cut", false).anon_name);
	cr_assert_null(classified("", false).anon_name);
}

Test(tool_vma, takes_the_last_part_of_a_path)
{
	static const char *const cases[][2] = {
		{"/usr/lib/libc.so.6", "libc.so.6"},
		{"/usr/lib/libz.so (deleted)", "libz.so"},
		{"plain", "plain"},
		{"/", "/"},
		{"/a/b/", "/a/b/"},
		{"", ""},
		{" (deleted)", " (deleted)"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_str_eq(vma_basename(cases[i][0], &pool), cases[i][1]);
}

/* A VMA of 16 pages, the n-th of the list. */
static void add(uint64_t rss_kib, uint64_t pss_kib)
{
	struct vma vma = {
		.start = 0x100000 * (list.count + 1),
		.end = 0x100000 * (list.count + 1) + 0x10000,
		.name = strpool_empty,
		.rss_kib = rss_kib,
		.pss_kib = pss_kib,
	};

	vma_list_add(&list, &vma);
}

Test(tool_vma, finds_the_vma_of_an_address)
{
	add(0, 0);
	add(0, 0);
	cr_assert_eq(vma_list_find(&list, 0x100000), &list.v[0]);
	cr_assert_eq(vma_list_find(&list, 0x10ffff), &list.v[0]);
	cr_assert_null(vma_list_find(&list, 0x110000));
	cr_assert_eq(vma_list_find(&list, 0x200001), &list.v[1]);
	cr_assert_null(vma_list_find(&list, 0));
	cr_assert_eq(vma_list_lower(&list, 0x110000), 1);
	cr_assert_eq(vma_list_lower(&list, UINT64_MAX), 2);
}

static uint64_t sum_of_pss(void)
{
	struct vma_rollup sum;

	vma_list_sum(&list, &sum);
	return sum.pss_kib;
}

Test(tool_vma, gives_fractions_to_vmas_that_share)
{
	add(64, 64); /* nobody shares: exact as it is */
	add(64, 21);
	add(64, 10);
	add(64, 9);
	cr_assert_eq(vma_list_mend_pss(&list, 106), VMA_MEND_ROUNDED);
	cr_assert_eq(sum_of_pss(), 106);
	cr_assert_eq(list.v[0].pss_kib, 64);
	for (int i = 1; i < 4; i++) {
		uint64_t was[] = {64, 21, 10, 9};

		cr_assert_leq(list.v[i].pss_kib - was[i], 1);
	}
}

Test(tool_vma, leaves_pss_alone_that_adds_up)
{
	add(64, 64);
	add(64, 21);
	cr_assert_eq(vma_list_mend_pss(&list, 85), VMA_MEND_ROUNDED);
	cr_assert_eq(list.v[1].pss_kib, 21);
}

Test(tool_vma, follows_pss_that_drifts_either_way)
{
	add(64, 64);
	add(64, 20);
	add(64, 10);
	cr_assert_eq(vma_list_mend_pss(&list, 84), VMA_MEND_DRIFTED);
	cr_assert_eq(sum_of_pss(), 84);
	cr_assert_eq(list.v[0].pss_kib, 64);
	cr_assert_eq(vma_list_mend_pss(&list, 120), VMA_MEND_DRIFTED);
	cr_assert_eq(sum_of_pss(), 120);
	for (int i = 0; i < 3; i++)
		cr_assert_leq(list.v[i].pss_kib, list.v[i].rss_kib);
}

Test(tool_vma, does_not_invent_pss)
{
	add(64, 64);
	add(64, 60);
	cr_assert_eq(vma_list_mend_pss(&list, 200), VMA_MEND_FAILED);
	cr_assert_eq(vma_list_mend_pss(&list, 3), VMA_MEND_FAILED);
	cr_assert_eq(sum_of_pss(), 124, "nothing was changed");
}

Test(tool_vma, mends_an_empty_list)
{
	cr_assert_eq(vma_list_mend_pss(&list, 0), VMA_MEND_ROUNDED);
	cr_assert_eq(vma_list_mend_pss(&list, 5), VMA_MEND_FAILED);
}

static int open_text(const char *text)
{
	int fd = memfd_create("text", 0);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	lseek(fd, 0, SEEK_SET);
	return fd;
}

Test(tool_vma, reads_a_list_and_cuts_what_overlaps)
{
	int fd = open_text("1000-2000 rw-p 00000000 00:00 0 [heap]\n"
			   "Rss: 4 kB\nPss: 2 kB\n"
			   "2000-3000 rw-s 00000000 00:01 9 "
			   "/dev/zero (deleted)\n");

	cr_assert_eq(vma_list_read(&list, fd, &pool), 0);
	cr_assert_eq(list.count, 2);
	cr_assert_eq(list.v[0].class, VMA_HEAP);
	cr_assert_eq(list.v[0].pss_kib, 2);
	cr_assert_eq(list.v[1].class, VMA_ANON);
	close(fd);
	vma_list_destroy(&list);
	fd = open_text("2000-3000 rw-p 00000000 00:00 0 \n"
		       "2800-4000 rw-p 00000000 00:00 0 \n");
	cr_assert_eq(vma_list_read(&list, fd, &pool), 0);
	cr_assert_eq(list.count, 2);
	cr_assert_eq(list.v[1].start, 0x3000);
	cr_assert_eq(list.v[1].end, 0x4000);
	close(fd);
	vma_list_destroy(&list);
	fd = open_text("2000-3000 no VMA\n");
	cr_assert_eq(vma_list_read(&list, fd, &pool), -EBADMSG);
	close(fd);
}

/* A child that does nothing until its input ends. */
static pid_t start_idle_child(int *hold)
{
	int ends[2];
	pid_t child;

	cr_assert_eq(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		char byte;

		close(ends[1]);
		_exit(read(ends[0], &byte, 1) == 1);
	}
	close(ends[0]);
	*hold = ends[1];
	return child;
}

static int open_of(pid_t pid, const char *file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return open(path, O_RDONLY);
}

Test(tool_vma, sums_up_to_the_kernels_rollup)
{
	struct vma_rollup sum, rollup;
	int fd, hold;
	pid_t child = start_idle_child(&hold);

	await_asleep(child);
	fd = open_of(child, "smaps");
	cr_assert_eq(vma_list_read(&list, fd, &pool), 0);
	close(fd);
	fd = open_of(child, "smaps_rollup");
	cr_assert_eq(vma_rollup_read(&rollup, fd), 0);
	close(fd);
	vma_list_sum(&list, &sum);
	cr_assert_gt(sum.rss_kib, 0);
	cr_assert_eq(sum.rss_kib, rollup.rss_kib);
	cr_assert_eq(sum.swap_kib, rollup.swap_kib);
	close(hold);
	waitpid(child, NULL, 0);
}
