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
#include "track/symbol_index.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

struct symbols {
	const ElfW(Sym) * sym;
	size_t count;
	const char *strings;
	size_t strings_bytes;
};

/* A module's file, read piece by piece: a mapping of it could raise SIGBUS. */
struct file {
	int fd;
	char *piece; /* PIECE_BYTES */
};

/* Large modules, by their order of appearance. */
static struct {
	uint32_t module;
	struct symbol_index functions; /* no entries: it cannot be made */
} indexed[32];
static unsigned indices;

#define PIECE_BYTES 65536
#define NAME_MAX_BYTES 1024
#define PIECE_SYMBOLS (PIECE_BYTES / sizeof(ElfW(Sym)))

static bool covers(const ElfW(Sym) * s, uintptr_t offset)
{
	return symbol_is_function(s) && offset - s->st_value < s->st_size;
}

/* A global name is better than a local alias of the same address. */
static bool better(const ElfW(Sym) * s, const ElfW(Sym) * best)
{
	if (!best || s->st_value != best->st_value)
		return !best || s->st_value > best->st_value;
	return ELF64_ST_BIND(s->st_info) == STB_GLOBAL &&
	       ELF64_ST_BIND(best->st_info) != STB_GLOBAL;
}

/* The better of BEST and what COUNT symbols have for OFFSET; NULL: none. */
static const ElfW(Sym) * search(const ElfW(Sym) * sym, size_t count,
				uintptr_t offset, const ElfW(Sym) * best)
{
	for (size_t i = 0; i < count; i++)
		if (covers(&sym[i], offset) && better(&sym[i], best))
			best = &sym[i];
	return best;
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
	const ElfW(Sym) * best;

	if (!t.sym || !t.strings)
		return false;
	if (sysv)
		t.count = ((const uint32_t *)sysv)[1];
	else if (gnu)
		t.count = gnu_hash_count((const void *)gnu);
	best = search(t.sym, t.count, offset, NULL);
	if (!best || best->st_name >= t.strings_bytes ||
	    !t.strings[best->st_name])
		return false;
	fmt_mem(f, t.strings + best->st_name,
		strnlen(t.strings + best->st_name,
			t.strings_bytes - best->st_name));
	return true;
}

