/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses to function names; see symbol.h.
 *
 * What is learnt of a module's tables is kept, beside its record in the
 * registry, until it is unloaded.  Of its file: that it is the one that is
 * mapped and has no .symtab, for good; where its .symtab is, or that it is
 * some other file, until the file at that path changes.
 */
#include "track/symbol.h"

#include "base/mem.h"
#include "track/registry.h"
#include "track/symtab.h"

#include <string.h>

#define NAME_MAX_BYTES 1024
#define FIRST_MODULES 64

enum file_state {
	FILE_UNKNOWN,
	FILE_SYMBOLS,
	FILE_BARE,  /* the module's own, with no .symtab */
	FILE_WRONG, /* another, or damaged */
};

/* The symbols of a module; of the index of its record. */
struct symbols {
	uint32_t load; /* of the module, see there; 0: none */
	enum file_state state;
	struct symtab dynamic; /* .dynsym, in memory */
	struct symtab full;    /* .symtab, in the file */
	struct sys_file file;
	uint64_t names_at;
	uint64_t names_bytes;
};

static struct registry_table symbols;
static uint32_t swept; /* modules_generation, then */

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

/* Where T may have functions of M. */
static void span_set(struct symtab *t, const struct module *m)
{
	size_t span = m->end - m->start;

	t->low = m->start - m->bias;
	t->span = span < UINT32_MAX ? (uint32_t)span : UINT32_MAX;
}

static void dynamic_learn(struct symtab *t, const struct module *m)
{
	uintptr_t gnu = module_dynamic(m, DT_GNU_HASH);
	uintptr_t sysv = module_dynamic(m, DT_HASH);

	span_set(t, m);
	t->sym = (const void *)module_dynamic(m, DT_SYMTAB);
	if (!t->sym || !module_dynamic(m, DT_STRTAB))
		return;
	if (sysv)
		t->count = ((const uint32_t *)sysv)[1];
	else if (gnu)
		t->count = gnu_hash_count((const void *)gnu);
}

static void symbols_clear(struct symbols *s)
{
	symtab_clear(&s->dynamic);
	symtab_clear(&s->full);
	*s = (struct symbols){0};
}

/* Modules that are gone need no index any more. */
static void sweep(void)
{
	if (swept == modules_generation)
		return;
	swept = modules_generation;
	for (uint32_t id = 1; id < symbols.count; id++)
		if (registry_module_at(id)->unloaded)
			symbols_clear(table_at(&symbols, id));
}

/* What is known of M's symbols; NULL: there is no memory for it. */
static struct symbols *symbols_get(const struct module *m)
{
	struct symbols *s;

	if (!symbols.first_elems)
		table_init(&symbols, sizeof(*s), FIRST_MODULES);
	while (symbols.count <= m->id)
		if (!table_add(&symbols, 1))
			return NULL;
	s = table_at(&symbols, m->id);
	if (s->load != m->load) {
		symbols_clear(s);
		s->load = m->load;
		dynamic_learn(&s->dynamic, m);
	}
	return s;
}

static bool search_dynamic(struct symbols *s, const struct module *m,
			   uintptr_t offset, struct fmt *f)
{
	const char *names = (const char *)module_dynamic(m, DT_STRTAB);
	size_t bytes = module_dynamic(m, DT_STRSZ);
	ElfW(Sym) found;

	if (!symtab_find(&s->dynamic, NULL, offset, &found) ||
	    found.st_name >= bytes || !names[found.st_name])
		return false;
	fmt_mem(f, names + found.st_name,
		strnlen(names + found.st_name, bytes - found.st_name));
	return true;
}

static void file_learn(struct symbols *s, const struct module_file *file,
		       const struct module *m)
{
	struct module_symbols at;
	int result = module_file_symbols(file, m, &at);

	symtab_clear(&s->full);
	s->file = file->now;
	s->state = result == 0 ? FILE_BARE : FILE_WRONG;
	if (result <= 0)
		return;
	s->state = FILE_SYMBOLS;
	s->full.at = at.at;
	s->full.count = at.count;
	s->names_at = at.names_at;
	s->names_bytes = at.names_bytes;
	span_set(&s->full, m);
}

static bool search_full(struct symbols *s, const struct module_file *file,
			uintptr_t offset, struct fmt *f)
{
	static char name[NAME_MAX_BYTES]; /* under registry_lock */
	ElfW(Sym) found;
	size_t len;
	long n;

	if (!symtab_find(&s->full, file, offset, &found) ||
	    found.st_name >= s->names_bytes)
		return false;
	n = sys_pread(file->fd, name, sizeof(name),
		      (off_t)(s->names_at + found.st_name));
	len = n > 0 ? strnlen(name, (size_t)n) : 0;
	fmt_mem(f, name, len);
	return len != 0;
}

static bool search_file(struct symbols *s, const struct module *m,
			uintptr_t offset, struct fmt *f)
{
	struct module_file file;
	bool found;

	if (s->state == FILE_BARE || !module_file_open(&file, m))
		return false;
	if (s->state == FILE_UNKNOWN ||
	    memcmp(&file.now, &s->file, sizeof(file.now)) != 0)
		file_learn(s, &file, m);
	found = s->state == FILE_SYMBOLS && search_full(s, &file, offset, f);
	module_file_close(&file);
	return found;
}

/* `f.isra.0` and the like are f, as its author and any skip list know it. */
static void suffix_drop(struct fmt *f, size_t start)
{
	static const char *const suffixes[] = {
		".constprop.", ".isra.",     ".part.",
		".cold",       ".lto_priv.", ".llvm.",
	};

	if (!strchr(f->text + start, '.'))
		return;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char *found = strstr(f->text + start, suffixes[i]);

		if (found && found > f->text + start) {
			*found = '\0';
			f->len = (size_t)(found - f->text);
		}
	}
}

/* A name out of M's tables. */
static bool search(const struct module *m, uintptr_t offset, struct fmt *f)
{
	struct symbols *s;

	sweep();
	s = symbols_get(m);
	return s && (search_file(s, m, offset, f) ||
		     search_dynamic(s, m, offset, f));
}

void symbol_find(const struct module *m, uintptr_t addr, struct fmt *f)
{
	uintptr_t offset = addr - m->bias;
	size_t start = f->len;

	if (search(m, offset, f)) {
		suffix_drop(f, start);
		return;
	}
	fmt_str(f, "+0x");
	fmt_hex(f, offset);
}
