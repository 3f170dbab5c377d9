/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls that change the address space; see track.h.
 */
#include "track/track.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/name.h"
#include "track/namer.h"
#include "track/own.h"
#include "track/region.h"
#include "track/registry.h"
#include "track/share.h"
#include "track/site.h"
#include "track/sync.h"

#include <errno.h>
#include <linux/prctl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define HUGE_SHIFT_DEFAULT 21 /* x86-64 */
#define MEND_INTERVAL 1000    /* calls */
#define OWN_NAMES_MAX_BYTES (8 << 20)

/* Read the map back, but only now and then: it costs 0.3 us a VMA. */
static void mend(void)
{
	static unsigned calls_to_wait;

	if (calls_to_wait) {
		calls_to_wait--;
		return;
	}
	calls_to_wait = MEND_INTERVAL;
	/* whose the ranges not recorded are is not known any more: site 0 */
	if (caps.files)
		sync_from_kernel(0);
}

/* Block signals and lock the map.  False: go on without a record. */
static bool enter(void)
{
	guard_enter();
	if (!region_lock_take()) {
		REGISTRY_COUNT(lost, 1);
		registry_flag_set(REGISTRY_INEXACT);
		return false;
	}
	if (anonshim_registry->flags & REGISTRY_INEXACT)
		mend();
	return true;
}

static void leave(bool locked)
{
	if (locked) {
		if (share_moved)
			share_follow();
		own_flush();
		region_lock_drop();
	}
	guard_leave();
}

/*
 * A call failed: whether names were why and it may be tried again, then with
 * errno as it was before, ERR.
 */
static bool retreat(bool locked, int err)
{
	if (errno != ENOMEM || !locked || !namer_retreat())
		return false;
	errno = err;
	return true;
}

/*
 * A call that replaces what is at START failed: it may have unmapped that
 * first, or (mremap since 6.17) have moved a part of what is TAG's there.
 */
static void doubt(bool locked, uintptr_t start, uintptr_t end,
		  const struct region_tag *tag)
{
	int err = errno;

	if (!locked || start >= end || (start | end) & (PAGE_BYTES - 1))
		return;
	if (!caps.files || sync_range(start, end, tag))
		registry_flag_set(REGISTRY_INEXACT);
	errno = err;
}

static uint32_t site_here(enum registry_kind kind,
			  const struct unwind_start *caller)
{
	uintptr_t frames[UNWIND_DEPTH_MAX];
	unsigned n =
		unwind_capture(caller, frames, (unsigned)CONFIG_NUMBER(depth));

	return site_of_stack(kind, frames, n);
}

static enum registry_kind kind_of(const struct mmap_args *a)
{
	return a->kind		      ? a->kind
	       : a->flags & MAP_STACK ? KIND_STACK
				      : KIND_MMAP;
}

static uintptr_t mapping_end(uintptr_t start, const struct mmap_args *a)
{
	unsigned shift;

	if (!(a->flags & MAP_HUGETLB))
		return page_up(start + a->len);
	shift = (unsigned)a->flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;
	if (!shift)
		shift = HUGE_SHIFT_DEFAULT;
	return (start + a->len + (UINT64_C(1) << shift) - 1) >> shift << shift;
}

/* The tag of what nobody knows: it is not recorded. */
static const struct region_tag nothing;

static bool is_shared(const struct mmap_args *a)
{
	unsigned type = (unsigned)a->flags & MAP_TYPE;

	return type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
}

/* What a shared mapping of A shows; lives until the call is recorded. */
struct shown {
	bool some;
	bool anonymous;
	bool huge;
	struct sys_object file;
};

static struct shown shown_by(const struct mmap_args *a)
{
	struct shown s = {.some = is_shared(a)};

	if (!s.some)
		return s;
	s.anonymous = a->flags & MAP_ANONYMOUS;
	s.huge = s.anonymous && a->flags & MAP_HUGETLB;
	if (s.anonymous)
		return s;
	s.some = !sys_failed(sys_object(a->fd, &s.file));
	s.anonymous = s.some && s.file.is_zero;
	s.huge = s.some && s.file.is_large && sys_huge_bytes(a->fd);
	return s;
}

