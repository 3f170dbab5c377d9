/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbol tables of ELF files. */
#include "tool/symbolise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tool/elf_sym.h"
#include "tool/mem.h"

#define MOST_BYTES (UINT64_C(1) << 30) /* of a table */

static int read_sections(struct filespace *file, ElfW(Shdr) * *section,
			 size_t *count)
{
	ElfW(Ehdr) ehdr;
	int status = space_read(&file->space, 0, &ehdr, sizeof(ehdr));

	if (status != 0)
		return status;
	if (!elf_sym_is_native(&ehdr) || ehdr.e_shnum == 0 ||
	    ehdr.e_shentsize != sizeof(**section))
		return -ENOENT;
	*count = ehdr.e_shnum;
	*section = mem_alloc(*count, sizeof(**section));
	return space_read(&file->space, ehdr.e_shoff, *section,
			  *count * sizeof(**section));
}

static int read_whole(struct filespace *file, const ElfW(Shdr) * section,
		      void **to)
{
	if (section->sh_size == 0 || section->sh_size > file->bytes ||
	    section->sh_size > MOST_BYTES)
		return -ENOENT;
	*to = mem_alloc(section->sh_size, 1);
	return space_read(&file->space, section->sh_offset, *to,
			  section->sh_size);
}

static const ElfW(Shdr) *
	find_section(const ElfW(Shdr) * section, size_t count, uint32_t type)
{
	for (size_t i = 0; i < count; i++)
		if (section[i].sh_type == type &&
		    section[i].sh_entsize == sizeof(ElfW(Sym)) &&
		    section[i].sh_link < count)
			return &section[i];
	return NULL;
}

int symbolise_open(struct symbolise *symbols, struct filespace *file)
{
	ElfW(Shdr) *section = NULL;
	const ElfW(Shdr) *table = NULL;
	size_t count = 0;
	int status = read_sections(file, &section, &count);

	memset(symbols, 0, sizeof(*symbols));
	if (status == 0)
		table = find_section(section, count, SHT_SYMTAB);
	if (status == 0 && table == NULL)
		table = find_section(section, count, SHT_DYNSYM);
	if (table == NULL) {
		free(section);
		return status != 0 ? status : -ENOENT;
	}
	status = read_whole(file, table, (void **)&symbols->symbol);
	if (status == 0)
		status = read_whole(file, &section[table->sh_link],
				    (void **)&symbols->strings);
	if (status == 0) {
		symbols->count = table->sh_size / sizeof(*symbols->symbol);
		symbols->strings_bytes = section[table->sh_link].sh_size;
		symbols->strings[symbols->strings_bytes - 1] = '\0';
	} else {
		symbolise_close(symbols);
	}
	free(section);
	return status;
}

void symbolise_close(struct symbolise *symbols)
{
	free(symbols->symbol);
	free(symbols->strings);
	memset(symbols, 0, sizeof(*symbols));
}

static bool covers(const ElfW(Sym) * symbol, uint64_t addr)
{
	unsigned type = ELF64_ST_TYPE(symbol->st_info);

	return (type == STT_FUNC || type == STT_GNU_IFUNC) &&
	       symbol->st_shndx != SHN_UNDEF && symbol->st_value <= addr &&
	       addr - symbol->st_value < symbol->st_size;
}

const char *symbolise_find(const struct symbolise *symbols, uint64_t addr,
			   uint64_t *into)
{
	for (size_t i = 0; i < symbols->count; i++) {
		const ElfW(Sym) *symbol = &symbols->symbol[i];

		if (!covers(symbol, addr) ||
		    symbol->st_name >= symbols->strings_bytes)
			continue;
		*into = addr - symbol->st_value;
		return symbols->strings + symbol->st_name;
	}
	return NULL;
}
