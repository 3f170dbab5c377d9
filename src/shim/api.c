/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of include/anonshim.h.
 */
#define ANONSHIM_BUILD
#include "anonshim.h"

#include "base/mem.h"
#include "base/sys.h"
#include "env/caps.h"
#include "env/guard.h"
#include "shim/api.h"
#include "track/name.h"
#include "track/own.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/share.h"
#include "track/track.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

int api_failed(int err)
{
	errno = err;
	return -1;
}

bool api_enter(void)
{
	return region_enter();
}

void api_leave(void)
{
	own_flush();
	region_leave();
}

struct api_memory api_memory_at(void *addr)
{
	struct api_memory m = {.fd = -1};
	const struct share *s = share_at_or_above((uintptr_t)addr);
	const struct registry_object *o;
	struct sys_object file;

	if (!s || s->start > (uintptr_t)addr)
		return m;
	o = share_object_at(s->object);
	m.object = s->object;
	m.flags = o->flags;
	m.size = o->size ? o->size : o->high;
	if (o->flags & OBJECT_REGION && o->fd >= 0 &&
	    !sys_failed(sys_object(o->fd, &file)) && file.ino == o->ino &&
	    file.dev == o->dev)
		m.fd = o->fd;
	return m;
}

struct api_memory api_region_at(void *addr)
{
	struct api_memory m = {.fd = -1};

	if (!api_enter())
		return m;
	m = api_memory_at(addr);
	api_leave();
	if (!(m.flags & OBJECT_REGION))
		m.object = 0;
	return m;
}

#define STATS_MIN offsetof(struct anonshim_stats, regions)

int anonshim_version(void)
{
	return guard_ready ? ANONSHIM_API_VERSION : 0;
}

/* A MS_ASYNC sync does nothing else. */
bool api_mapped(void *addr, size_t len)
{
	return !sys_failed(sys_call(SYS_msync, (long)addr, (long)page_up(len),
				    MS_ASYNC, 0, 0, 0));
}

int anonshim_name(void *addr, size_t len, const char *name)
{
	int err = errno;
	int result;

	if (!guard_ready)
		return api_failed(ENOSYS);
	if ((uintptr_t)addr & (PAGE_BYTES - 1) ||
	    (uintptr_t)addr + len < (uintptr_t)addr ||
	    (name && (!*name || strnlen(name, NAME_BYTES) == NAME_BYTES ||
		      !name_valid(name))))
		return api_failed(EINVAL);
	result = track_set_name((unsigned long)addr, len, name);
	/* a kernel that takes no names: the registry has it */
	if (result && errno == EINVAL && !caps.names) {
		result = api_mapped(addr, len) ? 0 : -1;
		errno = ENOMEM;
	}
	if (result && errno != ENOMEM)
		errno = EINVAL;
	if (!result)
		errno = err;
	return result;
}

int anonshim_stats(struct anonshim_stats *stats)
{
	const struct registry_counters *c;
	struct anonshim_stats all = {.version = ANONSHIM_API_VERSION};

	if (!guard_ready)
		return api_failed(ENOSYS);
	if (!stats || stats->size < STATS_MIN)
		return api_failed(EINVAL);
	c = &anonshim_registry->counters;
	all.size = stats->size < sizeof(all) ? stats->size : sizeof(all);
	all.regions = c->regions;
	all.sites = anonshim_registry->table[REGISTRY_SITES].count - 1;
	all.maps = c->maps;
	all.unmaps = c->unmaps;
	all.remaps = c->remaps;
	all.named = c->named;
	all.name_failures = c->name_failures;
	all.lost = c->lost;
	memcpy(stats, &all, all.size);
	return 0;
}
