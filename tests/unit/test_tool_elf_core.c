/* SPDX-License-Identifier: BSD-2-Clause */
/* Core files, built by hand, whole and cut at every byte. */
#include "tool/elf_core.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#include "tool/cli.h"
#include "tool/subject.h"
#include "wire/registry_abi.h"

#define PAGE UINT64_C(4096)
#define TEXT_AT UINT64_C(0x400000)
#define ANON_AT UINT64_C(0x7f0000000000)
#define REG_AT UINT64_C(0x7f1000000000)
#define STACK_AT UINT64_C(0x7ffe00000000)
#define DATA_AT (2 * PAGE) /* of the first segment in the file */

/* One file: headers, notes, then 8 anonymous pages and 4 of the stack. */
struct image {
	ElfW(Ehdr) ehdr;
	ElfW(Phdr) phdr[5];
	char notes[1024];
	size_t notes_used;
	char *bytes;
	size_t size;
};

static struct image image;
static struct elf_core core;
static char path[64];

static void note(unsigned type, const void *desc, size_t bytes)
{
	ElfW(Nhdr) head = {5, (ElfW(Word))bytes, type};

	memcpy(image.notes + image.notes_used, &head, sizeof(head));
	image.notes_used += sizeof(head);
	memcpy(image.notes + image.notes_used, "CORE\0\0\0", 8);
	image.notes_used += 8;
	memcpy(image.notes + image.notes_used, desc, bytes);
	image.notes_used += (bytes + 3) & ~(size_t)3;
}

static void add_notes(void)
{
	struct elf_prpsinfo info = {.pr_pid = 4711, .pr_fname = "victim"};
	ElfW(auxv_t) aux[] = {
		{AT_ENTRY, {TEXT_AT + 0x100}},
		{AT_EXECFN, {STACK_AT + 4 * PAGE - 64}},
		{AT_NULL, {0}},
	};
	struct {
		uint64_t count, page, start, end, offset;
		char path[16];
	} files = {1, PAGE, TEXT_AT, TEXT_AT + PAGE, 0, "/bin/victim"};

	note(NT_PRPSINFO, &info, sizeof(info));
	note(NT_AUXV, aux, sizeof(aux));
	note(NT_FILE, &files, sizeof(files));
}

static void segment(int i, uint64_t addr, uint64_t pages, uint64_t offset,
		    uint64_t file_pages)
{
	image.phdr[i] = (ElfW(Phdr)){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W,
		.p_vaddr = addr,
		.p_memsz = pages * PAGE,
		.p_offset = offset,
		.p_filesz = file_pages * PAGE,
	};
}

static void build_image(void)
{
	memset(&image, 0, sizeof(image));
	memcpy(image.ehdr.e_ident, ELFMAG, SELFMAG);
	image.ehdr.e_ident[EI_CLASS] =
		sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
	image.ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
	image.ehdr.e_type = ET_CORE;
	image.ehdr.e_phoff = sizeof(image.ehdr);
	image.ehdr.e_phentsize = sizeof(image.phdr[0]);
	image.ehdr.e_phnum = 5;
	add_notes();
	image.phdr[0] = (ElfW(Phdr)){
		.p_type = PT_NOTE,
		.p_offset = PAGE,
		.p_filesz = image.notes_used,
	};
	segment(1, TEXT_AT, 1, DATA_AT, 0);
	segment(2, ANON_AT, 8, DATA_AT, 8);
	segment(3, REG_AT, 2, DATA_AT + 8 * PAGE, 2);
	segment(4, STACK_AT, 4, DATA_AT + 10 * PAGE, 4);
	image.size = DATA_AT + 14 * PAGE;
	image.bytes = calloc(1, image.size);
	memset(image.bytes + DATA_AT, 'a', 2 * PAGE);
	image.bytes[DATA_AT + 5 * PAGE + 4095] = 1;
	image.bytes[DATA_AT + 13 * PAGE] = 1;
}

static void write_image(size_t bytes)
{
	FILE *file;

	memcpy(image.bytes, &image.ehdr, sizeof(image.ehdr));
	memcpy(image.bytes + sizeof(image.ehdr), image.phdr,
	       sizeof(image.phdr));
	memcpy(image.bytes + PAGE, image.notes, sizeof(image.notes));
	file = fopen(path, "w");
	cr_assert_not_null(file);
	cr_assert_eq(fwrite(image.bytes, 1, bytes, file), bytes);
	fclose(file);
}

static void start(void)
{
	snprintf(path, sizeof(path), "/tmp/test_tool_core.%d", (int)getpid());
	build_image();
}

static void done(void)
{
	elf_core_close(&core);
	unlink(path);
	free(image.bytes);
}

TestSuite(tool_elf_core, .init = start, .fini = done);

static int open_image(void)
{
	write_image(image.size);
	return elf_core_open(&core, path);
}

