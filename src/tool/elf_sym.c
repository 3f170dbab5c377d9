/* SPDX-License-Identifier: BSD-2-Clause */
/* Symbols of a module in memory, through its dynamic section. */
#include "tool/elf_sym.h"

#include <errno.h>
#include <string.h>

#define MOST_DYNAMIC 4096
#define MOST_STEPS 65536 /* along a chain of symbols with equal hashes */
#define LONGEST_SYMBOL 256

#if __ELF_NATIVE_CLASS == 64
#define NATIVE_CLASS ELFCLASS64
#else
#define NATIVE_CLASS ELFCLASS32
#endif
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

/* Addresses in the process of what a look-up needs; 0 where there is none. */
struct dynamic {
	uint64_t gnu_hash;
	uint64_t hash;
	uint64_t symtab;
	uint64_t strtab;
};

bool elf_sym_is_native(const ElfW(Ehdr) * ehdr)
{
	return memcmp(ehdr->e_ident, ELFMAG, SELFMAG) == 0 &&
	       ehdr->e_ident[EI_CLASS] == NATIVE_CLASS &&
	       ehdr->e_ident[EI_DATA] == NATIVE_DATA;
}

static const ElfW(Phdr) *
	find_phdr(const struct elf_module *module, uint32_t type)
{
	for (size_t i = 0; i < module->nphdrs; i++)
		if (module->phdr[i].p_type == type)
			return &module->phdr[i];
	return NULL;
}

int elf_sym_open(struct elf_module *module, struct space *space, uint64_t base)
{
	const ElfW(Phdr) * load;
	ElfW(Ehdr) ehdr;
	int status = space_read(space, base, &ehdr, sizeof(ehdr));

	module->nphdrs = 0;
	if (status != 0)
		return status;
	if (!elf_sym_is_native(&ehdr) ||
	    ehdr.e_phentsize != sizeof(module->phdr[0]) ||
	    ehdr.e_phnum > ELF_SYM_MOST_PHDRS)
		return -ENOEXEC;
	status = space_read(space, base + ehdr.e_phoff, module->phdr,
			    ehdr.e_phnum * sizeof(module->phdr[0]));
	if (status != 0)
		return status;
	module->nphdrs = ehdr.e_phnum;
	load = find_phdr(module, PT_LOAD);
	if (load == NULL)
		return -ENOEXEC;
	module->bias = base - (load->p_vaddr - load->p_offset);
	return 0;
}

/* glibc relocates addresses in the dynamic section, other loaders do not. */
static uint64_t relocated(const struct elf_module *module, uint64_t value)
{
	return value < module->bias ? value + module->bias : value;
}

static void take_entry(const struct elf_module *module, struct dynamic *dynamic,
		       const ElfW(Dyn) * entry)
{
	uint64_t value = relocated(module, entry->d_un.d_ptr);

	if (entry->d_tag == DT_GNU_HASH)
		dynamic->gnu_hash = value;
	else if (entry->d_tag == DT_HASH)
		dynamic->hash = value;
	else if (entry->d_tag == DT_SYMTAB)
		dynamic->symtab = value;
	else if (entry->d_tag == DT_STRTAB)
		dynamic->strtab = value;
}

static int read_dynamic(const struct elf_module *module, struct space *space,
			struct dynamic *dynamic)
{
	const ElfW(Phdr) *phdr = find_phdr(module, PT_DYNAMIC);
	ElfW(Dyn) entry;

	memset(dynamic, 0, sizeof(*dynamic));
	if (phdr == NULL)
		return -ENOENT;
	for (uint64_t i = 0; i < MOST_DYNAMIC; i++) {
		uint64_t at = module->bias + phdr->p_vaddr + i * sizeof(entry);
		int status = space_read(space, at, &entry, sizeof(entry));

		if (status != 0)
			return status;
		if (entry.d_tag == DT_NULL)
			break;
		take_entry(module, dynamic, &entry);
	}
	return dynamic->symtab != 0 && dynamic->strtab != 0 ? 0 : -ENOENT;
}

static uint32_t gnu_hash_of(const char *symbol)
{
	uint32_t hash = 5381;

	for (; *symbol != '\0'; symbol++)
		hash = hash * 33 + (unsigned char)*symbol;
	return hash;
}

