/* SPDX-License-Identifier: BSD-2-Clause */
/* Names to labels, and VMAs to labels. */
#include "tool/label.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tool/demangle.h"

static struct strpool pool;

static void done(void)
{
	strpool_destroy(&pool);
}

TestSuite(tool_label, .fini = done);

static void check(struct label label, const char *owner, const char *kind,
		  const char *site, const char *name)
{
	cr_assert_str_eq(label.owner, owner);
	cr_assert_str_eq(label.kind, kind);
	cr_assert_str_eq(label.site, site);
	cr_assert_str_eq(label.name, name);
}

Test(tool_label, takes_names_of_ours_apart)
{
	check(label_parse(&pool, "libssl.so.3: heap SSL_CTX_new"),
	      "libssl.so.3", "heap", "SSL_CTX_new",
	      "libssl.so.3: heap SSL_CTX_new");
	check(label_parse(&pool, "libc.so.6: bss"), "libc.so.6", "bss", "",
	      "libc.so.6: bss");
	check(label_parse(&pool, "prog: stack +0x1a2"), "prog", "stack",
	      "+0x1a2", "prog: stack +0x1a2");
	check(label_parse(&pool, "x: mmap operator new(unsigned long)"), "x",
	      "mmap", "operator new(unsigned long)",
	      "x: mmap operator new(unsigned long)");
}

Test(tool_label, keeps_names_that_programs_give)
{
	check(label_parse(&pool, " glibc: malloc arena"), "glibc", "mmap",
	      "malloc arena", " glibc: malloc arena");
	check(label_parse(&pool, "anonshim: registry"), "anonshim", "mmap",
	      "registry", "anonshim: registry");
	check(label_parse(&pool, "cpython:pymalloc"), "cpython", "mmap",
	      "pymalloc", "cpython:pymalloc");
	check(label_parse(&pool, "partition_alloc"), "partition_alloc", "mmap",
	      "", "partition_alloc");
	check(label_parse(&pool, "lib: heaps of it"), "lib", "mmap",
	      "heaps of it", "lib: heaps of it");
}

Test(tool_label, takes_any_name)
{
	check(label_parse(&pool, ":"), ":", "mmap", "", ":");
	check(label_parse(&pool, ": heap x"), ": heap x", "mmap", "",
	      ": heap x");
	check(label_parse(&pool, "   "), "   ", "mmap", "", "   ");
	check(label_parse(&pool, "a: "), "a", "mmap", "", "a: ");
}

Test(tool_label, equal_labels_have_equal_pointers)
{
	struct label a = label_parse(&pool, "libc.so.6: bss");
	struct label b =
		label_make(&pool, "libc.so.6", "bss", "", "libc.so.6: bss");
	struct label c =
		label_make(&pool, "libc.so.6", "heap", "", "libc.so.6: bss");

	cr_assert(label_equal(&a, &b));
	cr_assert_not(label_equal(&a, &c));
}

static struct label of_vma(const char *name, bool shared)
{
	struct vma vma = {.name = strpool_add(&pool, name)};

	vma_classify(&vma, shared, &pool);
	return label_of_vma(&pool, &vma, "prog");
}

Test(tool_label, labels_every_sort_of_vma)
{
	check(of_vma("[heap]", false), "[heap]", "heap", "", "[heap]");
	check(of_vma("[stack]", false), "prog", "stack", "main", "[stack]");
	check(of_vma("[vdso]", false), "[vdso]", "kernel", "", "[vdso]");
	check(of_vma("/usr/lib/libz.so.1.2", false), "libz.so.1.2", "file", "",
	      "/usr/lib/libz.so.1.2");
	check(of_vma("/usr/lib/libz.so (deleted)", false), "libz.so", "file",
	      "", "/usr/lib/libz.so (deleted)");
	check(of_vma("/memfd:a/b (deleted)", true), "memfd:a/b", "file", "",
	      "/memfd:a/b (deleted)");
	check(of_vma("/anon_hugepage (deleted)", false), "anon_hugepage",
	      "file", "", "/anon_hugepage (deleted)");
	check(of_vma("", false), "(unattributed)", "(unattributed)", "", "");
	check(of_vma("[anon:libc.so.6: bss]", false), "libc.so.6", "bss", "",
	      "libc.so.6: bss");
	check(of_vma("/dev/zero (deleted)", true), "(unattributed)",
	      "(unattributed)", "", "");
}

Test(tool_label, a_soname_owns_its_file)
{
	struct vma vma = {.name = strpool_add(&pool, "/lib/libz.so.1.2.13")};

	vma_classify(&vma, false, &pool);
	vma.owner = strpool_add(&pool, "libz.so.1");
	check(label_of_vma(&pool, &vma, "prog"), "libz.so.1", "file", "",
	      "/lib/libz.so.1.2.13");
}

Test(tool_label, c_names_stay_as_they_are)
{
	cr_assert_str_eq(demangle_intern(&pool, "main"), "main");
	cr_assert_str_eq(demangle_intern(&pool, ""), "");
	cr_assert_str_eq(demangle_intern(&pool, "_Zgarbage!"), "_Zgarbage!");
}

#ifdef HAVE_CXA_DEMANGLE
Test(tool_label, mangled_names_become_readable)
{
	cr_assert_str_eq(demangle_intern(&pool, "_ZN3foo3barEi"),
			 "foo::bar(int)");
	check(label_parse(&pool, "libx.so: mmap _ZN3foo3barEi"), "libx.so",
	      "mmap", "foo::bar(int)", "libx.so: mmap _ZN3foo3barEi");
}
#endif

Test(tool_label, strings_are_kept_once)
{
	const char *a = strpool_add(&pool, "text");
	char big[100000];

	cr_assert_eq(strpool_intern(&pool, "textual", 4), a);
	cr_assert_neq(strpool_add(&pool, "textual"), a);
	cr_assert_eq(strpool_add(&pool, ""), strpool_empty);
	memset(big, 'x', sizeof(big));
	cr_assert_eq(strlen(strpool_intern(&pool, big, sizeof(big))),
		     sizeof(big));
	for (int i = 0; i < 5000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		strpool_add(&pool, name);
	}
	cr_assert_eq(strpool_add(&pool, "text"), a, "growing moves nothing");
}
