/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tool against a real process, this one: its memory, its pages, its
 * modules and what glibc's malloc has mapped in it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tool/cli.h"
#include "tool/elf_sym.h"
#include "tool/filespace.h"
#include "tool/pagemap.h"
#include "tool/procmem.h"
#include "tool/recognise.h"
#include "tool/shim_locate.h"
#include "tool/symbolise.h"
#include "tool/vma.h"

static struct procmem mem;
static struct pagemap pagemap;
static struct procfs proc;
static struct vma_list vmas;
static struct strpool pool;

static void read_vmas(void)
{
	int fd = open("/proc/self/smaps", O_RDONLY);

	vma_list_destroy(&vmas);
	cr_assert_eq(vma_list_read(&vmas, fd, &pool), 0);
	close(fd);
}

static void start(void)
{
	procmem_init(&mem, getpid());
	pagemap_init(&pagemap, open("/proc/self/pagemap", O_RDONLY), 4096);
	cr_assert_eq(procfs_open(&proc, "/proc", getpid()), 0);
}

static void done(void)
{
	pagemap_destroy(&pagemap);
	procfs_close(&proc);
	vma_list_destroy(&vmas);
	strpool_destroy(&pool);
}

TestSuite(tool_process, .init = start, .fini = done);

Test(tool_process, reads_memory)
{
	static const char text[] = "what is here";
	char got[sizeof(text)];
	void *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(space_read(&mem.space, (uintptr_t)text, got, sizeof(got)),
		     0);
	cr_assert_str_eq(got, text);
	munmap((char *)page + 4096, 4096);
	cr_assert_eq(space_read(&mem.space, (uintptr_t)page, got, 8), 0);
	cr_assert_eq(space_read(&mem.space, (uintptr_t)page + 4090, got, 8),
		     -EFAULT);
	cr_assert_eq(space_read(&mem.space, 8, got, 8), -EFAULT);
}

Test(tool_process, tells_that_a_process_has_gone)
{
	pid_t child = fork();
	char got;

	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	procmem_init(&mem, child);
	cr_assert_eq(space_read(&mem.space, (uintptr_t)&got, &got, 1), -ESRCH);
}

Test(tool_process, counts_pages)
{
	char *page = mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uintptr_t)page;
	struct page_count count;

	madvise(page, 64 * 4096, MADV_NOHUGEPAGE);
	for (int i = 0; i < 64; i += 4)
		page[i * 4096] = 1;
	for (int scan = 1; scan >= 0; scan--) {
		pagemap.can_scan = scan;
		cr_assert_eq(pagemap.counter.count(&pagemap.counter, at,
						   at + 64 * 4096, &count),
			     0);
		cr_assert_eq(count.exclusive, 16);
		cr_assert_eq(count.shared + count.swapped, 0);
		cr_assert_eq(pagemap.counter.count(&pagemap.counter, at + 4096,
						   at + 5 * 4096, &count),
			     0);
		cr_assert_eq(count.exclusive, 1);
	}
	cr_assert(pagemap_is_resident(&pagemap, at));
	cr_assert_not(pagemap_is_resident(&pagemap, at + 4096));
}

Test(tool_process, counts_pages_that_a_child_shares)
{
	char *page = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uintptr_t)page;
	struct page_count count;
	int hold[2];
	pid_t child;

	madvise(page, 4 * 4096, MADV_NOHUGEPAGE);
	memset(page, 1, 4 * 4096);
	cr_assert_eq(pipe(hold), 0);
	child = fork();
	if (child == 0) {
		close(hold[1]);
		_exit(read(hold[0], &hold, 1) == 1);
	}
	page[0] = 2; /* a copy of our own */
	cr_assert_eq(pagemap.counter.count(&pagemap.counter, at, at + 4 * 4096,
					   &count),
		     0);
	cr_assert_eq(count.exclusive, 1);
	cr_assert_eq(count.shared, 3);
	close(hold[1]);
	close(hold[0]);
	waitpid(child, NULL, 0);
}

Test(tool_process, a_pagemap_that_cannot_be_had_counts_nothing)
{
	struct page_count count;
	struct pagemap none;

	pagemap_init(&none, -EACCES, 4096);
	cr_assert_eq(none.counter.count(&none.counter, 4096, 8192, &count),
		     -EACCES);
	cr_assert_not(pagemap_is_resident(&none, 4096));
	pagemap_destroy(&none);
}

/* The first VMA of the C library. */
static const struct vma *find_libc(void)
{
	read_vmas();
	for (size_t i = 0; i < vmas.count; i++)
		if (vmas.v[i].offset == 0 &&
		    strcmp(vma_basename(vmas.v[i].name, &pool), "libc.so.6") ==
			    0)
			return &vmas.v[i];
	cr_skip_test("no libc.so.6 in this process");
	return NULL;
}

