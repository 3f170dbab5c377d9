/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modules of the process; see module.h.
 */
#include "track/module.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/sys.h"
#include "env/real.h"
#include "track/registry.h"

#include <limits.h>
#include <string.h>
#include <sys/auxv.h>

#define LIST_FIRST 64
#define FINGERPRINT_BYTES 2048
#define MARK_BYTES 64

uint32_t modules_generation;

static struct {
	struct module *list; /* in the order of their start */
	uint32_t count;
	uint32_t capacity;
	uint32_t loads; /* so far */
	module_each *on_load;
	module_each *on_unload;
} loaded;

uintptr_t module_dynamic(const struct module *m, ElfW(Sxword) tag)
{
	const ElfW(Dyn) *d = m->dynamic;

	for (; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag != tag)
			continue;
		/* the loader makes pointers absolute, but not in the vDSO */
		if (tag != DT_SONAME && tag != DT_STRSZ &&
		    d->d_un.d_ptr < m->bias)
			return m->bias + d->d_un.d_ptr;
		return d->d_un.d_ptr;
	}
	return 0;
}

const char *module_path(const struct module *m)
{
	return registry_text(registry_module_at(m->id)->path);
}

const char *module_owner(const struct module *m)
{
	return registry_text(registry_module_at(m->id)->owner);
}

static void segment_note(struct module *m, const ElfW(Phdr) * ph)
{
	uintptr_t start = m->bias + ph->p_vaddr;
	uintptr_t file_end = page_up(start + ph->p_filesz);
	uintptr_t end = start + ph->p_memsz;

	if (ph->p_type == PT_DYNAMIC)
		m->dynamic = (const void *)start;
	if (ph->p_type == PT_GNU_EH_FRAME)
		m->unwind = (const void *)start;
	if (ph->p_type != PT_LOAD)
		return;
	if (!m->end || start < m->start)
		m->start = page_down(start);
	if (end > m->end)
		m->end = page_up(end);
	if (page_up(end) > file_end && ph->p_memsz > ph->p_filesz) {
		m->bss_start = file_end;
		m->bss_end = page_up(end);
	}
}

static struct module module_make(uintptr_t bias, const ElfW(Phdr) * phdr,
				 uint32_t phnum)
{
	struct module m = {.bias = bias, .phdr = phdr, .phnum = phnum};

	for (uint32_t i = 0; i < phnum; i++)
		segment_note(&m, &phdr[i]);
	return m;
}

static uint64_t hash_bytes(uint64_t h, const char *p, size_t len)
{
	uint64_t word = 0;

	for (; len >= sizeof(word); len -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = hash_mix(h, word);
	}
	word = 0;
	memcpy(&word, p, len);
	return hash_mix(h, word);
}

/*
 * What tells a module from another of the same layout that the loader put in
 * its place, cheaply: its name and where its first functions are.
 */
static uint64_t mark_of(const char *name, const void *unwind)
{
	uint64_t h = hash_bytes((uintptr_t)unwind, name, strlen(name));
	size_t len = PAGE_BYTES - ((uintptr_t)unwind & (PAGE_BYTES - 1));

	if (!unwind)
		return h;
	return hash_bytes(h, unwind, len < MARK_BYTES ? len : MARK_BYTES);
}

/*
 * What tells a rebuilt module from the one that was at the same path: its
 * program headers and the addresses of its functions.
 */
static uint32_t fingerprint(const struct module *m)
{
	uint64_t h = m->phnum;
	size_t len = 0;

	for (uint32_t i = 0; i < m->phnum; i++) {
		h = hash_mix(h, m->phdr[i].p_vaddr);
		h = hash_mix(h, m->phdr[i].p_memsz);
		if (m->phdr[i].p_type == PT_GNU_EH_FRAME)
			len = m->phdr[i].p_memsz;
	}
	if (len > FINGERPRINT_BYTES)
		len = FINGERPRINT_BYTES;
	return (uint32_t)(m->unwind ? hash_bytes(h, m->unwind, len) : h);
}