Test(tool_elf_core, reads_notes)
{
	cr_assert_eq(open_image(), 0);
	cr_assert_eq(core.pid, 4711);
	cr_assert_str_eq(core.comm, "victim");
	cr_assert_eq(core.nloads, 4);
	cr_assert_str_eq(elf_core_file_at(&core, TEXT_AT)->path, "/bin/victim");
	cr_assert_null(elf_core_file_at(&core, TEXT_AT + PAGE));
	cr_assert_null(elf_core_file_at(&core, TEXT_AT - 1));
}

Test(tool_elf_core, reads_memory_across_nothing_but_what_is_there)
{
	char got[2 * PAGE];

	cr_assert_eq(open_image(), 0);
	cr_assert_eq(space_read(&core.space, ANON_AT + 10, got, 100), 0);
	cr_assert_eq(got[99], 'a');
	cr_assert_eq(space_read(&core.space, ANON_AT + 7 * PAGE, got, PAGE), 0);
	cr_assert_eq(space_read(&core.space, ANON_AT + 7 * PAGE, got, PAGE + 1),
		     -EFAULT);
	cr_assert_eq(space_read(&core.space, TEXT_AT, got, 1), -EFAULT,
		     "mapped, but not dumped");
	cr_assert_eq(space_read(&core.space, 0, got, 1), -EFAULT);
}

Test(tool_elf_core, counts_pages_that_hold_something)
{
	struct page_count count;

	cr_assert_eq(open_image(), 0);
	cr_assert_eq(core.counter.count(&core.counter, ANON_AT,
					ANON_AT + 8 * PAGE, &count),
		     0);
	cr_assert_eq(count.exclusive, 3);
	cr_assert_eq(core.counter.count(&core.counter, ANON_AT + PAGE,
					ANON_AT + 5 * PAGE, &count),
		     0);
	cr_assert_eq(count.exclusive, 1);
	cr_assert_eq(core.counter.count(&core.counter, TEXT_AT, TEXT_AT + PAGE,
					&count),
		     0);
	cr_assert_eq(count.exclusive, 0);
}

Test(tool_elf_core, counts_the_same_with_holes_in_the_file)
{
	struct page_count count;
	int fd;

	write_image(image.size);
	/* Punch out the zeros between the pages that hold something. */
	fd = open(path, O_RDWR);
	cr_assert_eq(ftruncate(fd, DATA_AT + 2 * PAGE), 0);
	cr_assert_eq(pwrite(fd, "x", 1, DATA_AT + 5 * PAGE + 100), 1);
	cr_assert_eq(ftruncate(fd, (off_t)image.size), 0);
	close(fd);
	cr_assert_eq(elf_core_open(&core, path), 0);
	cr_assert_eq(core.counter.count(&core.counter, ANON_AT,
					ANON_AT + 8 * PAGE, &count),
		     0);
	cr_assert_eq(count.exclusive, 3);
}

Test(tool_elf_core, makes_vmas)
{
	struct vma_list list = {NULL, 0, 0};
	struct strpool pool = {NULL, 0, 0, NULL};

	cr_assert_eq(open_image(), 0);
	cr_assert_eq(elf_core_vmas(&core, &list, &pool), 0);
	cr_assert_eq(list.count, 4);
	cr_assert_eq(list.v[0].class, VMA_FILE);
	cr_assert_str_eq(list.v[0].name, "/bin/victim");
	cr_assert_eq(list.v[1].class, VMA_ANON);
	cr_assert_eq(list.v[1].rss_kib, 12);
	cr_assert_eq(list.v[3].class, VMA_STACK);
	cr_assert_str_eq(list.v[3].perms, "rw-p");
	vma_list_destroy(&list);
	strpool_destroy(&pool);
}

/* Every shorter file is refused with a reason, and nothing is read past it. */
Test(tool_elf_core, refuses_a_truncated_file, .timeout = 60)
{
	write_image(image.size);
	for (size_t bytes = image.size; bytes-- > 0;
	     bytes -= bytes > 4 * PAGE ? 997 : 0) {
		cr_assert_eq(truncate(path, (off_t)bytes), 0);
		cr_assert_eq(elf_core_open(&core, path), -EBADMSG, "%zu bytes",
			     bytes);
		cr_assert_neq(core.why[0], '\0');
		elf_core_close(&core);
	}
}

Test(tool_elf_core, says_how_much_is_missing)
{
	write_image(image.size - 100);
	cr_assert_eq(elf_core_open(&core, path), -EBADMSG);
	cr_assert_str_eq(core.why, "it is truncated, with 65436 of 65536 "
				   "bytes");
}

static void refuse(const char *what)
{
	cr_assert_eq(open_image(), -EBADMSG, "%s", what);
	cr_assert_neq(core.why[0], '\0');
	elf_core_close(&core);
	free(image.bytes);
	build_image();
}

