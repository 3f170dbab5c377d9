/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions by address; see symbol_index.h.
 */
#include "track/symbol_index.h"

#include "base/mem.h"

#define MOST ((size_t)1 << 21)
/* The size's top bit, until they are sorted. */
#define GLOBAL (UINT32_C(1) << 31)

bool symbol_is_function(const ElfW(Sym) * s)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);

	return s->st_shndx != SHN_UNDEF && s->st_size &&
	       (type == STT_FUNC || type == STT_GNU_IFUNC ||
		type == STT_NOTYPE);
}

bool symbol_index_init(struct symbol_index *index, size_t count)
{
	*index = (struct symbol_index){0};
	if (count <= MOST)
		index->entry = mem_map(count * sizeof(*index->entry));
	return index->entry;
}

bool symbol_index_add(struct symbol_index *index, const ElfW(Sym) * sym,
		      size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const ElfW(Sym) *s = &sym[i];
		bool global = ELF64_ST_BIND(s->st_info) == STB_GLOBAL;

		if (!symbol_is_function(s))
			continue;
		if (s->st_value > UINT32_MAX || s->st_size >= GLOBAL)
			return false;
		index->entry[index->n++] = (struct symbol_entry){
			.value = (uint32_t)s->st_value,
			.size = (uint32_t)s->st_size | (global ? GLOBAL : 0),
			.name = s->st_name,
		};
		if (s->st_size > index->longest)
			index->longest = (uint32_t)s->st_size;
	}
	return true;
}

/* By address; of one address the global ones behind the others. */
static bool is_before(const struct symbol_entry *a,
		      const struct symbol_entry *b)
{
	if (a->value != b->value)
		return a->value < b->value;
	return (a->size & GLOBAL) < (b->size & GLOBAL);
}

/* Of a heap, N entries with the largest on top, let entry I sink. */
static void sink(struct symbol_entry *entry, size_t i, size_t n)
{
	struct symbol_entry moved = entry[i];
	size_t child;

	while ((child = 2 * i + 1) < n) {
		if (child + 1 < n &&
		    is_before(&entry[child], &entry[child + 1]))
			child++;
		if (!is_before(&moved, &entry[child]))
			break;
		entry[i] = entry[child];
		i = child;
	}
	entry[i] = moved;
}

void symbol_index_sort(struct symbol_index *index)
{
	struct symbol_entry *entry = index->entry;

	for (size_t i = index->n / 2; i-- > 0;)
		sink(entry, i, index->n);
	for (size_t n = index->n; n > 1; n--) {
		struct symbol_entry last = entry[n - 1];

		entry[n - 1] = entry[0];
		entry[0] = last;
		sink(entry, 0, n - 1);
	}
	for (size_t i = 0; i < index->n; i++)
		entry[i].size &= ~GLOBAL;
}

const struct symbol_entry *symbol_index_find(const struct symbol_index *index,
					     uintptr_t offset)
{
	size_t low = 0;
	size_t high = index->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (index->entry[middle].value <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	while (low-- > 0) {
		const struct symbol_entry *e = &index->entry[low];

		if (offset - e->value < e->size)
			return e;
		if (offset - e->value >= index->longest)
			break;
	}
	return NULL;
}
