/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The index of a table of symbols, held against a look at every one of them.
 */
#include "base/sys.h"
#include "env/guard.h"
#include "support.h"
#include "track/registry.h"
#include "track/symbol.h"
#include "track/symtab.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MANY TEST_BUILD_DIR "/plugin_many.so"
#define LOW 0x1000
#define MAX 300000

static ElfW(Sym) table[MAX];

/* A table made up --------------------------------------------------------- */

/* The symbol of S that counts for OFFSET, by the words of symtab.h. */
static const ElfW(Sym) * look(const ElfW(Sym) * s, size_t n, uintptr_t offset)
{
	const ElfW(Sym) *best = NULL;

	for (size_t i = 0; i < n; i++) {
		unsigned type = ELF64_ST_TYPE(s[i].st_info);
		bool global = ELF64_ST_BIND(s[i].st_info) == STB_GLOBAL;

		if (s[i].st_shndx == SHN_UNDEF ||
		    (type != STT_FUNC && type != STT_GNU_IFUNC &&
		     type != STT_NOTYPE) ||
		    s[i].st_value > offset ||
		    offset - s[i].st_value >= s[i].st_size)
			continue;
		if (!best || s[i].st_value > best->st_value ||
		    (s[i].st_value == best->st_value && global &&
		     ELF64_ST_BIND(best->st_info) != STB_GLOBAL))
			best = &s[i];
	}
	return best;
}

/* N symbols within SPAN, up to LONGEST bytes each; st_name is the number. */
static void make(uint32_t n, uint32_t span, uint32_t longest, uint64_t *state)
{
	static const uint8_t types[] = {STT_FUNC, STT_FUNC, STT_GNU_IFUNC,
					STT_NOTYPE, STT_OBJECT};

	for (uint32_t i = 0; i < n; i++)
		table[i] = (ElfW(Sym)){
			.st_name = i,
			.st_info = ELF64_ST_INFO(draw(state) % 3,
						 types[draw(state) % 5]),
			.st_shndx = draw(state) % 20 ? 1 : SHN_UNDEF,
			.st_value = LOW + draw(state) % span,
			.st_size = draw(state) % (longest + 1),
		};
}

static struct symtab in_memory(uint32_t n, uint32_t span)
{
	return (struct symtab){
		.sym = table, .count = n, .low = LOW, .span = span};
}

static void agree(struct symtab *t, const struct module_file *file,
		  uintptr_t offset)
{
	const ElfW(Sym) *want = look(table, t->count, offset);
	ElfW(Sym) found;
	bool any = symtab_find(t, file, offset, &found);

	if (offset - t->low >= t->span)
		want = NULL;
	cr_assert_eq(any, want != NULL, "at %lx", offset);
	if (want)
		cr_assert_eq(found.st_name, want->st_name,
			     "at %lx: %u instead of %u", offset, found.st_name,
			     want->st_name);
}

static void agree_all_over(struct symtab *t, const struct module_file *file)
{
	for (uintptr_t at = 0; at < t->low + t->span + 100; at++)
		agree(t, file, at);
}

/* Apart, side by side, nested, on top of each other. */
Test(symtab, agrees_with_a_look_at_every_symbol)
{
	static const uint32_t longest[] = {0, 1, 7, 40, 400, 3000};
	uint64_t state = 11;

	for (unsigned i = 0; i < 6; i++)
		for (unsigned round = 0; round < 4; round++) {
			struct symtab t = in_memory(600, 3000);

			make(t.count, t.span, longest[i], &state);
			agree_all_over(&t, NULL);
			cr_assert_not_null(t.number);
			symtab_clear(&t);
			cr_assert_null(t.number);
		}
}

Test(symtab, a_short_table_has_no_index)
{
	uint64_t state = 12;
	struct symtab t = in_memory(500, 3000);

	make(t.count, t.span, 40, &state);
	agree_all_over(&t, NULL);
	cr_assert_null(t.number);
}