static uint32_t sysv_hash_of(const char *symbol)
{
	uint32_t hash = 0;

	for (; *symbol != '\0'; symbol++) {
		hash = (hash << 4) + (unsigned char)*symbol;
		hash ^= (hash & 0xf0000000) >> 24;
		hash &= 0x0fffffff;
	}
	return hash;
}

/* Whether symbol number `index` is the one: 1 and *addr, 0, or -errno. */
static int compare(const struct elf_module *module, struct space *space,
		   const struct dynamic *dynamic, uint32_t index,
		   const char *symbol, uint64_t *addr)
{
	char name[LONGEST_SYMBOL];
	size_t bytes = strlen(symbol) + 1;
	ElfW(Sym) sym;
	int status = space_read(space, dynamic->symtab + index * sizeof(sym),
				&sym, sizeof(sym));

	if (status == 0)
		status = space_read(space, dynamic->strtab + sym.st_name, name,
				    bytes);
	if (status != 0)
		return status;
	if (memcmp(name, symbol, bytes) != 0 || sym.st_shndx == SHN_UNDEF)
		return 0;
	*addr = module->bias + sym.st_value;
	return 1;
}

static int read_word(struct space *space, uint64_t addr, uint32_t *word)
{
	return space_read(space, addr, word, sizeof(*word));
}

/* See "ELF: symbol lookup via DT_GNU_HASH"; the bloom filter is not needed. */
static int find_gnu(const struct elf_module *module, struct space *space,
		    const struct dynamic *dynamic, const char *symbol,
		    uint64_t *addr)
{
	struct {
		uint32_t nbuckets, first, nbloom, shift;
	} head;
	uint32_t want = gnu_hash_of(symbol), index, hash;
	int status = space_read(space, dynamic->gnu_hash, &head, sizeof(head));
	uint64_t buckets, chains;

	if (status != 0 || head.nbuckets == 0)
		return status != 0 ? status : -ENOENT;
	buckets = dynamic->gnu_hash + sizeof(head) +
		  (uint64_t)head.nbloom * sizeof(ElfW(Addr));
	chains = buckets + (uint64_t)head.nbuckets * 4;
	status = read_word(space, buckets + want % head.nbuckets * 4, &index);
	if (status != 0 || index < head.first)
		return status != 0 ? status : -ENOENT;
	for (int step = 0; step < MOST_STEPS; step++, index++) {
		status = read_word(space,
				   chains + (uint64_t)(index - head.first) * 4,
				   &hash);
		if (status == 0 && (hash | 1) == (want | 1))
			status = compare(module, space, dynamic, index, symbol,
					 addr);
		if (status != 0)
			return status < 0 ? status : 0;
		if ((hash & 1) != 0)
			break;
	}
	return -ENOENT;
}

static int find_sysv(const struct elf_module *module, struct space *space,
		     const struct dynamic *dynamic, const char *symbol,
		     uint64_t *addr)
{
	struct {
		uint32_t nbuckets, nchains;
	} head;
	uint32_t index;
	int status = space_read(space, dynamic->hash, &head, sizeof(head));
	uint64_t buckets = dynamic->hash + sizeof(head), at;

	if (status != 0 || head.nbuckets == 0)
		return status != 0 ? status : -ENOENT;
	at = buckets + (uint64_t)(sysv_hash_of(symbol) % head.nbuckets) * 4;
	for (int step = 0; step < MOST_STEPS; step++) {
		status = read_word(space, at, &index);
		if (status != 0 || index == 0)
			return status != 0 ? status : -ENOENT;
		status = compare(module, space, dynamic, index, symbol, addr);
		if (status != 0)
			return status < 0 ? status : 0;
		at = buckets + ((uint64_t)head.nbuckets + index) * 4;
	}
	return -ENOENT;
}

int elf_sym_find(const struct elf_module *module, struct space *space,
		 const char *symbol, uint64_t *addr)
{
	struct dynamic dynamic;
	int status = read_dynamic(module, space, &dynamic);

	if (status != 0)
		return status;
	if (strlen(symbol) >= LONGEST_SYMBOL)
		return -ENOENT;
	if (dynamic.gnu_hash != 0)
		return find_gnu(module, space, &dynamic, symbol, addr);
	if (dynamic.hash != 0)
		return find_sysv(module, space, &dynamic, symbol, addr);
	return -ENOENT;
}