Test(tool_process, finds_symbols_in_memory)
{
	const struct vma *libc = find_libc();
	struct elf_module module;
	uint64_t addr = 0;

	cr_assert_eq(elf_sym_open(&module, &mem.space, libc->start), 0);
	cr_assert_eq(elf_sym_find(&module, &mem.space, "getppid", &addr), 0);
	cr_assert_eq(addr, (uintptr_t)getppid);
	cr_assert_eq(elf_sym_find(&module, &mem.space, "no_such_symbol", &addr),
		     -ENOENT);
}

Test(tool_process, memory_that_is_no_module_is_refused)
{
	struct elf_module module;
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	cr_assert_eq(elf_sym_open(&module, &mem.space, (uintptr_t)page),
		     -ENOEXEC);
	memset(page, 0xff, 4096);
	memcpy(page, ELFMAG, SELFMAG);
	cr_assert_eq(elf_sym_open(&module, &mem.space, (uintptr_t)page),
		     -ENOEXEC);
	cr_assert_eq(elf_sym_open(&module, &mem.space, 16), -EFAULT);
}

Test(tool_process, survives_damaged_modules)
{
	const struct vma *libc = find_libc();
	size_t bytes = 64 * 1024;
	char *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct elf_module module;
	uint64_t addr;

	srandom(3);
	for (int round = 0; round < 2000; round++) {
		memcpy(copy, (void *)(uintptr_t)libc->start, bytes);
		for (int hit = 0; hit < 6; hit++)
			copy[random() % 1024] ^= (char)(1 << random() % 8);
		if (elf_sym_open(&module, &mem.space, (uintptr_t)copy) == 0)
			elf_sym_find(&module, &mem.space, "getppid", &addr);
	}
}

Test(tool_process, finds_functions_in_files)
{
	const struct vma *libc = find_libc();
	struct elf_module module;
	struct filespace file;
	struct symbolise symbols;
	uint64_t addr, into;
	const char *name;

	cr_assert_eq(filespace_open(&file, &proc, libc->name), 0);
	cr_assert_eq(file.inode, libc->inode);
	cr_assert_eq(symbolise_open(&symbols, &file), 0);
	cr_assert_eq(elf_sym_open(&module, &mem.space, libc->start), 0);
	cr_assert_eq(elf_sym_find(&module, &mem.space, "qsort", &addr), 0);
	addr -= module.bias;
	name = symbolise_find(&symbols, addr, &into);
	cr_assert_not_null(name);
	cr_assert_eq(into, 0);
	cr_assert_not_null(symbolise_find(&symbols, addr + 1, &into));
	cr_assert_eq(into, 1);
	cr_assert_null(symbolise_find(&symbols, UINT64_MAX, &into));
	symbolise_close(&symbols);
	filespace_close(&file);
}

Test(tool_process, files_that_are_no_modules_have_no_symbols)
{
	struct filespace file;
	struct symbolise symbols;

	cr_assert_eq(filespace_open(&file, NULL, "/etc/passwd"), 0);
	cr_assert_lt(symbolise_open(&symbols, &file), 0);
	filespace_close(&file);
	cr_assert_lt(filespace_open(&file, NULL, "/no/such"), 0);
	cr_assert_lt(filespace_open(&file, NULL, "/dev/null"), 0);
	cr_assert_lt(filespace_open(&file, NULL, "[vdso]"), 0);
}

Test(tool_process, knows_the_shim_by_its_file_name)
{
	cr_assert(shim_locate_is_shim("/usr/lib/libanonshim.so"));
	cr_assert(shim_locate_is_shim("/x/libanonshim.so.0.1"));
	cr_assert(shim_locate_is_shim("/x/libanonshim.so (deleted)"));
	cr_assert_not(shim_locate_is_shim("/x/libanonshim.sorry"));
	cr_assert_not(shim_locate_is_shim("/x/anonshim"));
	cr_assert_not(shim_locate_is_shim("[heap]"));
}

Test(tool_process, without_a_shim_there_is_no_registry)
{
	uint64_t head;

	read_vmas();
	cr_assert_eq(shim_locate(&vmas, &mem.space, &head), -ENOENT);
}

static struct recognise recogniser(void)
{
	read_vmas();
	return (struct recognise){
		.vmas = &vmas,
		.space = &mem.space,
		.pagemap = &pagemap,
		.proc = &proc,
		.page_bytes = 4096,
		.pool = &pool,
	};
}

/* The claim that holds an address, or NULL. */
static const struct claim *claim_at(const struct claim_list *claims,
				    const void *addr)
{
	size_t i = claim_list_lower(claims, (uintptr_t)addr);

	if (i == claims->count || claims->v[i].start > (uintptr_t)addr)
		return NULL;
	return &claims->v[i];
}

