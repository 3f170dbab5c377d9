/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses to function names; see symbol.h.
 *
 * A symbol counts when its size covers the address: the nearest one below
 * would name a stranger in a stripped file.
 */
#include "track/symbol.h"

#include "base/mem.h"
#include "base/sys.h"
#include "env/caps.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

struct symbols {
	const ElfW(Sym) * sym;
	size_t count;
	const char *strings;
	size_t strings_bytes;
};

/* A file mapped to read; data is NULL where there is none. */
struct file {
	const char *data;
	size_t bytes;
};

static bool covers(const ElfW(Sym) * s, uintptr_t offset)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);

	return s->st_shndx != SHN_UNDEF &&
	       (type == STT_FUNC || type == STT_GNU_IFUNC ||
		(type == STT_NOTYPE && s->st_size)) &&
	       offset - s->st_value < s->st_size;
}

/* A global name is better than a local alias of the same address. */
static bool better(const ElfW(Sym) * s, const ElfW(Sym) * best)
{
	if (!best || s->st_value != best->st_value)
		return !best || s->st_value > best->st_value;
	return ELF64_ST_BIND(s->st_info) == STB_GLOBAL &&
	       ELF64_ST_BIND(best->st_info) != STB_GLOBAL;
}

static bool search(const struct symbols *t, uintptr_t offset, struct fmt *f)
{
	const ElfW(Sym) *best = NULL;
	const char *name;

	for (size_t i = 0; i < t->count; i++)
		if (covers(&t->sym[i], offset) && better(&t->sym[i], best))
			best = &t->sym[i];
	if (!best || best->st_name >= t->strings_bytes)
		return false;
	name = t->strings + best->st_name;
	if (!*name)
		return false;
	fmt_mem(f, name, strnlen(name, t->strings_bytes - best->st_name));
	return true;
}

/* Number of symbols a DT_GNU_HASH table covers (no count is stored). */
static size_t gnu_hash_count(const uint32_t *h)
{
	uint32_t nbuckets = h[0];
	uint32_t first = h[1];
	const uint32_t *buckets = h + 4 + (size_t)h[2] * 2;
	const uint32_t *chain = buckets + nbuckets;
	uint32_t last = 0;

	for (uint32_t i = 0; i < nbuckets; i++)
		if (buckets[i] > last)
			last = buckets[i];
	if (last < first)
		return first;
	while (!(chain[last - first] & 1))
		last++;
	return last + 1;
}

static bool search_dynamic(const struct module *m, uintptr_t offset,
			   struct fmt *f)
{
	uintptr_t gnu = module_dynamic(m, DT_GNU_HASH);
	uintptr_t sysv = module_dynamic(m, DT_HASH);
	struct symbols t = {
		.sym = (const void *)module_dynamic(m, DT_SYMTAB),
		.strings = (const void *)module_dynamic(m, DT_STRTAB),
		.strings_bytes = module_dynamic(m, DT_STRSZ),
	};

	if (!t.sym || !t.strings)
		return false;
	if (sysv)
		t.count = ((const uint32_t *)sysv)[1];
	else if (gnu)
		t.count = gnu_hash_count((const void *)gnu);
	return search(&t, offset, f);
}

static struct file file_map(const char *path)
{
	struct file file = {0};
	uint64_t dev;
	uint64_t ino;
	uint64_t bytes = 0;
	long fd = sys_open(path, O_RDONLY | O_NOCTTY, 0);
	long addr;

	if (sys_failed(fd))
		return file;
	if (!sys_failed(sys_fstat((int)fd, &dev, &ino, &bytes)) && bytes) {
		addr = sys_mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, (int)fd,
				0);
		if (!sys_failed(addr))
			file = (struct file){(const void *)addr, bytes};
	}
	sys_close((int)fd);
	return file;
}

static bool within(const struct file *f, uint64_t offset, uint64_t bytes)
{
	return offset <= f->bytes && bytes <= f->bytes - offset;
}

/* The header and program headers in memory are the file's. */
static bool file_is(const struct file *file, const struct module *m)
{
	const ElfW(Ehdr) *e = (const void *)file->data;
	size_t bytes = m->phnum * sizeof(ElfW(Phdr));

	return within(file, 0, sizeof(*e)) &&
	       !memcmp(e->e_ident, ELFMAG, SELFMAG) &&
	       e->e_ident[EI_CLASS] == ELFCLASS64 && e->e_phnum == m->phnum &&
	       within(file, e->e_phoff, bytes) &&
	       !memcmp(file->data + e->e_phoff, m->phdr, bytes);
}

static const ElfW(Shdr) * sections(const struct file *file, size_t *count)
{
	const ElfW(Ehdr) *e = (const void *)file->data;

	*count = e->e_shnum;
	if (e->e_shentsize != sizeof(ElfW(Shdr)) ||
	    !within(file, e->e_shoff, *count * sizeof(ElfW(Shdr))))
		*count = 0;
	return (const void *)(file->data + e->e_shoff);
}

static bool symtab_find(const struct file *file, struct symbols *t)
{
	size_t count;
	const ElfW(Shdr) *sh = sections(file, &count);

	for (size_t i = 0; i < count; i++) {
		const ElfW(Shdr) *s = &sh[i];
		const ElfW(Shdr) * strings;

		if (s->sh_type != SHT_SYMTAB || s->sh_link >= count)
			continue;
		strings = &sh[s->sh_link];
		if (!within(file, s->sh_offset, s->sh_size) ||
		    !within(file, strings->sh_offset, strings->sh_size))
			return false;
		t->sym = (const void *)(file->data + s->sh_offset);
		t->count = s->sh_size / sizeof(*t->sym);
		t->strings = file->data + strings->sh_offset;
		t->strings_bytes = strings->sh_size;
		return true;
	}
	return false;
}

static bool search_file(const struct module *m, uintptr_t offset, struct fmt *f)
{
	struct file file = {0};
	struct symbols t;
	bool found = false;

	if (caps.files && module_path(m)[0] == '/')
		file = file_map(module_path(m));
	if (!file.data)
		return false;
	if (file_is(&file, m) && symtab_find(&file, &t))
		found = search(&t, offset, f);
	sys_munmap((void *)file.data, file.bytes);
	return found;
}

void symbol_find(const struct module *m, uintptr_t addr, struct fmt *f)
{
	uintptr_t offset = addr - m->bias;

	if (search_file(m, offset, f) || search_dynamic(m, offset, f))
		return;
	fmt_str(f, "+0x");
	fmt_hex(f, offset);
}
