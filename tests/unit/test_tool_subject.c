/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports from a /proc that the test writes: names as a kernel that takes them
 * shows them, processes that are gone, that are odd, that do not add up.
 */
#include "tool/subject.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/cli.h"
#include "tool/explain.h"
#include "tool/report.h"

#define PID 4711

static const char smaps[] =
	"555500000000-555500002000 r-xp 00000000 08:01 11 /opt/bin/server\n"
	"Rss: 8 kB\nPss: 2 kB\nSwap: 0 kB\n"
	"555500100000-555500200000 rw-p 00000000 00:00 0 [heap]\n"
	"Rss: 40 kB\nPss: 40 kB\nSwap: 4 kB\n"
	"7f0000000000-7f0000100000 rw-p 00000000 00:00 0 "
	"[anon:libssl.so.3: mmap CRYPTO_secure_malloc_init]\n"
	"Rss: 100 kB\nPss: 100 kB\nSwap: 8 kB\n"
	"7f0000100000-7f0000200000 rw-p 00000000 00:00 0 "
	"[anon:libssl.so.3: bss]\n"
	"Rss: 12 kB\nPss: 12 kB\nSwap: 0 kB\n"
	"7f0000200000-7f0000300000 rw-s 00000000 00:01 5 "
	"[anon_shmem:server: mmap pool]\n"
	"Rss: 24 kB\nPss: 11 kB\nSwap: 0 kB\n"
	"7f0000300000-7f0000310000 rw-p 00000000 00:00 0 [anon: glibc: x]\n"
	"Rss: 4 kB\nPss: 4 kB\nSwap: 0 kB\n"
	"7f0000400000-7f0000410000 rw-p 00000000 00:00 0 \n"
	"Rss: 16 kB\nPss: 16 kB\nSwap: 0 kB\n"
	"7f0000500000-7f0000510000 rw-s 00000000 00:01 6 /memfd:j\\it "
	"(deleted)\n"
	"Rss: 4 kB\nPss: 2 kB\nSwap: 0 kB\n"
	"7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0 [stack]\n"
	"Rss: 20 kB\nPss: 20 kB\nSwap: 0 kB\n";

/* RSS and swap as above; PSS 1 KiB more than the rows, as rounding makes. */
static const char rollup[] =
	"555500000000-7ffe00021000 ---p 00000000 00:00 0 [rollup]\n"
	"Rss: 228 kB\nPss: 208 kB\nSwap: 12 kB\n";

static char proc[64], dir[128];
static struct subject subject;
static bool opened;

static void put(const char *file, const char *text)
{
	char path[256];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	out = fopen(path, "w");
	cr_assert_not_null(out);
	fputs(text, out);
	fclose(out);
}

static void start(void)
{
	char exe[256];

	cr_redirect_stderr();
	snprintf(proc, sizeof(proc), "/tmp/test_tool_subject.XXXXXX");
	cr_assert_not_null(mkdtemp(proc));
	snprintf(dir, sizeof(dir), "%s/%d", proc, PID);
	cr_assert_eq(mkdir(dir, 0755), 0);
	put("smaps", smaps);
	put("maps", smaps);
	put("smaps_rollup", rollup);
	put("comm", "ser\"ver\n");
	put("stat", "4711 (ser ) Z ver) S 1 1 1 0 -1 4194304 1\n");
	snprintf(exe, sizeof(exe), "%s/exe", dir);
	cr_assert_eq(symlink("/opt/bin/server", exe), 0);
}

static void done(void)
{
	static const char *const files[] = {"smaps", "maps", "smaps_rollup",
					    "comm",  "stat", "exe"};
	char path[256];

	if (opened)
		subject_close(&subject);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		unlink(path);
	}
	rmdir(dir);
	rmdir(proc);
}

TestSuite(tool_subject, .init = start, .fini = done);

static int open_subject(void)
{
	opened = true;
	return subject_open_live(&subject, proc, PID);
}

/* The report in one of its forms; the caller frees it. */
static char *report(enum rows_by by,
		    void (*print)(const struct report *, FILE *))
{
	struct report made;
	static char *text; /* gcc 12 takes a local for one that dangles */
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	report_make(&made, &subject, by);
	print(&made, out);
	report_destroy(&made);
	fclose(out);
	return text;
}

