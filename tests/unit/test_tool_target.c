/* SPDX-License-Identifier: BSD-2-Clause */
/* What `run` finds out about a program, and the environment it makes. */
#include "tool/target.h"

#include <criterion/criterion.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/shim_path.h"

static char dir[64];
static struct target target;

static const char *in_dir(const char *name)
{
	static char path[2][128];
	static int turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
	return path[turn];
}

static void start(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_tool_target.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
}

static void done(void)
{
	char command[128];

	unsetenv("LD_PRELOAD");
	setenv("PATH", "/usr/bin:/bin", 1);
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	cr_assert_eq(system(command), 0);
}

TestSuite(tool_target, .init = start, .fini = done);

static const char *put(const char *name, const void *bytes, size_t len,
		       mode_t mode)
{
	const char *path = in_dir(name);
	FILE *file = fopen(path, "w");

	cr_assert_not_null(file);
	fwrite(bytes, 1, len, file);
	fclose(file);
	cr_assert_eq(chmod(path, mode), 0);
	return path;
}

/* A program of one program header. */
static const char *put_elf(const char *name, int class, uint32_t segment)
{
	struct {
		ElfW(Ehdr) ehdr;
		ElfW(Phdr) phdr;
	} elf = {0};
	FILE *self = fopen("/proc/self/exe", "r");

	cr_assert_eq(fread(&elf.ehdr, sizeof(elf.ehdr), 1, self), 1);
	fclose(self);
	elf.ehdr.e_ident[EI_CLASS] = (unsigned char)class;
	elf.ehdr.e_phoff = sizeof(elf.ehdr);
	elf.ehdr.e_phnum = 1;
	elf.phdr.p_type = segment;
	return put(name, &elf, sizeof(elf), 0755);
}

Test(tool_target, dynamic_programs_fit)
{
	cr_assert_eq(
		target_find(&target, put_elf("dyn", ELFCLASS64, PT_INTERP)), 0);
	cr_assert_eq(target.fit, TARGET_FITS);
	cr_assert_eq(target_find(&target, "sh"), 0);
	cr_assert_eq(target.fit, TARGET_FITS);
	cr_assert_eq(target.path[0], '/');
}

Test(tool_target, static_programs_do_not)
{
	cr_assert_eq(target_find(&target, put_elf("st", ELFCLASS64, PT_LOAD)),
		     0);
	cr_assert_eq(target.fit, TARGET_STATIC);
	cr_assert_not_null(strstr(target.why, "static"));
}

Test(tool_target, programs_of_another_word_size_do_not)
{
	cr_assert_eq(target_find(&target, put_elf("x", ELFCLASS32, PT_INTERP)),
		     0);
	cr_assert_eq(target.fit, TARGET_FOREIGN);
}

Test(tool_target, scripts_are_their_interpreters)
{
	char script[256];

	put_elf("st", ELFCLASS64, PT_LOAD);
	snprintf(script, sizeof(script), "#!  %s -x\necho\n", in_dir("st"));
	put("one", script, strlen(script), 0755);
	snprintf(script, sizeof(script), "#!%s\n", in_dir("one"));
	cr_assert_eq(
		target_find(&target, put("two", script, strlen(script), 0755)),
		0);
	cr_assert_eq(target.fit, TARGET_STATIC);
	cr_assert_str_eq(target.path, in_dir("st"));
	cr_assert_eq(target_find(&target, put("sh", "#!/bin/sh\n", 10, 0755)),
		     0);
	cr_assert_eq(target.fit, TARGET_FITS);
	cr_assert_eq(target_find(&target, put("plain", "echo\n", 5, 0755)), 0);
	cr_assert_eq(target.fit, TARGET_FITS);
}

Test(tool_target, a_script_that_is_its_own_interpreter_ends)
{
	char script[256];

	snprintf(script, sizeof(script), "#!%s\n", in_dir("self"));
	cr_assert_eq(
		target_find(&target, put("self", script, strlen(script), 0755)),
		0);
}

Test(tool_target, an_interpreter_that_is_missing)
{
	cr_assert_eq(target_find(&target, put("s", "#!/no/such\n", 11, 0755)),
		     -ENOENT);
}