/* The first module of the list that ends above ADDR; its place. */
static uint32_t place_of(uintptr_t addr)
{
	uint32_t low = 0;
	uint32_t high = loaded.count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (loaded.list[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const struct module *find(uintptr_t addr)
{
	uint32_t i = place_of(addr);

	if (i < loaded.count && loaded.list[i].start <= addr)
		return &loaded.list[i];
	return NULL;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/*
 * The registry's record for a module: that of an earlier load of the same
 * file, so that a program that loads and unloads for ever needs one, or a new
 * one.  0 without memory.
 */
static uint32_t record_find(uint32_t path, uint32_t print)
{
	struct registry_table *t = &anonshim_registry->table[REGISTRY_MODULES];

	for (uint32_t id = 1; id < t->count; id++) {
		struct registry_module *r = registry_module_at(id);

		if (r->unloaded && r->path == path && r->fingerprint == print)
			return id;
	}
	return (uint32_t)table_add(t, 1);
}

/*
 * What the executable was called as, where that is a link to it: Debian's
 * redis-server is one to redis-check-rdb.  Not the script of an interpreter.
 */
static const char *exe_owner(void)
{
	const char *called = (const char *)getauxval(AT_EXECFN);

	if (called && *called && sys_same_file(called, "/proc/self/exe"))
		return last_part(called);
	return "";
}

static uint32_t record(const struct module *m, const char *path)
{
	static char exe[PATH_MAX]; /* under registry_lock; large for a stack */
	uintptr_t strings = module_dynamic(m, DT_STRTAB);
	uintptr_t soname = module_dynamic(m, DT_SONAME);
	uint32_t print = fingerprint(m);
	const char *owner = "";
	uint32_t path_id;
	uint32_t id;

	if (!*path) { /* the executable itself */
		long n = sys_readlink("/proc/self/exe", exe, sizeof(exe) - 1);

		exe[n > 0 ? n : 0] = '\0';
		path = n > 0 ? exe : "(executable)";
		owner = exe_owner();
	} else if (strings && soname) {
		owner = (const char *)strings + soname;
	}
	if (!*owner)
		owner = last_part(path);
	path_id = registry_string(path, strlen(path));
	id = record_find(path_id, print);
	if (id)
		*registry_module_at(id) = (struct registry_module){
			.bias = m->bias,
			.start = m->start,
			.end = m->end,
			.path = path_id,
			.owner = registry_string(owner, strlen(owner)),
			.fingerprint = print,
		};
	return id;
}

/* Readers may hold no pointer into the list, but the old one stays ours. */
static bool make_room(void)
{
	uint32_t capacity = loaded.capacity ? loaded.capacity * 2 : LIST_FIRST;
	struct module *list;

	if (loaded.count < loaded.capacity)
		return true;
	list = mem_map(capacity * sizeof(*list));
	if (!list)
		return false;
	if (loaded.count)
		memcpy(list, loaded.list, loaded.count * sizeof(*list));
	loaded.list = list;
	loaded.capacity = capacity;
	return true;
}

static void forget(uint32_t i)
{
	struct module gone = loaded.list[i];

	registry_module_at(gone.id)->unloaded = 1;
	loaded.count--;
	__atomic_fetch_add(&modules_generation, 1, __ATOMIC_RELEASE);
	memmove(&loaded.list[i], &loaded.list[i + 1],
		(loaded.count - i) * sizeof(gone));
	loaded.on_unload(&gone);
}

/* Enter M; whatever the list has in its place is gone. */
static const struct module *enter(struct module *m, const char *path)
{
	uint32_t i = place_of(m->start);

	if (m->start >= m->end)
		return NULL;
	while (i < loaded.count && loaded.list[i].start < m->end)
		forget(i);
	m->id = make_room() ? record(m, path) : 0;
	if (!m->id)
		return NULL;
	m->load = ++loaded.loads;
	m->mark = mark_of(path, m->unwind);
	memmove(&loaded.list[i + 1], &loaded.list[i],
		(loaded.count - i) * sizeof(*m));
	loaded.list[i] = *m;
	loaded.count++;
	__atomic_fetch_add(&modules_generation, 1, __ATOMIC_RELEASE);
	loaded.on_load(m);
	return find(m->start);
}

static int enter_each(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct module m =
		module_make(info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum);

	(void)size;
	(void)arg;
	enter(&m, info->dlpi_name);
	return 0;
}

void modules_start(module_each *on_load, module_each *on_unload)
{
	loaded.on_load = on_load;
	loaded.on_unload = on_unload;
	real.dl_iterate_phdr(enter_each, NULL);
}

static bool same(const struct module *m, const struct dl_find_object *o)
{
	return m->bias == o->dlfo_link_map->l_addr &&
	       m->dynamic == o->dlfo_link_map->l_ld;
}

const ElfW(Phdr) * module_headers(const struct dl_find_object *o, unsigned *n)
{
	const ElfW(Ehdr) *e = o->dlfo_map_start;

	if (!((uintptr_t)e & (PAGE_BYTES - 1)) &&
	    !memcmp(e->e_ident, ELFMAG, SELFMAG)) {
		*n = e->e_phnum;
		return e->e_phentsize == sizeof(ElfW(Phdr)) &&
				       e->e_phoff + *n * sizeof(ElfW(Phdr)) <=
					       PAGE_BYTES
			       ? (const void *)((const char *)e + e->e_phoff)
			       : NULL;
	}
	if (*o->dlfo_link_map->l_name)
		return NULL;
	*n = (unsigned)getauxval(AT_PHNUM);
	return (const void *)getauxval(AT_PHDR);
}

static const struct module *learn(const struct dl_find_object *o)
{
	unsigned n;
	const ElfW(Phdr) *ph = module_headers(o, &n);
	struct module m;

	if (!ph)
		return NULL;
	m = module_make(o->dlfo_link_map->l_addr, ph, n);
	m.unwind = o->dlfo_eh_frame; /* as module_at() will ask */
	return enter(&m, o->dlfo_link_map->l_name);
}

const struct module *module_at(uintptr_t addr)
{
	const struct module *m = find(addr);
	struct dl_find_object o;

	/* before glibc 2.35: what was there at start-up */
	if (!real.dl_find_object)
		return m;
	if (real.dl_find_object((void *)addr, &o))
		return NULL;
	if (m && same(m, &o) &&
	    m->mark == mark_of(o.dlfo_link_map->l_name, o.dlfo_eh_frame))
		return m;
	return learn(&o);
}

void modules_sweep(void)
{
	struct dl_find_object o;
	uint32_t i = 0;

	while (real.dl_find_object && i < loaded.count) {
		const struct module *m = &loaded.list[i];

		/* not the vDSO, of which _dl_find_object does not know */
		if (m->bss_start >= m->bss_end ||
		    (!real.dl_find_object((void *)m->bss_start, &o) &&
		     same(m, &o)))
			i++;
		else
			forget(i);
	}
}