static void check_has(const char *text, const char *what)
{
	cr_assert_not_null(strstr(text, what), "%s is not in\n%s", what, text);
}

/* What went to stderr: exactly one line, with `what` in it. */
static void check_told(const char *what)
{
	FILE *err = cr_get_redirected_stderr();
	char text[2048];
	size_t bytes;

	fflush(stderr);
	bytes = fread(text, 1, sizeof(text) - 1, err);
	text[bytes] = '\0';
	check_has(text, what);
	cr_assert_eq(strchr(text, '\n'), text + bytes - 1, "%s", text);
	cr_assert_eq(strncmp(text, "anonshim: ", 10), 0);
}

Test(tool_subject, names_in_the_kernel_are_rows)
{
	char *text;

	cr_assert_eq(open_subject(), CLI_OK);
	text = report(ROWS_BY_NAME, report_print_tsv);
	check_has(text, "owner\tkind\tsite\tname\trss_kib\tpss_kib\t"
			"swap_kib\tsize_kib\tvmas\tlive_kib\testimate\n");
	check_has(text, "libssl.so.3\tmmap\tCRYPTO_secure_malloc_init\t"
			"libssl.so.3: mmap CRYPTO_secure_malloc_init\t"
			"100\t100\t8\t1024\t1\t\tfalse\n");
	check_has(text, "libssl.so.3\tbss\t\tlibssl.so.3: bss\t12\t12\t0\t"
			"1024\t1\t\tfalse\n");
	check_has(text, "server\tmmap\tpool\tserver: mmap pool\t24\t");
	check_has(text, "glibc\tmmap\tx\t glibc: x\t4\t4\t0\t64\t1\t\tfalse\n");
	check_has(text, "(unattributed)\t(unattributed)\t\t\t16\t16\t0\t64\t1");
	check_has(text,
		  "[heap]\theap\t\t[heap]\t40\t40\t4\t1024\t1\t\tfalse\n");
	check_has(text,
		  "server\tstack\tmain\t[stack]\t20\t20\t0\t132\t1\t\tfalse\n");
	check_has(text, "server\tfile\t\t/opt/bin/server\t8\t");
	check_has(text, "memfd:j\\\\it\tfile\t\t/memfd:j\\\\it (deleted)\t4");
	free(text);
}

Test(tool_subject, json_has_the_head_and_adds_up)
{
	char *text;

	cr_assert_eq(open_subject(), CLI_OK);
	text = report(ROWS_BY_OWNER, report_print_json);
	check_has(text, "\"schema_version\": 1,");
	check_has(text, "\"pid\": 4711,");
	check_has(text, "\"comm\": \"ser\\\"ver\",");
	check_has(text, "\"source\": \"kernel\",");
	check_has(text, "\"total\": {\"rss_kib\": 228, \"pss_kib\": 208, "
			"\"swap_kib\": 12, \"size_kib\": 4428, \"vmas\": 9}");
	check_has(text, "\"anonymous\": {\"rss_kib\": 216,");
	check_has(text, "\"named_kib\": 140,");
	check_has(text, "\"heap_stack_kib\": 60,");
	check_has(text, "\"unattributed_kib\": 16,");
	check_has(text, "{\"owner\": \"libssl.so.3\", \"kind\": \"\", "
			"\"site\": \"\", \"name\": \"\", \"rss_kib\": 112, "
			"\"pss_kib\": 112, \"swap_kib\": 8, "
			"\"size_kib\": 2048, \"vmas\": 2, "
			"\"live_kib\": null, \"estimate\": false}");
	check_has(text, "\"live_kib\": null,\n  \"rows\": [");
	check_has(text, "\"memfd:j\\\\it\"");
	free(text);
}

Test(tool_subject, the_table_ends_in_the_total)
{
	char *text, *last;

	cr_assert_eq(open_subject(), CLI_OK);
	text = report(ROWS_BY_OWNER, report_print);
	check_has(text, "process 4711 (ser\"ver), names from the kernel\n");
	check_has(text, "64.8 % attributed, 27.8 % [heap] and [stack], 7.4 % "
			"not attributed");
	text[strlen(text) - 1] = '\0';
	last = strrchr(text, '\n') + 1;
	check_has(last, "total");
	check_has(last, "228K");
	check_has(last, "208K");
	cr_assert_null(strchr(text, '\033'), "no terminal, no colours");
	free(text);
}