static char large_bss[1 << 20];

Test(tool_process, recognises_bss)
{
	struct recognise r = recogniser();
	struct claim_list claims = {NULL, 0, 0};
	const struct claim *claim;

	large_bss[4096] = 1;
	recognise_bss(&r, &claims);
	claim = claim_at(&claims, large_bss + sizeof(large_bss) / 2);
	cr_assert_not_null(claim);
	cr_assert_str_eq(claim->label.kind, "bss");
	cr_assert_str_eq(claim->label.owner, "test_tool_process");
	claim_list_destroy(&claims);
}

#define LARGE_BYTES ((size_t)3 << 20)
#define GUARD_BYTES (LARGE_BYTES + 4096) /* what malloc maps for it */
#define GUARDS_MAX 64

/*
 * The next mapping of GUARD_BYTES has nothing above that the kernel would merge
 * it with: all holes where it fits are filled.  What comes after it may be
 * merged with it from below.
 */
static void guard_next(void)
{
	char *last = NULL;

	for (int i = 0; i < GUARDS_MAX; i++) {
		char *guard = mmap(NULL, GUARD_BYTES, PROT_NONE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (last && guard == last - GUARD_BYTES)
			return;
		last = guard;
	}
	cr_skip_test("holes without end");
}

static void *allocate(void *arg)
{
	void **block = arg;

	*block = malloc(5000);
	memset(*block, 1, 5000);
	return NULL;
}

Test(tool_process, recognises_what_malloc_has_mapped)
{
	void *in_arena, *other;
	char *large, *small;
	struct claim_list claims = {NULL, 0, 0}, none = {NULL, 0, 0};
	const struct claim *claim;
	struct recognise r;
	pthread_t thread;

	find_libc();
#ifdef __SANITIZE_ADDRESS__
	cr_skip_test("malloc is not glibc's");
#endif
	/* a large block freed before would have raised it */
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	guard_next();
	large = malloc(LARGE_BYTES);
	memset(large, 1, LARGE_BYTES);
	mmap(large - 16 - 4096, 4096, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	small = malloc(100);
	other = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(other, 1, 1 << 20);
	pthread_create(&thread, NULL, allocate, &in_arena);
	pthread_join(thread, NULL);
	r = recogniser();
	recognise_malloc(&r, &none, &claims);
	claim = claim_at(&claims, large);
	cr_assert_not_null(claim);
	cr_assert_str_eq(claim->label.owner, "libc.so.6");
	cr_assert_str_eq(claim->label.kind, "heap");
	cr_assert_str_eq(claim->label.site, "malloc chunk");
	claim = claim_at(&claims, in_arena);
	cr_assert_not_null(claim);
	cr_assert_str_eq(claim->label.site, "malloc arena");
	cr_assert_null(claim_at(&claims, other), "it is not malloc's");
	cr_assert_null(claim_at(&claims, small), "[heap] is the kernel's word");
	claim_list_destroy(&claims);
	free(large);
	free(small);
	free(in_arena);
}

Test(tool_process, does_not_bring_pages_in)
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct recognise r = recogniser();
	char byte;

	cr_assert_eq(recognise_read(&r, (uintptr_t)page, &byte, 1), -EFAULT);
	cr_assert_not(pagemap_is_resident(&pagemap, (uintptr_t)page));
	page[0] = 7;
	cr_assert_eq(recognise_read(&r, (uintptr_t)page, &byte, 1), 0);
	cr_assert_eq(byte, 7);
}

Test(tool_process, numbers_of_processes_and_addresses)
{
	uint64_t addr;
	pid_t pid;

	cr_assert(cli_parse_pid("1", &pid));
	cr_assert_eq(pid, 1);
	cr_assert_not(cli_parse_pid("0", &pid));
	cr_assert_not(cli_parse_pid("-1", &pid));
	cr_assert_not(cli_parse_pid("12x", &pid));
	cr_assert_not(cli_parse_pid(" 12", &pid));
	cr_assert_not(cli_parse_pid("", &pid));
	cr_assert_not(cli_parse_pid("99999999999999999999", &pid));
	cr_assert(cli_parse_addr("0x7f00", &addr));
	cr_assert_eq(addr, 0x7f00);
	cr_assert(cli_parse_addr("FFFFFFFFFFFFFFFF", &addr));
	cr_assert_eq(addr, UINT64_MAX);
	cr_assert_not(cli_parse_addr("10000000000000000", &addr));
	cr_assert_not(cli_parse_addr("0x", &addr));
	cr_assert_not(cli_parse_addr("main", &addr));
}
