/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The functions of include/anonshim.h about snapshots.
 */
#define ANONSHIM_BUILD
#include "anonshim.h"

#include "base/mem.h"
#include "base/sys.h"
#include "cow/cow.h"
#include "cow/snapshot.h"
#include "env/guard.h"
#include "shim/api.h"
#include "track/share.h"
#include "track/track.h"
#include "track/unwind.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define STATS_MIN offsetof(struct anonshim_snapshot_stats, snapshots)

/* RESULT of a function below as one of the interface. */
static int as_result(int result, int err)
{
	errno = err;
	return result ? api_failed(-result) : 0;
}

int anonshim_snapshot_take(void *region, uint64_t *snapshot)
{
	int err = errno;
	struct api_memory m;
	int result;

	if (!guard_ready)
		return api_failed(ENOSYS);
	if (!snapshot)
		return api_failed(EINVAL);
	cow_settle();
	if (!api_enter())
		return api_failed(ENOMEM);
	m = api_memory_at(region);
	result = m.object ? snapshot_take(m.object, share_size(m.object), m.fd,
					  snapshot)
			  : -EINVAL;
	api_leave();
	return as_result(result, err);
}

/* What is mapped at P, of SIZE bytes, becomes a view. */
static int make_view(uint64_t snapshot, void *p, size_t size)
{
	struct api_memory m;
	int result = -ENOMEM;

	if (!api_enter())
		return result;
	sys_call(SYS_munlock, (long)p, (long)size, 0, 0, 0, 0);
	m = api_memory_at(p);
	if (m.object &&
	    !sys_failed(sys_call(SYS_mprotect, (long)p, (long)size,
				 PROT_READ | PROT_WRITE, 0, 0, 0)) &&
	    !(result = snapshot_view(snapshot, m.object, p))) {
		struct registry_object *o = share_object_at(m.object);

		share_mark(m.object, OBJECT_PRIVATE | OBJECT_REGION, 0);
		o->fd = -1;
		o->size = size;
	}
	api_leave();
	return result;
}

int anonshim_snapshot_view(uint64_t snapshot, void **view)
{
	struct unwind_start caller = UNWIND_CALLER();
	struct mmap_args args = {
		.prot = PROT_NONE, /* mlockall() would fill it */
		.flags = MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
		.fd = -1,
		.kind = KIND_SNAPSHOT,
	};
	int err = errno;
	int result;
	void *p;

	if (!guard_ready)
		return api_failed(ENOSYS);
	cow_settle();
	if (!api_enter())
		return api_failed(ENOMEM);
	args.len = snapshot_bytes(snapshot);
	api_leave();
	if (!view || !args.len)
		return api_failed(EINVAL);
	p = track_mmap(&args, &caller);
	if (p == MAP_FAILED)
		return api_failed(ENOMEM);
	result = make_view(snapshot, p, args.len);
	if (result)
		track_munmap(p, args.len);
	else
		*view = p;
	return as_result(result, err);
}

int anonshim_snapshot_release(uint64_t snapshot)
{
	int err = errno;
	int result;

	if (!guard_ready)
		return api_failed(ENOSYS);
	if (!api_enter())
		return api_failed(ENOMEM);
	result = snapshot_release(snapshot);
	api_leave();
	return as_result(result, err);
}

struct ranges {
	struct anonshim_range *at;
	size_t room;
	size_t n;
};

static void add_range(uint64_t offset, uint64_t len, void *arg)
{
	struct ranges *r = arg;

	if (r->n < r->room)
		r->at[r->n] = (struct anonshim_range){offset, len};
	r->n++;
}

int anonshim_snapshot_changes(uint64_t since, uint64_t until, uint64_t from,
			      struct anonshim_range *ranges, size_t *n)
{
	struct ranges r = {.at = ranges};
	int err = errno;
	int result;

	if (!guard_ready)
		return api_failed(ENOSYS);
	if (!n || (*n && !ranges))
		return api_failed(EINVAL);
	r.room = *n;
	if (!api_enter())
		return api_failed(ENOMEM);
	result = snapshot_changes(since, until, from, add_range, &r);
	api_leave();
	if (!result)
		*n = r.n;
	return as_result(result, err);
}

int anonshim_snapshot_watch(void *region, int *fd)
{
	int err = errno;
	struct api_memory m;
	int result;

	if (!guard_ready)
		return api_failed(ENOSYS);
	if (!fd)
		return api_failed(EINVAL);
	if (!api_enter())
		return api_failed(ENOMEM);
	m = api_memory_at(region);
	result = m.object ? snapshot_watch(m.object, fd) : -EINVAL;
	api_leave();
	return as_result(result, err);
}

int anonshim_snapshot_stats(struct anonshim_snapshot_stats *stats)
{
	struct anonshim_snapshot_stats all = {.version = ANONSHIM_API_VERSION};
	struct snapshot_sums sums;

	if (!guard_ready)
		return api_failed(ENOSYS);
	if (!stats || stats->size < STATS_MIN)
		return api_failed(EINVAL);
	if (!api_enter())
		return api_failed(ENOMEM);
	sums = snapshot_sums();
	api_leave();
	all.size = stats->size < sizeof(all) ? stats->size : sizeof(all);
	all.snapshots = sums.snapshots;
	all.views = sums.views;
	all.saved_bytes = sums.saved_pages * PAGE_BYTES;
	all.view_bytes = sums.view_pages * PAGE_BYTES;
	memcpy(stats, &all, all.size);
	return 0;
}
