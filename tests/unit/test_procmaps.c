/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's list of VMAs: lines, long paths, both ways to ask.
 */
#include "base/procmaps.h"
#include "base/sys.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static struct procmap_vma vma;

static int parse(const char *line)
{
	memset(&vma, 0xee, sizeof(vma));
	return procmaps_parse(line, line + strlen(line), &vma);
}

Test(procmaps, a_file)
{
	cr_assert_eq(parse("7f1000-7f3000 r-xp 00001000 fe:01 1234567    "
			   "/usr/lib/libfoo bar.so (deleted)"),
		     0);
	cr_assert(vma.start == 0x7f1000 && vma.end == 0x7f3000);
	cr_assert(!vma.writable && !vma.shared);
	cr_assert(vma.readable && vma.executable);
	cr_assert_eq(vma.offset, 0x1000);
	cr_assert(vma.major == 0xfe && vma.minor == 1);
	cr_assert_eq(vma.inode, 1234567);
	cr_assert_str_eq(vma.name, "/usr/lib/libfoo bar.so (deleted)");
	cr_assert(!procmap_anonymous(&vma));
}

static bool has(const char *mode, bool r, bool w, bool x, bool s)
{
	char line[64];

	snprintf(line, sizeof(line), "1000-2000 %s 00000000 00:01 7 ", mode);
	cr_assert_eq(parse(line), 0);
	return vma.readable == r && vma.writable == w && vma.executable == x &&
	       vma.shared == s;
}

Test(procmaps, modes)
{
	cr_assert(has("---p", false, false, false, false));
	cr_assert(has("r--s", true, false, false, true));
	cr_assert(has("-w-p", false, true, false, false));
	cr_assert(has("--xs", false, false, true, true));
	cr_assert(has("rwxs", true, true, true, true));
}

Test(procmaps, large_numbers)
{
	cr_assert_eq(parse("1000-2000 rw-s 1fffffffff000 fffff:fffff "
			   "18446744073709551615 /x"),
		     0);
	cr_assert_eq(vma.offset, UINT64_C(0x1fffffffff000));
	cr_assert(vma.major == 0xfffff && vma.minor == 0xfffff);
	cr_assert_eq(vma.inode, UINT64_MAX);
}

static bool anonymous(const char *line)
{
	cr_assert_eq(parse(line), 0, "%s", line);
	return procmap_anonymous(&vma);
}

Test(procmaps, what_is_anonymous)
{
	cr_assert(anonymous("1000-2000 rw-p 00000000 00:00 0 "));
	cr_assert(anonymous("1000-2000 rw-p 00000000 00:00 0"));
	cr_assert(anonymous("1000-2000 rw-p 00000000 00:00 0   [heap]"));
	cr_assert(anonymous("1000-2000 rw-p 00000000 00:00 0   [anon:x y]"));
	cr_assert(anonymous("1000-2000 rw-s 00000000 00:01 7   "
			    "[anon_shmem:x]"));
	cr_assert(anonymous("1000-2000 rw-s 00000000 00:01 7   "
			    "/dev/zero (deleted)"));
}

Test(procmaps, what_is_not)
{
	cr_assert(!anonymous("1000-2000 rw-p 00000000 00:00 0   [stack]"));
	cr_assert(!anonymous("1000-2000 r-xp 00000000 00:00 0   [vdso]"));
	cr_assert(!anonymous("1000-2000 r--p 00000000 00:00 0   "
			     "[vvar_vclock]"));
	cr_assert(!anonymous("1000-2000 rw-p 00000000 00:01 7   "
			     "/dev/zero (deleted)"));
	cr_assert(!anonymous("1000-2000 rw-s 00000000 00:01 7   "
			     "/memfd:x (deleted)"));
	cr_assert(!anonymous("1000-2000 rw-s 00000000 00:01 7   "
			     "/SYSV00000000 (deleted)"));
}