Test(symtab, nothing_in_it)
{
	ElfW(Sym) found;
	struct symtab t = {0};

	cr_assert(!symtab_find(&t, NULL, 0, &found));
	t = in_memory(1000, 3000);
	cr_assert(!symtab_find(&t, NULL, LOW, &found));
	cr_assert_eq(t.entries, 0);
	symtab_clear(&t);
}

Test(symtab, in_a_file)
{
	uint64_t state = 13;
	struct symtab t = {.at = 24, .count = 3000, .low = LOW, .span = 9000};
	struct module_file file = {.fd = memfd_create("x", 0)};

	make(t.count, t.span, 30, &state);
	cr_assert_eq(pwrite(file.fd, table, t.count * sizeof(*table), 24),
		     t.count * sizeof(*table));
	agree_all_over(&t, &file);
	cr_assert_not_null(t.mark);
	/* cut short, or made of other bytes, while it is read */
	for (unsigned i = 0; i < 2; i++) {
		ElfW(Sym) found;

		cr_assert_eq(ftruncate(file.fd, i ? 3000 * 24 : 0), 0);
		for (uintptr_t at = 0; at < t.low + t.span; at++)
			cr_assert(!symtab_find(&t, &file, at, &found));
	}
	symtab_clear(&t);
}

/* No address up to 4 GiB is out of reach, none past it is mistaken. */
Test(symtab, values_of_all_sizes)
{
	struct symtab t = in_memory(1000, UINT32_MAX);

	for (uint64_t i = 0; i < t.count; i++)
		table[i] = (ElfW(Sym)){
			.st_name = (uint32_t)i,
			.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
			.st_shndx = 1,
			.st_value = LOW + i * 0x500000,
			.st_size = i % 10 ? 0x1000 : UINT64_MAX / 2,
		};
	for (uint64_t i = 0; i < t.count; i++) {
		agree(&t, NULL, LOW + i * 0x500000 - 1);
		agree(&t, NULL, LOW + i * 0x500000);
		agree(&t, NULL, LOW + i * 0x500000 + 0xfff);
		agree(&t, NULL, LOW + i * 0x500000 + 0x1000);
	}
	symtab_clear(&t);
}

Test(symtab, a_huge_table)
{
	uint64_t state = 14;
	struct symtab t = in_memory(MAX, 64 << 20);

	make(MAX, t.span, 200, &state);
	for (unsigned i = 0; i < 300; i++)
		agree(&t, NULL, LOW + draw(&state) % t.span);
	cr_assert_not_null(t.number);
	symtab_clear(&t);
}

/* One that reaches over all: each gap asks past thousands of others. */
Test(symtab, all_are_nested_in_one)
{
	struct symtab t = in_memory(20000, 20000 * 16);
	ElfW(Sym) found;

	for (uint32_t i = 0; i < t.count; i++)
		table[i] = (ElfW(Sym)){
			.st_name = i,
			.st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
			.st_shndx = 1,
			.st_value = LOW + i * 16,
			.st_size = i ? 8 : t.span,
		};
	for (uint32_t i = 1; i < t.count; i += 97) {
		cr_assert(symtab_find(&t, NULL, LOW + i * 16, &found));
		cr_assert_eq(found.st_name, i);
		cr_assert(symtab_find(&t, NULL, LOW + i * 16 + 8, &found));
		cr_assert_eq(found.st_name, 0);
	}
	symtab_clear(&t);
}

Test(symtab, without_memory)
{
	uint64_t state = 15;
	struct symtab t = in_memory(2000, 3000);

	make(t.count, t.span, 40, &state);
	for (unsigned pass = 0; pass < 2; pass++) {
		fault_set(SYS_mmap, -ENOMEM, pass, -1);
		for (unsigned i = 0; i < 100; i++)
			agree(&t, NULL, LOW + draw(&state) % t.span);
		cr_assert_null(t.number);
	}
	fault_none();
	agree_all_over(&t, NULL);
	cr_assert_not_null(t.number);
	symtab_clear(&t);
}