Test(tool_subject, says_that_there_is_no_shim)
{
	cr_assert_eq(open_subject(), CLI_OK);
	check_told("process 4711 does not run under anonshim: showing what "
		   "smaps alone tells; start it with anonshim run");
}

Test(tool_subject, figures_that_do_not_add_up_are_told)
{
	put("smaps_rollup", "1000-2000 ---p 00000000 00:00 0 [rollup]\n"
			    "Rss: 232 kB\nPss: 208 kB\nSwap: 12 kB\n");
	cr_assert_eq(open_subject(), CLI_OK);
	fflush(stderr);
	char text[2048] = "";
	cr_assert_gt(
		fread(text, 1, sizeof(text) - 1, cr_get_redirected_stderr()),
		0);
	check_has(text, "process 4711 is too busy for a consistent view");
}

Test(tool_subject, works_without_a_rollup)
{
	char path[256], *text;

	snprintf(path, sizeof(path), "%s/smaps_rollup", dir);
	unlink(path);
	cr_assert_eq(open_subject(), CLI_OK);
	text = report(ROWS_BY_KIND, report_print_json);
	check_has(text, "\"total\": {\"rss_kib\": 228, \"pss_kib\": 207,");
	free(text);
}

Test(tool_subject, a_process_that_is_not_there)
{
	opened = true;
	cr_assert_eq(subject_open_live(&subject, proc, PID + 1), CLI_FAILED);
	check_told("find process 4712: No such process; check the PID");
}

Test(tool_subject, a_zombie_has_ended)
{
	put("smaps", "");
	put("maps", "");
	put("stat", "4711 (server) Z 1 1 1 0 -1 4194304 1\n");
	cr_assert_eq(open_subject(), CLI_FAILED);
	check_told("process 4711: No such process");
}

Test(tool_subject, a_thread_of_the_kernel_has_no_memory)
{
	put("smaps", "");
	put("maps", "");
	put("stat", "4711 (kthreadd) S 1 1 1 0 -1 2129984 1\n");
	cr_assert_eq(open_subject(), CLI_FAILED);
	check_told("it is a thread of the kernel");
}

Test(tool_subject, text_that_is_not_the_kernels_is_refused)
{
	put("maps", "hello\n");
	cr_assert_eq(open_subject(), CLI_FAILED);
	check_told("read maps of process 4711");
}

static char *explain(const char *what, bool *found)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	*found = explain_what(&subject, what, out);
	fclose(out);
	return text;
}

Test(tool_subject, explains_names_owners_sites_and_addresses)
{
	static const char *const ways[] = {
		"libssl.so.3: mmap CRYPTO_secure_malloc_init",
		"[anon:libssl.so.3: mmap CRYPTO_secure_malloc_init]",
		"CRYPTO_secure_malloc_init",
		"secure_malloc",
		"0x7f0000000010",
		"7f0000000010",
	};
	bool found;

	cr_assert_eq(open_subject(), CLI_OK);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		char *text = explain(ways[i], &found);

		cr_assert(found, "%s", ways[i]);
		check_has(text, "owner     libssl.so.3\n");
		check_has(text, "resident 100K, PSS 100K, swap 8K, mapped 1.0M "
				"in 1 VMA\n");
		check_has(text, "7f0000000000-7f0000100000 1.0M rw-p");
		free(text);
	}
	free(explain("0x1000", &found));
	cr_assert_not(found);
	free(explain("nothing like it", &found));
	cr_assert_not(found);
}

Test(tool_subject, lists_vmas_where_there_are_no_regions)
{
	char *text = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&text, &bytes);

	cr_assert_eq(open_subject(), CLI_OK);
	explain_list(&subject, false, out);
	fflush(out);
	check_has(text, "[anon:libssl.so.3: bss]");
	rewind(out);
	explain_list(&subject, true, out);
	fclose(out);
	cr_assert_eq(strncmp(text,
			     "start\tend\tkind\tflags\tsite_name\town_name\n",
			     41),
		     0);
	free(text);
}
