/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of smaps text: what it takes, what it refuses, in any pieces. */
#include "tool/smaps.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TWO_VMAS                                               \
	"556efd7b6000-556efd7b8000 r--p 00001000 fe:0a 247498" \
	"                     /usr/bin/my head (deleted)\n"    \
	"Size:                  8 kB\n"                        \
	"Rss:                   4 kB\n"                        \
	"Pss:                   3 kB\n"                        \
	"Pss_Dirty:             9 kB\n"                        \
	"Swap:                 12 kB\n"                        \
	"SwapPss:              99 kB\n"                        \
	"THPeligible:           0\n"                           \
	"VmFlags: rd mr mw me \n"                              \
	"7ffe4c0d1000-7ffe4c0f2000 rw-s 00000000 00:00 0 \n"   \
	"Rss:                  20 kB\n"

struct seen {
	struct smaps_vma vma[8];
	char name[8][256];
	int count;
	int stop_at; /* result of the call with this number, 0: never */
};

static int record(const struct smaps_vma *vma, void *arg)
{
	struct seen *seen = arg;

	if (seen->count < 8) {
		seen->vma[seen->count] = *vma;
		snprintf(seen->name[seen->count], sizeof(seen->name[0]), "%s",
			 vma->name);
	}
	seen->count++;
	return seen->count == seen->stop_at ? 42 : 0;
}

static int parse(const char *text, struct seen *seen)
{
	memset(seen, 0, sizeof(*seen));
	return smaps_parse(text, strlen(text), record, seen);
}

static void check_two_vmas(const struct seen *seen)
{
	const struct smaps_vma *first = &seen->vma[0], *second = &seen->vma[1];

	cr_assert_eq(seen->count, 2);
	cr_assert_eq(first->start, 0x556efd7b6000);
	cr_assert_eq(first->end, 0x556efd7b8000);
	cr_assert_eq(first->offset, 0x1000);
	cr_assert_eq(first->dev_major, 0xfe);
	cr_assert_eq(first->dev_minor, 0x0a);
	cr_assert_eq(first->inode, 247498);
	cr_assert_str_eq(first->perms, "r--p");
	cr_assert_str_eq(seen->name[0], "/usr/bin/my head (deleted)");
	cr_assert_eq(first->rss_kib, 4);
	cr_assert_eq(first->pss_kib, 3, "Pss_Dirty is another field");
	cr_assert_eq(first->swap_kib, 12, "SwapPss is another field");
	cr_assert_str_eq(second->perms, "rw-s");
	cr_assert_str_eq(seen->name[1], "");
	cr_assert_eq(second->rss_kib, 20);
	cr_assert_eq(second->swap_kib, 0, "nothing is left of the VMA before");
}

Test(tool_smaps, takes_the_fields_of_each_vma)
{
	struct seen seen;

	cr_assert_eq(parse(TWO_VMAS, &seen), 0);
	check_two_vmas(&seen);
}

Test(tool_smaps, does_not_care_where_the_text_is_cut)
{
	size_t len = strlen(TWO_VMAS);

	for (size_t cut = 0; cut <= len; cut++) {
		struct smaps_parser parser;
		struct seen seen = {.count = 0};

		smaps_init(&parser, record, &seen);
		cr_assert_eq(smaps_feed(&parser, TWO_VMAS, cut), 0);
		cr_assert_eq(smaps_feed(&parser, TWO_VMAS + cut, len - cut), 0);
		cr_assert_eq(smaps_end(&parser), 0);
		check_two_vmas(&seen);
	}
}

Test(tool_smaps, takes_one_byte_at_a_time)
{
	struct smaps_parser parser;
	struct seen seen = {.count = 0};

	smaps_init(&parser, record, &seen);
	for (const char *p = TWO_VMAS; *p != '\0'; p++)
		cr_assert_eq(smaps_feed(&parser, p, 1), 0);
	cr_assert_eq(smaps_end(&parser), 0);
	check_two_vmas(&seen);
}

Test(tool_smaps, takes_maps_which_has_no_fields)
{
	struct seen seen;

	cr_assert_eq(parse("1000-2000 r-xp 00000000 00:00 0 [vdso]\n"
			   "2000-3000 ---p 00000000 00:00 0 ",
			   &seen),
		     0);
	cr_assert_eq(seen.count, 2);
	cr_assert_str_eq(seen.name[0], "[vdso]");
	cr_assert_eq(seen.vma[1].end, 0x3000);
}

Test(tool_smaps, keeps_names_as_they_are)
{
	struct seen seen;

	cr_assert_eq(parse("1000-2000 rw-p 00000000 00:00 0    "
			   "[anon:libssl.so.3: heap SSL_CTX_new(int, char*)]\n",
			   &seen),
		     0);
	cr_assert_str_eq(seen.name[0],
			 "[anon:libssl.so.3: heap SSL_CTX_new(int, char*)]");
}