Test(tool_target, what_is_not_there_or_not_executable)
{
	cr_assert_eq(target_find(&target, "/no/such/thing"), -ENOENT);
	cr_assert_eq(target_find(&target, "no-such-command"), -ENOENT);
	cr_assert_eq(target_find(&target, ""), -ENOENT);
	cr_assert_eq(target_find(&target, put("text", "hi", 2, 0644)), -EACCES);
	cr_assert_eq(target_find(&target, dir), -EACCES);
}

Test(tool_target, path_is_searched_in_order)
{
	char path[256];

	mkdir(in_dir("a"), 0755);
	mkdir(in_dir("b"), 0755);
	put("a/tool", "x", 1, 0644);
	put("b/tool", "#!/bin/sh\n", 10, 0755);
	snprintf(path, sizeof(path), "/no/such:%s:%s", in_dir("a"),
		 in_dir("b"));
	setenv("PATH", path, 1);
	cr_assert_eq(target_find(&target, "tool"), 0,
		     "past what is no program");
	unlink(in_dir("b/tool"));
	cr_assert_eq(target_find(&target, "tool"), -EACCES);
}

Test(tool_target, setuid_programs_of_others_do_not_fit)
{
	const char *path = put_elf("su", ELFCLASS64, PT_INTERP);

	if (getuid() != 0)
		cr_skip_test("chown needs root");
	cr_assert_eq(chown(path, 65534, 0), 0);
	cr_assert_eq(chmod(path, 04755), 0);
	cr_assert_eq(target_find(&target, path), 0);
	cr_assert_eq(target.fit, TARGET_SECURE);
	cr_assert_not_null(strstr(target.why, "set-user-ID"));
	cr_assert_eq(chown(path, 0, 65534), 0);
	cr_assert_eq(chmod(path, 02755), 0);
	cr_assert_eq(target_find(&target, path), 0);
	cr_assert_not_null(strstr(target.why, "set-group-ID"));
	cr_assert_eq(chown(path, 0, 0), 0);
	cr_assert_eq(chmod(path, 06755), 0);
	cr_assert_eq(target_find(&target, path), 0);
	cr_assert_eq(target.fit, TARGET_FITS, "root gains nothing");
}

static void check_env(const char *key, const char *want)
{
	cr_assert_not_null(getenv(key));
	cr_assert_str_eq(getenv(key), want);
}

Test(tool_target, the_environment_of_a_command)
{
	unsetenv("LD_PRELOAD");
	unsetenv("ANONSHIM_OPTIONS");
	shim_path_preload("/x/libanonshim.so", "");
	check_env("LD_PRELOAD", "/x/libanonshim.so");
	cr_assert_null(getenv("ANONSHIM_OPTIONS"));
	shim_path_preload("/x/libanonshim.so", "depth=3");
	check_env("LD_PRELOAD", "/x/libanonshim.so");
	check_env("ANONSHIM_OPTIONS", "depth=3");
	shim_path_preload("/x/libanonshim.so", "depth=4,bss=0");
	check_env("ANONSHIM_OPTIONS", "depth=3,depth=4,bss=0");
}

Test(tool_target, what_is_preloaded_already_is_kept)
{
	setenv("LD_PRELOAD", "libfoo.so /y/libanonshim.so", 1);
	shim_path_preload("/x/libanonshim.so", "");
	check_env("LD_PRELOAD",
		  "/x/libanonshim.so:libfoo.so /y/libanonshim.so");
	setenv("LD_PRELOAD", "libfoo.so /x/libanonshim.so", 1);
	shim_path_preload("/x/libanonshim.so", "");
	check_env("LD_PRELOAD", "libfoo.so /x/libanonshim.so");
}

Test(tool_target, paths_that_ld_preload_would_split)
{
	cr_assert(shim_path_splits("/a b/libanonshim.so"));
	cr_assert(shim_path_splits("/a:b/libanonshim.so"));
	cr_assert_not(shim_path_splits("/a-b/libanonshim.so"));
}
