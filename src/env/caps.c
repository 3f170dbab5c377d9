/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this kernel offers; see caps.h.
 */
#include "env/caps.h"

#include "base/fmt.h"
#include "base/log.h"
#include "base/procmaps.h"
#include "base/sys.h"
#include "env/config.h"

#include <fcntl.h>
#include <string.h>

#define DEFAULT_MAX_MAP_COUNT 65530
#define PAGE_TEXT_BYTES 1024

struct caps caps;

/* 1 or 0 where the option `assume` says so for NAME, else -1. */
static int assumed(const char *name)
{
	const char *p = CONFIG_TEXT(assume);
	size_t len = strlen(name);

	while (*p) {
		if (!strncmp(p, name, len) && p[len] == '=')
			return p[len + 1] == '1';
		p += strcspn(p, ":");
		p += *p == ':';
	}
	return -1;
}

static uint64_t read_max_map_count(void)
{
	char buf[32];
	const char *p = buf;
	uint64_t value;
	long fd = sys_open("/proc/sys/vm/max_map_count", O_RDONLY, 0);
	long n;

	if (sys_failed(fd))
		return DEFAULT_MAX_MAP_COUNT;
	n = sys_read((int)fd, buf, sizeof(buf));
	sys_close((int)fd);
	if (n <= 0 || fmt_parse_u64(&p, buf + n, 10, &value))
		return DEFAULT_MAX_MAP_COUNT;
	return value;
}

static bool probe_procmap(void)
{
	struct procmap_vma vma;

	return procmaps_query((uintptr_t)&caps, &vma) == 0;
}

void caps_init(bool (*probe_names)(void))
{
	caps.files = true;
	caps.uffd = true; /* trying it out could kill: filters know it not */
	caps.mincore = true;
	caps.names = probe_names();
	caps.procmap = probe_procmap();
	caps.max_map_count = read_max_map_count();
#define X(field, text)            \
	if (assumed(#field) >= 0) \
		caps.field = assumed(#field);
	CAPS(X)
#undef X
}

void caps_print(void)
{
	char text[PAGE_TEXT_BYTES];
	struct fmt f;

	fmt_init(&f, text, sizeof(text));
#define X(field, meaning)                               \
	fmt_str(&f, "anonshim: kernel: " meaning ": "); \
	fmt_str(&f, caps.field ? "yes\n" : "no\n");
	CAPS(X)
#undef X
	fmt_str(&f, "anonshim: kernel: vm.max_map_count: ");
	fmt_u64(&f, caps.max_map_count);
	fmt_char(&f, '\n');
	log_page(text, f.len);
}
