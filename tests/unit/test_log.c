/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages: where they go, and where they must not.
 */
#include "base/log.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static char text[1 << 20];

/* Descriptor 2 becomes a file of the test's. */
static int stderr_to_file(void)
{
	int fd = memfd_create("stderr", 0);

	cr_assert_geq(fd, 0);
	dup2(fd, 2);
	return fd;
}

static const char *content(int fd)
{
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static unsigned lines(const char *p)
{
	unsigned n = 0;

	for (; *p; p++)
		n += *p == '\n';
	return n;
}

Test(log, a_line_on_stderr)
{
	int fd = stderr_to_file();

	log_init(NULL);
	log_text("something: happened");
	cr_assert_str_eq(content(fd), "anonshim: something: happened\n");
}

Test(log, not_into_a_file_that_took_stderrs_place)
{
	int data;

	stderr_to_file();
	log_init("");
	data = stderr_to_file();
	log_text("lost");
	log_page("lost\n", 5);
	cr_assert_str_eq(content(data), "");
}

Test(log, nor_where_there_was_none_at_start_up)
{
	int data;

	close(2);
	log_init(NULL);
	data = stderr_to_file();
	log_text("lost");
	cr_assert_str_eq(content(data), "");
}

Test(log, stderr_closed_later)
{
	stderr_to_file();
	log_init(NULL);
	close(2);
	log_text("lost"); /* must not crash, nor find another descriptor */
}

Test(log, cap_of_lines)
{
	int fd = stderr_to_file();

	log_init(NULL);
	for (unsigned i = 0; i < 3 * LOG_LINES_MAX; i++)
		log_text("again");
	cr_assert_eq(lines(content(fd)), LOG_LINES_MAX);
	log_page("past the cap\n", 13);
	cr_assert_eq(lines(content(fd)), LOG_LINES_MAX + 1);
}

Test(log, once)
{
	int fd = stderr_to_file();
	bool said = false;
	bool other = false;

	log_init(NULL);
	for (unsigned i = 0; i < 5; i++)
		log_once(&said, "first");
	log_once(&other, "second");
	cr_assert_str_eq(content(fd), "anonshim: first\nanonshim: second\n");
}

Test(log, a_long_line_is_cut_and_still_a_line)
{
	static char longest[5000];
	int fd = stderr_to_file();

	memset(longest, 'x', sizeof(longest) - 1);
	log_init(NULL);
	log_text(longest);
	log_text("next");
	cr_assert_eq(lines(content(fd)), 2);
	cr_assert_eq(strcspn(text, "\n"), LOG_LINE_BYTES - 2);
}

Test(log, to_a_file_appended)
{
	char path[] = "/tmp/anonshim-log-XXXXXX";
	int fd = mkstemp(path);
	int err = stderr_to_file();

	cr_assert_eq(write(fd, "before\n", 7), 7);
	log_init(path);
	log_text("one");
	log_text("two");
	unlink(path);
	cr_assert_str_eq(content(fd), "before\nanonshim: one\nanonshim: two\n");
	cr_assert_str_eq(content(err), "", "not on stderr as well");
}

Test(log, a_file_that_cannot_be_written)
{
	int err = stderr_to_file();

	log_init("/nonexistent/log");
	log_text("lost");
	cr_assert_str_eq(content(err), "");
}

Test(log, every_call_may_fail)
{
	static const long calls[] = {SYS_fstat, SYS_openat, SYS_write,
				     SYS_close};
	char path[] = "/tmp/anonshim-log-XXXXXX";

	close(mkstemp(path));
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		fault_set(calls[i], -EIO, 0, -1);
		log_init(i % 2 ? path : NULL);
		log_text("x");
		log_init(path);
		log_text("x");
	}
	fault_none();
	unlink(path);
}
