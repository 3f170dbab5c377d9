/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions by address, beside a search through all of them.
 */
#include "support.h"
#include "track/symbol_index.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define SYMBOLS 20000
#define SPAN 200000
#define ALL_BYTES 50000 /* one function around many others */

static ElfW(Sym) * random_symbols(uint64_t *state)
{
	ElfW(Sym) *sym = calloc(SYMBOLS, sizeof(*sym));

	for (size_t i = 0; i < SYMBOLS; i++) {
		unsigned type = draw(state) % 5;
		unsigned bind = draw(state) % 2;

		sym[i].st_name = (uint32_t)i + 1;
		sym[i].st_shndx = draw(state) % 10 ? 1 : SHN_UNDEF;
		sym[i].st_value = draw(state) % SPAN;
		sym[i].st_size = draw(state) % 20;
		sym[i].st_info = ELF64_ST_INFO(bind, type);
	}
	sym[7].st_size = ALL_BYTES;
	sym[7].st_shndx = 1;
	sym[7].st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC);
	return sym;
}

static bool covers(const ElfW(Sym) * s, uintptr_t offset)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);

	return s->st_shndx != SHN_UNDEF &&
	       (type == STT_FUNC || type == STT_NOTYPE) &&
	       offset - s->st_value < s->st_size;
}

/* The highest start of a function that holds OFFSET. */
static const ElfW(Sym) * innermost(const ElfW(Sym) * sym, uintptr_t offset)
{
	const ElfW(Sym) *best = NULL;

	for (size_t i = 0; i < SYMBOLS; i++)
		if (covers(&sym[i], offset) &&
		    (!best || sym[i].st_value > best->st_value))
			best = &sym[i];
	return best;
}

/* Whether a global function that holds OFFSET starts at VALUE. */
static bool has_global(const ElfW(Sym) * sym, uintptr_t value, uintptr_t offset)
{
	for (size_t i = 0; i < SYMBOLS; i++)
		if (sym[i].st_value == value && covers(&sym[i], offset) &&
		    ELF64_ST_BIND(sym[i].st_info) == STB_GLOBAL)
			return true;
	return false;
}

Test(symbol_index, finds_what_a_search_does)
{
	uint64_t state = 1;
	ElfW(Sym) *sym = random_symbols(&state);
	struct symbol_index index;
	unsigned found = 0;

	cr_assert(symbol_index_init(&index, SYMBOLS));
	cr_assert(symbol_index_add(&index, sym, SYMBOLS / 3));
	cr_assert(symbol_index_add(&index, sym + SYMBOLS / 3,
				   SYMBOLS - SYMBOLS / 3));
	symbol_index_sort(&index);
	for (uintptr_t at = 0; at < SPAN + 100; at += 37) {
		const ElfW(Sym) *want = innermost(sym, at);
		const struct symbol_entry *e = symbol_index_find(&index, at);

		cr_assert_eq(!want, !e, "at %lu", at);
		if (!e)
			continue;
		found++;
		cr_assert_eq(e->value, want->st_value, "at %lu", at);
		cr_assert(covers(&sym[e->name - 1], at));
		if (has_global(sym, e->value, at))
			cr_assert_eq(ELF64_ST_BIND(sym[e->name - 1].st_info),
				     STB_GLOBAL, "at %lu", at);
	}
	cr_assert(found > 1000, "%u found", found);
	free(sym);
}

Test(symbol_index, of_nothing)
{
	struct symbol_index index;

	cr_assert(symbol_index_init(&index, 8));
	symbol_index_sort(&index);
	cr_assert_null(symbol_index_find(&index, 0));
}

Test(symbol_index, what_does_not_fit)
{
	ElfW(Sym) far = {.st_value = UINT64_C(1) << 33,
			 .st_size = 8,
			 .st_shndx = 1,
			 .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC)};
	struct symbol_index index;

	cr_assert(symbol_index_init(&index, 1));
	cr_assert(!symbol_index_add(&index, &far, 1));
	cr_assert(!symbol_index_init(&index, SIZE_MAX / 64));
}