static bool is_anonymous(const struct mmap_args *a)
{
	return a->flags & MAP_ANONYMOUS && !(a->flags & MAP_HUGETLB);
}

static void record_share(uintptr_t start, uintptr_t end, uint64_t offset,
			 const struct shown *s, uint32_t site)
{
	uint32_t object = s->anonymous
				  ? share_object_anonymous(end - start, site)
				  : share_object(s->file.dev, s->file.ino,
						 s->file.born_ns, site);

	if (object && s->huge)
		share_mark(object, OBJECT_HUGE, 0);
	if (object && !s->anonymous) {
		share_object_at(object)->size = s->file.size;
		share_mark(object, s->file.links ? OBJECT_NAMED : 0,
			   OBJECT_NAMED);
	}

	share_add(start, end, s->anonymous ? 0 : offset, object);
}

static void record_mmap(uintptr_t start, const struct mmap_args *a,
			const struct shown *shown, uint32_t site)
{
	uintptr_t end = mapping_end(start, a);
	struct region_tag tag = {.site = site};

	share_clear(start, end);
	if (shown->some)
		record_share(start, end, (uint64_t)a->offset, shown, site);
	if (!is_anonymous(a)) {
		region_clear(start, end);
		return;
	}
	if ((a->flags & MAP_TYPE) != MAP_PRIVATE)
		tag.flags |= REGION_SHARED;
	if (a->flags & MAP_GROWSDOWN)
		tag.flags |= REGION_GROWSDOWN;
	region_set(start, end, &tag);
	anonshim_registry->counters.maps++;
	namer_apply(start, end, site, 0);
}

static void *call_mmap(const struct mmap_args *a)
{
	return real.mmap(a->addr, a->len, a->prot, a->flags, a->fd, a->offset);
}

void *track_mmap(const struct mmap_args *a, const struct unwind_start *caller)
{
	struct shown shown = shown_by(a);
	bool anonymous = is_anonymous(a);
	bool fixed = a->flags & MAP_FIXED;
	bool waits = a->flags & (MAP_POPULATE | MAP_LOCKED);
	uint32_t site = 0;
	int err = errno;
	void *result;
	bool locked;

	if (!anonymous && !fixed && !shown.some)
		return call_mmap(a);
	if (anonymous || shown.some)
		site = site_here(kind_of(a), caller);
	if (waits && !fixed) {
		result = call_mmap(a);
		if (result == MAP_FAILED)
			return result;
		locked = enter();
	} else {
		locked = enter();
		result = call_mmap(a);
		if (result == MAP_FAILED && retreat(locked, err))
			result = call_mmap(a);
	}
	if (result == MAP_FAILED && fixed && errno != EINVAL &&
	    errno != EBADF && errno != EACCES)
		doubt(locked, (uintptr_t)a->addr,
		      mapping_end((uintptr_t)a->addr, a), &nothing);
	if (result != MAP_FAILED && locked)
		record_mmap((uintptr_t)result, a, &shown, site);
	leave(locked);
	return result;
}

static void forget(uintptr_t start, uintptr_t end)
{
	if (start >= end)
		return;
	region_clear(start, end);
	share_clear(start, end);
}

int track_munmap(void *addr, size_t len)
{
	int err = errno;
	bool locked = enter();
	int result = real.munmap(addr, len);

	/* cutting a VMA in two needs one more */
	if (result && retreat(locked, err))
		result = real.munmap(addr, len);
	if (!result && locked) {
		forget((uintptr_t)addr, page_up((uintptr_t)addr + len));
		anonshim_registry->counters.unmaps++;
	}
	leave(locked);
	return result;
}

/* The pages behind OLD's last go on as what that is. */
static void record_growth(uintptr_t last, uintptr_t start, uintptr_t end)
{
	const struct registry_region *r = region_at(last);
	struct region_tag tag;

	region_clear(start, end);
	/* behind what was moved: the old place may show nothing any more */
	share_grow(start - 1, start, end);
	if (!r || start >= end)
		return;
	tag = region_tag_of(region_at(last));
	tag.flags &= ~(uint32_t)REGION_BRK;
	region_set(start, end, &tag);
}