Test(tool_elf_core, refuses_what_makes_no_sense)
{
	image.ehdr.e_type = ET_EXEC;
	refuse("a program");
	image.ehdr.e_ident[EI_CLASS] ^= 3;
	refuse("another word size");
	image.ehdr.e_phentsize--;
	refuse("other program headers");
	image.ehdr.e_phoff = UINT64_MAX - 8;
	refuse("program headers past the end");
	image.ehdr.e_phnum = PN_XNUM;
	image.ehdr.e_shoff = UINT64_MAX - 8;
	refuse("a count past the end");
	image.phdr[2].p_vaddr = STACK_AT + PAGE;
	refuse("segments in disorder");
	image.phdr[2].p_memsz = UINT64_MAX;
	refuse("a segment around the end of memory");
	image.phdr[2].p_filesz = image.phdr[2].p_memsz + 1;
	refuse("more in the file than in memory");
	image.phdr[2].p_offset = UINT64_MAX - PAGE;
	refuse("an offset that overflows");
	image.phdr[0].p_filesz = UINT64_MAX / 2;
	refuse("endless notes");
	((ElfW(Nhdr) *)image.notes)->n_descsz = UINT32_MAX;
	refuse("a note longer than all notes");
	((ElfW(Nhdr) *)image.notes)->n_namesz = UINT32_MAX - 1;
	refuse("a name longer than all notes");
	((ElfW(Nhdr) *)image.notes)->n_descsz = 8;
	((ElfW(Nhdr) *)image.notes)->n_type = NT_FILE;
	refuse("files without a count");
	image.ehdr.e_phnum = 1;
	refuse("no memory");
}

Test(tool_elf_core, survives_random_damage)
{
	srandom(7);
	for (int round = 0; round < 400; round++) {
		struct vma_list list = {NULL, 0, 0};
		struct strpool pool = {NULL, 0, 0, NULL};

		for (int hit = 0; hit < 3; hit++)
			image.notes[(size_t)random() % image.notes_used] ^=
				(char)random();
		((char *)image.phdr)[(size_t)random() % sizeof(image.phdr)] ^=
			(char)(1 << random() % 8);
		if (open_image() == 0)
			elf_core_vmas(&core, &list, &pool);
		elf_core_close(&core);
		vma_list_destroy(&list);
		strpool_destroy(&pool);
		free(image.bytes);
		build_image();
	}
}

/* Nothing but a head, an empty region table and strings. */
static void put_registry(void)
{
	struct registry_head head = {
		.magic = REGISTRY_MAGIC,
		.version = REGISTRY_VERSION,
		.head_bytes = sizeof(head),
		.self = REG_AT + PAGE,
		.page_bytes = PAGE,
	};
	static const uint32_t bytes[REGISTRY_TABLES] = {
		[REGISTRY_STRINGS] = 1,
		[REGISTRY_MODULES] = sizeof(struct registry_module),
		[REGISTRY_SITES] = sizeof(struct registry_site),
		[REGISTRY_FRAMES] = sizeof(uint64_t),
		[REGISTRY_REGIONS] = sizeof(struct registry_region),
		[REGISTRY_ARENAS] = sizeof(struct registry_arena),
		[REGISTRY_CACHES] = sizeof(struct registry_cache),
		[REGISTRY_ACCOUNTS] = sizeof(struct registry_account),
		[REGISTRY_OBJECTS] = sizeof(struct registry_object),
	};

	for (int i = 0; i < REGISTRY_TABLES; i++) {
		head.table[i].elem_bytes = bytes[i];
		head.table[i].first_elems = 16;
		head.table[i].count = 1;
	}
	memcpy(image.bytes + DATA_AT + 9 * PAGE, &head, sizeof(head));
}

Test(tool_elf_core, finds_the_registry_by_magic_and_address)
{
	cr_assert_eq(open_image(), 0);
	cr_assert_eq(elf_core_find_registry(&core), 0);
	elf_core_close(&core);
	put_registry();
	cr_assert_eq(open_image(), 0);
	cr_assert_eq(elf_core_find_registry(&core), REG_AT + PAGE);
}

Test(tool_elf_core, a_copy_of_a_registry_is_none)
{
	put_registry();
	memmove(image.bytes + DATA_AT + 8 * PAGE,
		image.bytes + DATA_AT + 9 * PAGE, PAGE);
	memset(image.bytes + DATA_AT + 9 * PAGE, 0, PAGE);
	cr_assert_eq(open_image(), 0);
	cr_assert_eq(elf_core_find_registry(&core), 0);
}

Test(tool_elf_core, is_a_subject)
{
	struct subject subject;

	put_registry();
	write_image(image.size);
	cr_assert_eq(subject_open_core(&subject, path), CLI_OK);
	cr_assert(subject.has_registry);
	cr_assert_eq(subject.registry.bad, 0);
	cr_assert_str_eq(subject_source(&subject), "registry");
	cr_assert_eq(subject.pid, 4711);
	cr_assert_str_eq(subject.exe, "victim");
	subject_close(&subject);
}