static bool file_open(struct file *file, const char *path)
{
	/* the path may lead to anything by now: a FIFO must not hold us */
	long fd = sys_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
	long piece;

	if (sys_failed(fd))
		return false;
	piece = sys_is_file((int)fd)
			? sys_mmap(NULL, PIECE_BYTES, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
			: -EINVAL;
	if (sys_failed(piece)) {
		sys_close((int)fd);
		return false;
	}
	*file = (struct file){(int)fd, (char *)piece};
	return true;
}

static void file_close(struct file *file)
{
	sys_munmap(file->piece, PIECE_BYTES);
	sys_close(file->fd);
}

/* Read BYTES at OFFSET to TO, all of them or fail. */
static bool file_read(const struct file *file, uint64_t offset, void *to,
		      size_t bytes)
{
	return sys_pread(file->fd, to, bytes, (off_t)offset) == (long)bytes;
}

/* The program headers in memory are the file's. */
static bool file_is(const struct file *file, const ElfW(Ehdr) * e,
		    const struct module *m)
{
	size_t bytes = m->phnum * sizeof(ElfW(Phdr));

	return !memcmp(e->e_ident, ELFMAG, SELFMAG) &&
	       e->e_ident[EI_CLASS] == ELFCLASS64 && e->e_phnum == m->phnum &&
	       bytes <= PIECE_BYTES &&
	       file_read(file, e->e_phoff, file->piece, bytes) &&
	       !memcmp(file->piece, m->phdr, bytes);
}

/* Find the sections of symbols and of their names. */
static bool sections_find(const struct file *file, const ElfW(Ehdr) * e,
			  ElfW(Shdr) * symbols, ElfW(Shdr) * names)
{
	const ElfW(Shdr) *sh = (const void *)file->piece;
	size_t bytes = e->e_shnum * sizeof(*sh);

	if (e->e_shentsize != sizeof(*sh) || bytes > PIECE_BYTES ||
	    !file_read(file, e->e_shoff, file->piece, bytes))
		return false;
	for (size_t i = 0; i < e->e_shnum; i++) {
		if (sh[i].sh_type != SHT_SYMTAB || sh[i].sh_link >= e->e_shnum)
			continue;
		*symbols = sh[i];
		*names = sh[sh[i].sh_link];
		return true;
	}
	return false;
}

static bool index_make(struct symbol_index *index, const struct file *file,
		       const ElfW(Shdr) * symbols)
{
	size_t left = symbols->sh_size / sizeof(ElfW(Sym));
	uint64_t at = symbols->sh_offset;

	if (!symbol_index_init(index, left))
		return false;
	while (left) {
		size_t n = left < PIECE_SYMBOLS ? left : PIECE_SYMBOLS;

		if (!file_read(file, at, file->piece, n * sizeof(ElfW(Sym))) ||
		    !symbol_index_add(index, (const void *)file->piece, n))
			return false;
		at += n * sizeof(ElfW(Sym));
		left -= n;
	}
	symbol_index_sort(index);
	return true;
}

/* The index of a large module's symbols; NULL: there is none. */
static const struct symbol_index *index_get(const struct module *m,
					    const struct file *file,
					    const ElfW(Shdr) * symbols)
{
	struct symbol_index *index;

	for (unsigned i = 0; i < indices; i++)
		if (indexed[i].module == m->id)
			return indexed[i].functions.n ? &indexed[i].functions
						      : NULL;
	if (indices >= sizeof(indexed) / sizeof(*indexed) ||
	    symbols->sh_size / sizeof(ElfW(Sym)) < SYMBOL_INDEX_LEAST)
		return NULL;
	indexed[indices].module = m->id;
	index = &indexed[indices++].functions;
	if (!index_make(index, file, symbols))
		index->n = 0;
	return index->n ? index : NULL;
}

/* The symbol that covers OFFSET, out of the whole section, into *FOUND. */
static bool section_search(const struct file *file, const ElfW(Shdr) * symbols,
			   uintptr_t offset, ElfW(Sym) * found)
{
	size_t left = symbols->sh_size / sizeof(ElfW(Sym));
	uint64_t at = symbols->sh_offset;
	const ElfW(Sym) *best = NULL;

	while (left) {
		size_t n = left < PIECE_SYMBOLS ? left : PIECE_SYMBOLS;
		const ElfW(Sym) * b;

		if (!file_read(file, at, file->piece, n * sizeof(*b)))
			return false;
		b = search((const void *)file->piece, n, offset, best);
		if (b && b != best) {
			*found = *b;
			best = found;
		}
		at += n * sizeof(*b);
		left -= n;
	}
	return best != NULL;
}

/* Where in the string table the name of what covers OFFSET is, in *NAME. */
static bool name_find(const struct module *m, const struct file *file,
		      const ElfW(Shdr) * symbols, uintptr_t offset,
		      uint32_t *name)
{
	const struct symbol_index *index = index_get(m, file, symbols);
	const struct symbol_entry *entry;
	ElfW(Sym) found;

	if (index) {
		entry = symbol_index_find(index, offset);
		*name = entry ? entry->name : 0;
		return entry;
	}
	if (!section_search(file, symbols, offset, &found))
		return false;
	*name = found.st_name;
	return true;
}

static bool search_file(const struct module *m, uintptr_t offset, struct fmt *f)
{
	struct file file;
	ElfW(Ehdr) e;
	ElfW(Shdr) symbols;
	ElfW(Shdr) names;
	uint32_t name;
	size_t len = 0;
	long n;

	if (!caps.files || module_path(m)[0] != '/' ||
	    !file_open(&file, module_path(m)))
		return false;
	if (file_read(&file, 0, &e, sizeof(e)) && file_is(&file, &e, m) &&
	    sections_find(&file, &e, &symbols, &names) &&
	    name_find(m, &file, &symbols, offset, &name) &&
	    name < names.sh_size) {
		n = sys_pread(file.fd, file.piece, NAME_MAX_BYTES,
			      (off_t)(names.sh_offset + name));
		len = n > 0 ? strnlen(file.piece, (size_t)n) : 0;
		fmt_mem(f, file.piece, len);
	}
	file_close(&file);
	return len != 0;
}

/* `f.isra.0` and the like are f, as its author and any skip list know it. */
static void suffix_drop(struct fmt *f, size_t start)
{
	static const char *const suffixes[] = {
		".constprop.", ".isra.",     ".part.",
		".cold",       ".lto_priv.", ".llvm.",
	};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char *found = strstr(f->text + start, suffixes[i]);

		if (found && found > f->text + start) {
			*found = '\0';
			f->len = (size_t)(found - f->text);
		}
	}
}

void symbol_find(const struct module *m, uintptr_t addr, struct fmt *f)
{
	uintptr_t offset = addr - m->bias;
	size_t start = f->len;

	if (search_file(m, offset, f) || search_dynamic(m, offset, f)) {
		suffix_drop(f, start);
		return;
	}
	fmt_str(f, "+0x");
	fmt_hex(f, offset);
}