/* One more alias of a shared object, of which OLD may show a part only. */
static void record_alias(uintptr_t old, uintptr_t start, uintptr_t end)
{
	const struct registry_region *r = region_at(old);
	struct region_tag tag = r ? region_tag_of(r) : nothing;

	region_clear(start, end);
	share_clear(start, end);
	share_alias(old, start, end);
	if (r)
		region_set(start, end, &tag);
}

static void record_move(const struct mremap_args *a, uintptr_t new, size_t len)
{
	const struct region_tag unknown = {.site = site_unknown};
	size_t copied = region_copy((uintptr_t)a->old, len, new);

	share_clear(new, new + len);
	share_copy((uintptr_t)a->old, len, new, !(a->flags & MREMAP_DONTUNMAP));

	/* since 6.17 across holes, which leave what was at the new place */
	if (copied < len && a->flags & MREMAP_FIXED && caps.files)
		sync_range(new, new + len, &unknown);
}

static void record_mremap(const struct mremap_args *a, uintptr_t new)
{
	uintptr_t old = (uintptr_t)a->old;
	size_t old_len = page_up(a->old_len);
	size_t new_len = page_up(a->new_len);

	anonshim_registry->counters.remaps++;
	if (!old_len) {
		record_alias(old, new, new + new_len);
		return;
	}
	/* all of the new place was unmapped first */
	if (new != old && new_len > old_len)
		share_clear(new + old_len, new + new_len);
	if (new != old)
		record_move(a, new, old_len < new_len ? old_len : new_len);
	if (new_len > old_len)
		record_growth(old + old_len - 1, new + old_len, new + new_len);
	if (new == old)
		forget(old + new_len, old + old_len);
	else if (!(a->flags & MREMAP_DONTUNMAP))
		forget(old, old + old_len);
}

static void *call_mremap(const struct mremap_args *a)
{
	return real.mremap(a->old, a->old_len, a->new_len, a->flags,
			   a->new_addr);
}

static void doubt_mremap(bool locked, const struct mremap_args *a)
{
	uintptr_t old = (uintptr_t)a->old;
	uintptr_t new = (uintptr_t)a->new_addr;
	const struct registry_region *r = locked ? region_at(old) : NULL;
	struct region_tag tag = r ? region_tag_of(r) : nothing;

	tag.flags &= ~(uint32_t)REGION_BRK;
	if (a->flags & MREMAP_FIXED)
		doubt(locked, new, new + page_up(a->new_len), &tag);
	doubt(locked, old, old + page_up(a->old_len), &nothing);
}

void *track_mremap(const struct mremap_args *a)
{
	int err = errno;
	bool locked = enter();
	void *result = call_mremap(a);

	if (result == MAP_FAILED && retreat(locked, err))
		result = call_mremap(a);
	if (result == MAP_FAILED)
		doubt_mremap(locked, a);
	if (result != MAP_FAILED && locked)
		record_mremap(a, (uintptr_t)result);
	leave(locked);
	return result;
}

int track_remap_file_pages(void *addr, size_t len, int prot, size_t page,
			   int flags)
{
	uintptr_t start = page_down((uintptr_t)addr);
	bool locked = enter();
	int result = real.remap_file_pages(addr, len, prot, page, flags);

	if (!result && locked)
		share_turn(start, start + page_down(len), page * PAGE_BYTES);
	leave(locked);
	return result;
}

int track_brk(void *end)
{
	bool locked = enter();
	int result = real.brk(end);

	if (locked)
		sync_brk();
	leave(locked);
	return result;
}

void *track_sbrk(intptr_t increment)
{
	bool locked = enter();
	void *result = real.sbrk(increment);

	if (locked)
		sync_brk();
	leave(locked);
	return result;
}

/*
 * Copy a program's name where the kernel did not look at it, which it does not
 * without CONFIG_ANON_VMA_NAME: the pointer may be bad.
 */