Test(procmaps, lines_that_are_none)
{
	static const char *const bad[] = {
		"",
		"x",
		"1000",
		"1000-",
		"1000-2000",
		"1000-2000 rw",
		"1000-2000 rw-p",
		"1000-2000 rw-p ",
		"1000-2000 rw-p 0",
		"1000-2000 rw-p 0 00",
		"1000-2000 rw-p 0 00:00",
		"1000-2000 rw-p 0 00:00 x",
		"-2000 rw-p 0 00:00 0",
		"11111111111111111-2000 rw-p 0 00:00 0",
		"1000 2000 rw-p 0 00:00 0",
		"1000-2000 rw-p 0 00 0 0",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_assert_eq(parse(bad[i]), -EINVAL, "%s", bad[i]);
}

/* Every beginning of a good line, at the end of a page: no byte past it. */
Test(procmaps, beginnings_of_a_line)
{
	static const char line[] =
		"7f1000-7f3000 rw-s 00001000 fe:01 1234567   /a/file";
	char *pages = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(pages + PAGE, PAGE, PROT_NONE);
	for (size_t len = 0; len < sizeof(line); len++) {
		char *p = pages + PAGE - len;

		memcpy(p, line, len);
		procmaps_parse(p, p + len, &vma);
	}
}

Test(procmaps, a_long_name_is_cut)
{
	char line[4200] = "1000-2000 rw-p 00000000 00:01 7 ";

	memset(line + strlen(line), 'x', 4000);
	cr_assert_eq(parse(line), 0);
	cr_assert_eq(strlen(vma.name), PROCMAPS_NAME_BYTES - 1);
}

struct count {
	unsigned n;
	uintptr_t last;
};

static void count(const struct procmap_vma *v, void *arg)
{
	struct count *c = arg;

	cr_assert_geq(v->start, c->last);
	cr_assert_lt(v->start, v->end);
	c->last = v->end;
	c->n++;
}

static unsigned lines_of_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned n = 0;
	int c;

	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

Test(procmaps, reads_every_vma)
{
	struct count c = {0};
	unsigned want;

	for (unsigned i = 0; i < 1000; i++)
		mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	want = lines_of_maps(); /* warms stdio up */
	want = lines_of_maps();
	cr_assert_eq(procmaps_read(count, &c), 0);
	cr_assert(c.n >= want - 1 && c.n <= want + 1, "%u of %u", c.n, want);
}

/* Paths of thousands of bytes: longer than what is read at a time. */
Test(procmaps, long_paths)
{
	char dir[] = "/tmp/anonshim-maps-XXXXXX";
	char part[201];
	struct count c = {0};
	void *p[3];
	int top;

	cr_assert_not_null(mkdtemp(dir));
	cr_assert_eq(chdir(dir), 0);
	top = open(".", O_RDONLY);
	memset(part, 'd', 200);
	part[200] = '\0';
	for (unsigned i = 0; i < 18; i++) {
		cr_assert_eq(mkdir(part, 0700), 0);
		cr_assert_eq(chdir(part), 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		int fd = open("file", O_RDWR | O_CREAT, 0600);

		cr_assert(!ftruncate(fd, 4096));
		p[i] = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
	}
	cr_assert_eq(procmaps_read(count, &c), 0);
	cr_assert(c.n >= lines_of_maps() - 1);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(procmaps_find((uintptr_t)p[i], &vma), 0);
		cr_assert_eq(vma.start, (uintptr_t)p[i]);
		cr_assert_neq(vma.inode, 0);
		if (!procmaps_query((uintptr_t)p[i], &vma))
			cr_assert_eq(vma.start, (uintptr_t)p[i]);
	}
	unlink("file");
	for (unsigned i = 0; i < 18; i++) {
		cr_assert_eq(chdir(".."), 0);
		rmdir(part);
	}
	cr_assert_eq(fchdir(top), 0);
	rmdir(dir);
}

static bool caps_lack; /* Linux before 6.11 */

static void agree(const struct procmap_vma *v, void *arg)
{
	struct procmap_vma found;
	struct procmap_vma asked;
	unsigned *n = arg;

	if (procmaps_find(v->start, &found))
		return; /* the reader's own stack may have grown */
	cr_assert_eq(found.start, v->start);
	if (procmaps_query(v->start, &asked)) {
		/* no query, or the one line that is no VMA */
		cr_assert(caps_lack || !strcmp(v->name, "[vsyscall]"));
		return;
	}
	cr_assert_eq(asked.start, found.start, "%#lx %#lx %s", asked.start,
		     found.start, found.name);
	cr_assert_eq(asked.end, found.end);
	cr_assert_eq(asked.inode, found.inode);
	cr_assert_eq(asked.shared, found.shared);
	cr_assert_eq(asked.writable, found.writable);
	cr_assert_eq(asked.readable, found.readable);
	cr_assert_eq(asked.executable, found.executable);
	cr_assert_eq(asked.offset, found.offset);
	cr_assert_eq(asked.major, found.major);
	cr_assert_eq(asked.minor, found.minor);
	cr_assert_eq(procmap_anonymous(&asked), procmap_anonymous(&found), "%s",
		     found.name);
	++*n;
}

/* What a mapping of a file shows of it, and where. */
Test(procmaps, offset_and_device_of_a_file)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	struct stat st;
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd,
		       3 * (off_t)PAGE);

	cr_assert_neq(p, MAP_FAILED);
	cr_assert_eq(fstat(fd, &st), 0);
	cr_assert_eq(procmaps_find((uintptr_t)p, &vma), 0);
	cr_assert_eq(vma.offset, 3 * PAGE);
	cr_assert_eq(vma.inode, st.st_ino);
	cr_assert(vma.readable && vma.executable && !vma.writable);
	cr_assert(vma.shared);
	if (vma.major == major(st.st_dev)) /* else btrfs or the like */
		cr_assert_eq(vma.minor, minor(st.st_dev));
}