/* What one gives back the next one has, unless it is much too large. */
Test(symtab, memory_is_used_again)
{
	uint64_t state = 16;
	struct symtab t = in_memory(100000, 1 << 24);
	const uint32_t *number;

	make(t.count, t.span, 40, &state);
	agree(&t, NULL, LOW);
	number = t.number;
	symtab_clear(&t);
	t = in_memory(1000, 1 << 24);
	agree(&t, NULL, LOW);
	cr_assert_neq(t.number, number);
	symtab_clear(&t);
	t = in_memory(90000, 1 << 24);
	agree(&t, NULL, LOW);
	cr_assert_eq(t.number, number);
	symtab_clear(&t);
}

/* Tables of real modules --------------------------------------------------- */

struct section {
	const ElfW(Sym) * sym;
	size_t count;
	const char *names;
};

static struct section section_of(const char *image, unsigned type)
{
	const ElfW(Ehdr) *e = (const void *)image;
	const ElfW(Shdr) *sh = (const void *)(image + e->e_shoff);
	struct section s = {0};

	for (unsigned i = 0; i < e->e_shnum; i++)
		if (sh[i].sh_type == type) {
			s.sym = (const void *)(image + sh[i].sh_offset);
			s.count = sh[i].sh_size / sizeof(*s.sym);
			s.names = image + sh[sh[i].sh_link].sh_offset;
		}
	return s;
}

static const char *find(uintptr_t addr)
{
	static char text[1024];
	const struct module *m;
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
	guard_enter();
	cr_assert(lock_take(&registry_lock));
	m = module_at(addr);
	if (m)
		symbol_find(m, addr, &f);
	lock_drop(&registry_lock);
	guard_leave();
	return text;
}

/* Both ends of every function of A, looked for in A and else in B. */
static unsigned compare(const struct section *a, const struct section *first,
			const struct section *second, uintptr_t bias)
{
	unsigned compared = 0;

	for (size_t i = 0; i < a->count; i++) {
		const ElfW(Sym) *s = &a->sym[i];
		const struct section *in = first;
		const ElfW(Sym) * want;

		if (ELF64_ST_TYPE(s->st_info) != STT_FUNC || !s->st_size ||
		    s->st_shndx == SHN_UNDEF)
			continue;
		for (unsigned end = 0; end < 2; end++) {
			uintptr_t offset =
				s->st_value + (end ? s->st_size - 1 : 0);

			in = first;
			want = look(in->sym, in->count, offset);
			if (!want) {
				in = second;
				want = look(in->sym, in->count, offset);
			}
			cr_assert_not_null(want);
			cr_assert_str_eq(find(bias + offset),
					 in->names + want->st_name);
			compared++;
		}
	}
	return compared;
}

static unsigned compare_module(const char *path, uintptr_t function)
{
	struct stat st;
	int fd = open(path, O_RDONLY);
	const char *image;
	struct section dynamic;
	struct section full;
	Dl_info info;
	struct link_map *map;

	cr_assert_eq(fstat(fd, &st), 0);
	image = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	cr_assert(dladdr1((void *)function, &info, (void **)&map,
			  RTLD_DL_LINKMAP));
	dynamic = section_of(image, SHT_DYNSYM);
	full = section_of(image, SHT_SYMTAB);
	return compare(&dynamic, &full, &dynamic, map->l_addr) +
	       compare(&full, &full, &dynamic, map->l_addr);
}

static void start(void)
{
	shim_start("naming=registry");
}

Test(symtab, every_function_of_a_module, .init = start, .timeout = 60)
{
	void *handle = dlopen(MANY, RTLD_NOW);
	void *f = dlsym(handle, "many_shown_n00000");

	cr_assert_geq(compare_module(MANY, (uintptr_t)f), 2 * (1024 + 2048));
}

Test(symtab, every_function_of_libc, .init = start, .timeout = 60)
{
	uintptr_t f = libc_function("qsort");
	Dl_info info;

	cr_assert(dladdr((void *)f, &info));
	cr_assert_geq(compare_module(info.dli_fname, f), 4000);
}