static long name_fetch(const char *name, char buf[NAME_BYTES])
{
	size_t in_page = PAGE_BYTES - ((uintptr_t)name & (PAGE_BYTES - 1));
	struct iovec to = {buf, NAME_BYTES};
	struct iovec from[2] = {
		{(void *)name, in_page < NAME_BYTES ? in_page : NAME_BYTES},
		{(char *)name + in_page,
		 in_page < NAME_BYTES ? NAME_BYTES - in_page : 0},
	};
	long n;

	if (!caps.files)
		return -EPERM;
	n = sys_call(SYS_process_vm_readv, sys_getpid(), (long)&to, 1,
		     (long)from, 2, 0);
	return n > 0 && memchr(buf, 0, (size_t)n) ? n : -EFAULT;
}

/*
 * The index of a program's own name.  A program that makes up a new name for
 * every mapping must not grow the registry without end.
 */
static uint32_t own_name_string(const char *text)
{
	static const char other[] = "(one name more)";
	static uint64_t bytes;

	bytes += strlen(text) + 1;
	if (bytes > OWN_NAMES_MAX_BYTES)
		text = *text ? other : "";
	return registry_string(text, strlen(text));
}

/* Record the program's own name; taken back, ours is due again. */
static void set_own_name(uintptr_t start, uintptr_t end, uint32_t name)
{
	const struct registry_region *r;

	region_set_own_name(start, end, name);
	while (!name && start < end && (r = region_at_or_above(start)) &&
	       r->start < end) {
		if (!(r->flags & REGION_BRK))
			namer_apply(r->start > start ? r->start : start,
				    r->end < end ? r->end : end, r->site,
				    r->tid);
		start = r->end;
	}
}

int track_set_name(unsigned long addr, unsigned long len, const char *name)
{
	char text[NAME_BYTES] = "";
	uint32_t id = 0;
	bool locked;
	bool took;
	int result;
	int err;

	guard_enter();
	took = !name || name_fetch(name, text) > 0;
	if (took && lock_take(&registry_lock)) {
		id = own_name_string(text);
		lock_drop(&registry_lock);
	}
	guard_leave();
	locked = enter();
	result = real.prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, addr, len, name);
	err = errno;
	/* ENOMEM: there were holes, and what is mapped is named */
	if (locked && took && name_valid(text) && !(addr & (PAGE_BYTES - 1)) &&
	    (!result || err == ENOMEM || (err == EINVAL && !caps.names)))
		set_own_name(addr, page_up(addr + len), id);
	else if (locked && took && result && err == EBADF)
		/* it stopped at a file's mapping, what is below is named */
		set_own_name(addr,
			     sync_anonymous_end(addr, page_up(addr + len)), id);
	leave(locked);
	errno = err;
	return result;
}

void track_confined(bool confined)
{
	static bool said;

	if (confined) {
		if (share_groups)
			log_once(&said, "fork: the program confines itself; "
					"from here on its children share memory"
					" that is mapped twice");
		/* wait for those who are in the middle of a record */
		guard_enter();
		if (lock_take(&registry_lock)) {
			if (region_lock_take())
				region_lock_drop();
			lock_drop(&registry_lock);
		}
		registry_flag_set(REGISTRY_INEXACT);
		guard_leave();
	}
	__atomic_store_n(&guard_ready, !confined, __ATOMIC_RELEASE);
}

void track_stack(uintptr_t start, uintptr_t end, uint32_t site, uint32_t tid)
{
	struct region_tag tag = {.site = site, .tid = tid};
	bool locked = enter();

	if (locked) {
		region_set(start, end, &tag);
		namer_apply(start, end, site, tid);
	}
	leave(locked);
}

void track_stack_release(uintptr_t start, uintptr_t end, uint32_t tid)
{
	bool locked = enter();
	const struct registry_region *r = locked ? region_at(end - 1) : NULL;

	if (r && r->tid == tid) {
		region_clear(start, end);
		namer_remove(start, end);
	}
	leave(locked);
}
