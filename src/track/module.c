/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The modules of the process; see module.h.
 *
 * dl_iterate_phdr holds a lock of the loader's while it calls back, and a
 * program may map memory in a callback of its own; so the list is gathered
 * into a scratch mapping without any lock of ours, and merged afterwards.
 */
#include "track/module.h"

#include "base/fmt.h"
#include "base/mem.h"
#include "base/sys.h"
#include "env/real.h"
#include "track/registry.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

struct found {
	struct module m;
	const char *path; /* both copied, into the gathering's text */
	const char *soname;
};

/*
 * The scratch mapping's head; found, gone and the text follow.  Texts are
 * copied while the loader's lock is held: without it another thread may unload
 * the module under our eyes.
 */
struct gathering {
	size_t bytes; /* of the mapping */
	uint64_t adds;
	uint64_t subs;
	uint32_t count;
	uint32_t capacity;
	uint32_t gone_capacity;
	struct fmt text;
	struct found *found;
	struct found *gone;
};

/* Room for modules that other threads load between the two walks. */
#define SPARE_MODULES 16
#define SPARE_TEXT_BYTES 4096

uint32_t modules_unloads;

static struct {
	struct module *list; /* in the order of their start */
	uint32_t count;
	uint32_t capacity;
	uint64_t adds; /* the loader's counters at the last update */
	uint64_t subs;
} loaded;

static int read_counters(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t *counters = arg;

	(void)size;
	counters[0] = info->dlpi_adds;
	counters[1] = info->dlpi_subs;
	return 1;
}

bool modules_changed(void)
{
	uint64_t now[2] = {0, 0};

	real.dl_iterate_phdr(read_counters, now);
	return now[0] != __atomic_load_n(&loaded.adds, __ATOMIC_RELAXED) ||
	       now[1] != __atomic_load_n(&loaded.subs, __ATOMIC_RELAXED);
}

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