Test(tool_smaps, knows_no_vma_in_nothing)
{
	struct seen seen;

	cr_assert_eq(parse("", &seen), 0);
	cr_assert_eq(seen.count, 0);
}

Test(tool_smaps, takes_the_highest_addresses)
{
	struct seen seen;

	cr_assert_eq(parse("ffffffffff600000-ffffffffffffffff --xp 00000000 "
			   "00:00 0 [vsyscall]\n",
			   &seen),
		     0);
	cr_assert_eq(seen.vma[0].end, UINT64_MAX);
}

Test(tool_smaps, refuses_what_the_kernel_does_not_write)
{
	static const char *const bad[] = {
		"\n",
		"garbage\n",
		"1000 rw-p 00000000 00:00 0\n",
		"1000-2000\n",
		"1000-2000 rw-p\n",
		"1000-2000 rwzp 00000000 00:00 0\n",
		"1000-2000 rw-p 00000000 0000 0\n",
		"1000-2000 rw-p 00000000 00:00 \n",
		"2000-1000 rw-p 00000000 00:00 0\n",
		"1000-1000 rw-p 00000000 00:00 0\n",
		"11112222333344445-2000 rw-p 00000000 00:00 0\n",
		"Rss: 4 kB\n",
		"1000-2000 rw-p 00000000 00:00 0\nRss\n",
		"1000-2000 rw-p 00000000 00:00 0\nRss: kB\n",
		"1000-2000 rw-p 00000000 00:00 0\nRss: -4 kB\n",
		"1000-2000 rw-p 00000000 00:00 0\nPss: "
		"18446744073709551616 kB\n",
		"1000-2000 rw-p 00000000 00:00 0\nSwap: "
		"18446744073709551615 kB\n",
		"\xff\xfe\x00",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct seen seen;

		cr_assert_eq(parse(bad[i], &seen), -EBADMSG, "number %zu", i);
	}
}

Test(tool_smaps, refuses_a_line_without_end)
{
	struct smaps_parser parser;
	struct seen seen = {.count = 0};
	char piece[1000];
	int status = 0;

	memset(piece, 'a', sizeof(piece));
	smaps_init(&parser, record, &seen);
	for (int i = 0; i < 100 && status == 0; i++)
		status = smaps_feed(&parser, piece, sizeof(piece));
	cr_assert_eq(status, -EBADMSG);
}

Test(tool_smaps, refuses_an_overlong_line_in_one_piece)
{
	size_t len = 3 * SMAPS_LINE_BYTES;
	char *text = malloc(len + 1);
	struct seen seen;

	memset(text, 'A', len);
	text[len - 1] = '\n';
	text[len] = '\0';
	cr_assert_eq(parse(text, &seen), -EBADMSG);
	free(text);
}

Test(tool_smaps, takes_the_longest_path)
{
	static const char head[] = "1000-2000 r--p 00000000 08:01 7    /";
	char text[4096 + sizeof(head) + 16];
	struct seen seen;

	memset(text, 'x', sizeof(text));
	memcpy(text, head, strlen(head));
	strcpy(text + strlen(head) + 4094, "\n");
	cr_assert_eq(parse(text, &seen), 0);
	cr_assert_eq(seen.count, 1);
}

Test(tool_smaps, an_error_sticks)
{
	struct smaps_parser parser;
	struct seen seen = {.count = 0};

	smaps_init(&parser, record, &seen);
	cr_assert_eq(smaps_feed(&parser, "?\n", 2), -EBADMSG);
	cr_assert_eq(smaps_feed(&parser, TWO_VMAS, strlen(TWO_VMAS)), -EBADMSG);
	cr_assert_eq(smaps_end(&parser), -EBADMSG);
	cr_assert_eq(seen.count, 0);
}

Test(tool_smaps, stops_when_told_to)
{
	struct seen seen = {.stop_at = 1};

	cr_assert_eq(smaps_parse(TWO_VMAS, strlen(TWO_VMAS), record, &seen),
		     42);
	cr_assert_eq(seen.count, 1);
}

Test(tool_smaps, reads_a_file_of_the_kernel)
{
	struct seen seen = {.count = 0};
	int fd = open("/proc/self/smaps", O_RDONLY);

	cr_assert_geq(fd, 0);
	cr_assert_eq(smaps_read(fd, record, &seen), 0);
	cr_assert_gt(seen.count, 5);
	close(fd);
}

Test(tool_smaps, tells_that_a_file_cannot_be_read)
{
	struct seen seen = {.count = 0};

	cr_assert_eq(smaps_read(-1, record, &seen), -EBADF);
}