Test(procmaps, query_and_find_agree)
{
	unsigned n = 0;

	caps_lack = procmaps_query((uintptr_t)&vma, &vma) == -ENOTTY;
	mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
	     memfd_create("x", 0), 0);
	cr_assert_eq(procmaps_read(agree, &n), 0);
	if (procmaps_query((uintptr_t)&vma, &vma) == 0)
		cr_assert_gt(n, 10);
	cr_assert_eq(procmaps_find(16, &vma), -ENOENT);
	if (procmaps_query((uintptr_t)&vma, &vma) != -ENOTTY)
		cr_assert_eq(procmaps_query(16, &vma), -ENOENT);
}

Test(procmaps, calls_that_fail)
{
	struct count c = {0};

	fault_set(SYS_openat, -EMFILE, 0, -1);
	cr_assert_eq(procmaps_read(count, &c), -EMFILE);
	cr_assert_eq(procmaps_query((uintptr_t)&vma, &vma), -EMFILE);
	cr_assert_eq(procmaps_find((uintptr_t)&vma, &vma), -EMFILE);
	fault_set(SYS_read, -EIO, 0, -1);
	cr_assert_eq(procmaps_read(count, &c), -EIO);
	fault_set(SYS_read, -EIO, 1, -1);
	cr_assert_eq(procmaps_read(count, &c), -EIO);
	fault_set(SYS_read, -EINTR, 0, 3);
	c = (struct count){0};
	cr_assert_eq(procmaps_read(count, &c), 0);
	cr_assert_gt(c.n, 5, "EINTR is tried again");
	fault_set(SYS_ioctl, -ENOTTY, 0, -1);
	cr_assert_eq(procmaps_query((uintptr_t)&vma, &vma), -ENOTTY);
	fault_set(SYS_close, -EIO, 0, -1);
	c = (struct count){0};
	cr_assert_eq(procmaps_read(count, &c), 0);
	fault_none();
}

Test(procmaps, no_descriptor_is_left_open)
{
	int before = dup(0);
	int after;
	struct count c = {0};

	close(before);
	fault_set(SYS_read, -EIO, 0, -1);
	procmaps_read(count, &c);
	fault_none();
	procmaps_read(count, &c);
	procmaps_query((uintptr_t)&vma, &vma);
	procmaps_query(16, &vma);
	after = dup(0);
	cr_assert_eq(before, after);
}