static void segment_note(struct module *m, const ElfW(Phdr) * ph)
{
	uintptr_t start = m->bias + ph->p_vaddr;
	uintptr_t file_end = page_up(start + ph->p_filesz);
	uintptr_t end = start + ph->p_memsz;

	if (ph->p_type == PT_DYNAMIC)
		m->dynamic = (const void *)start;
	if (ph->p_type == PT_GNU_EH_FRAME)
		m->eh_frame_hdr = (const void *)start;
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

static const char *keep_text(struct gathering *g, const char *text)
{
	const char *kept = g->text.text + g->text.len;

	fmt_mem(&g->text, text ? text : "", text ? strlen(text) + 1 : 1);
	return g->text.truncated ? "" : kept;
}

static int gather(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct gathering *g = arg;
	struct found *f = &g->found[g->count];
	uintptr_t strings;
	uintptr_t soname;

	(void)size;
	g->adds = info->dlpi_adds;
	g->subs = info->dlpi_subs;
	if (g->count == g->capacity) {
		g->adds = 0; /* incomplete: try again at the next call */
		g->subs = 0;
		return 1;
	}
	f->m = (struct module){
		.bias = info->dlpi_addr,
		.phdr = info->dlpi_phdr,
		.phnum = info->dlpi_phnum,
	};
	for (uint32_t i = 0; i < f->m.phnum; i++)
		segment_note(&f->m, &info->dlpi_phdr[i]);
	if (!f->m.end)
		return 0;
	strings = module_dynamic(&f->m, DT_STRTAB);
	soname = module_dynamic(&f->m, DT_SONAME);
	f->path = keep_text(g, info->dlpi_name);
	f->soname = keep_text(
		g, strings && soname ? (const char *)strings + soname : NULL);
	g->count++;
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

const struct module *module_find(uintptr_t addr)
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
	if (low < loaded.count && loaded.list[low].start <= addr)
		return &loaded.list[low];
	return NULL;
}

const struct module *module_by_id(uint32_t id)
{
	for (uint32_t i = 0; i < loaded.count; i++)
		if (loaded.list[i].id == id)
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
static uint32_t record_find(uint32_t path, size_t bytes)
{
	struct registry_table *t = &anonshim_registry->table[REGISTRY_MODULES];

	for (uint32_t id = 1; id < t->count; id++) {
		struct registry_module *r = registry_module_at(id);

		if (r->unloaded && r->path == path &&
		    r->end - r->start == bytes)
			return id;
	}
	return (uint32_t)table_add(t, 1);
}

static uint32_t record(const struct found *f)
{
	char exe[PATH_MAX];
	const char *path = f->path;
	const char *owner = f->soname;
	uint32_t path_id;
	uint32_t id;

	if (!*path) { /* the executable itself */
		long n = sys_readlink("/proc/self/exe", exe, sizeof(exe) - 1);

		exe[n > 0 ? n : 0] = '\0';
		path = n > 0 ? exe : "(executable)";
		owner = "";
	}
	if (!*owner)
		owner = last_part(path);
	path_id = registry_string(path, strlen(path));
	id = record_find(path_id, f->m.end - f->m.start);
	if (id)
		*registry_module_at(id) = (struct registry_module){
			.bias = f->m.bias,
			.start = f->m.start,
			.end = f->m.end,
			.path = path_id,
			.owner = registry_string(owner, strlen(owner)),
		};
	return id;
}

static bool same_module(const struct module *a, const struct found *f)
{
	return a->bias == f->m.bias && a->start == f->m.start &&
	       a->phdr == f->m.phdr && a->dynamic == f->m.dynamic &&
	       (!*f->path || !strcmp(module_path(a), f->path));
}

static bool make_room(void)
{
	uint32_t capacity = loaded.capacity ? loaded.capacity * 2 : 64;
	struct module *list;

	if (loaded.count < loaded.capacity)
		return true;
	list = mem_map(capacity * sizeof(*list));
	if (!list)
		return false;
	memcpy(list, loaded.list, loaded.count * sizeof(*list));
	if (loaded.list)
		sys_munmap(loaded.list, loaded.capacity * sizeof(*list));
	loaded.list = list;
	loaded.capacity = capacity;
	return true;
}

static void list_insert(const struct module *m)
{
	uint32_t i = loaded.count++;

	for (; i && loaded.list[i - 1].start > m->start; i--)
		loaded.list[i] = loaded.list[i - 1];
	loaded.list[i] = *m;
}

/* Move what is loaded no more to g->gone; returns how many. */
static uint32_t drop_gone(struct gathering *g)
{
	uint32_t n = 0;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < loaded.count; i++) {
		struct module *m = &loaded.list[i];
		uint32_t j = 0;

		while (j < g->count && !same_module(m, &g->found[j]))
			j++;
		if (j < g->count) {
			g->found[j].m.id = m->id;
			loaded.list[kept++] = *m;
			continue;
		}
		registry_module_at(m->id)->unloaded = 1;
		if (n < g->gone_capacity)
			g->gone[n++].m = *m;
	}
	loaded.count = kept;
	return n;
}

/* Merge what was gathered; returns how many are gone. */
static uint32_t merge(struct gathering *g)
{
	uint32_t ngone = drop_gone(g);

	for (uint32_t i = 0; i < g->count; i++) {
		struct found *f = &g->found[i];

		if (f->m.id) {
			f->m.id = 0; /* known: not to be announced */
			continue;
		}
		if (!make_room())
			continue;
		f->m.id = record(f);
		if (f->m.id)
			list_insert(&f->m);
	}
	if (ngone)
		__atomic_fetch_add(&modules_unloads, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&loaded.adds, g->adds, __ATOMIC_RELAXED);
	__atomic_store_n(&loaded.subs, g->subs, __ATOMIC_RELAXED);
	return ngone;
}

static void announce(const struct gathering *g, uint32_t ngone,
		     module_each *on_load, module_each *on_unload)
{
	for (uint32_t i = 0; i < ngone; i++)
		on_unload(&g->gone[i].m);
	for (uint32_t i = 0; i < g->count; i++)
		if (g->found[i].m.id)
			on_load(&g->found[i].m);
}

struct measure {
	size_t modules;
	size_t text_bytes;
};

static int measure(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct measure *m = arg;
	struct module module = {.bias = info->dlpi_addr};
	const char *strings;

	(void)size;
	for (uint32_t i = 0; i < info->dlpi_phnum; i++)
		segment_note(&module, &info->dlpi_phdr[i]);
	strings = (const char *)module_dynamic(&module, DT_STRTAB);
	m->modules++;
	m->text_bytes += strlen(info->dlpi_name) + 2;
	if (strings)
		m->text_bytes +=
			strlen(strings + module_dynamic(&module, DT_SONAME));
	return 0;
}

/* The scratch mapping, large enough for what is loaded; NULL: no memory. */
static struct gathering *scratch_make(void)
{
	struct measure m = {SPARE_MODULES, SPARE_TEXT_BYTES};
	struct gathering *g;
	size_t known = loaded.count + SPARE_MODULES;
	size_t bytes;
	long addr;

	real.dl_iterate_phdr(measure, &m);
	bytes = sizeof(*g) + (m.modules + known) * sizeof(struct found) +
		m.text_bytes;
	addr = sys_mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (sys_failed(addr))
		return NULL;
	g = (void *)addr;
	g->bytes = bytes;
	g->capacity = (uint32_t)m.modules;
	g->gone_capacity = (uint32_t)known;
	g->found = (void *)(g + 1);
	g->gone = g->found + m.modules;
	fmt_init(&g->text, (char *)(g->gone + known), m.text_bytes);
	return g;
}

int modules_update(module_each *on_load, module_each *on_unload)
{
	struct gathering *g = scratch_make();
	uint32_t ngone = 0;
	int result = 0;

	if (!g)
		return -ENOMEM;
	real.dl_iterate_phdr(gather, g);
	if (lock_take(&registry_lock)) {
		if (g->adds + g->subs > loaded.adds + loaded.subs)
			ngone = merge(g);
		else
			g->count = 0; /* another thread was faster */
		lock_drop(&registry_lock);
		announce(g, ngone, on_load, on_unload);
	} else {
		result = -EAGAIN;
	}
	sys_munmap(g, g->bytes);
	return result;
}
