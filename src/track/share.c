/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared mappings; see share.h.
 *
 * They are few, as a rule: an array in the order of addresses, which grows by
 * moving.  Whether a new mapping is an alias is first asked of the range of
 * offsets that its object was ever mapped at.
 */
#include "track/share.h"

#include "base/fdlist.h"
#include "base/index.h"
#include "base/mem.h"
#include "base/sys.h"
#include "base/table.h"
#include "env/caps.h"
#include "track/region.h"
#include "track/registry.h"

#include <string.h>

#define SWEEP_FIRST 256
/* Objects that came from elsewhere and are not mapped: so many are known. */
#define FOREIGN_MAX 4096

uint32_t share_groups;
size_t share_count;

static uint32_t serials;
static struct share *shares;
static size_t room; /* shares, in the array */
static struct index files;
static uint32_t free_objects; /* chained through `site` */
static uint32_t used;	      /* objects */
static uint32_t indexed;      /* entries of the index, of past ones as well */
static uint32_t sweep_at = SWEEP_FIRST;

static struct registry_table *table(void)
{
	return &anonshim_registry->table[REGISTRY_OBJECTS];
}

struct registry_object *share_object_at(uint32_t object)
{
	return table_at(table(), object);
}

static void lost(void)
{
	REGISTRY_COUNT(lost, 1);
	registry_flag_set(REGISTRY_INEXACT);
}

/* The first that ends above ADDR; share_count: none. */
static size_t find(uintptr_t addr)
{
	size_t low = 0;
	size_t high = share_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (shares[middle].end > addr)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/* Objects ----------------------------------------------------------------- */

struct file_key {
	uint64_t dev;
	uint64_t ino;
};

static bool file_matches(uint32_t id, const void *key)
{
	const struct file_key *k = key;
	const struct registry_object *o = share_object_at(id);

	return o->flags & OBJECT_USED && o->ino == k->ino && o->dev == k->dev;
}

static uint64_t file_hash(uint64_t dev, uint64_t ino)
{
	return hash_mix(hash_mix(1, dev), ino);
}

static bool is_group(uint32_t flags)
{
	return flags & (OBJECT_ALIASED | OBJECT_PRIVATE | OBJECT_WATCHED);
}

bool share_is_group(uint32_t object)
{
	return is_group(share_object_at(object)->flags);
}

static void index_object(uint32_t id)
{
	const struct registry_object *o = share_object_at(id);

	index_add(&files, file_hash(o->dev, o->ino), id);
	indexed++;
}

/* Changed under the lock, and looked at without. */
static void groups_add(int n)
{
	__atomic_store_n(&share_groups, share_groups + (uint32_t)n,
			 __ATOMIC_RELAXED);
}

static void count_add(int n)
{
	__atomic_store_n(&share_count, share_count + (size_t)n,
			 __ATOMIC_RELAXED);
}

static void object_drop(uint32_t id)
{
	struct registry_object *o = share_object_at(id);

	groups_add(-is_group(o->flags));
	*o = (struct registry_object){.site = free_objects};
	free_objects = id;
	used--;
}

static void open_seen(int fd, void *arg)
{
	uint32_t object = share_object_of(fd);

	(void)arg;
	if (object)
		share_object_at(object)->flags |= OBJECT_SEEN;
}

/* What keeps O known; ASKED: what is open has been seen. */
static uint32_t reason(const struct registry_object *o, bool asked)
{
	const uint32_t none =
		OBJECT_USED | OBJECT_NAMED | OBJECT_ADVISED | OBJECT_HUGE;

	if (o->flags & OBJECT_WATCHED)
		return o->flags;
	/* neither mapped nor open: it is gone, or comes from elsewhere again */
	if (!(o->flags & OBJECT_SEEN) && (asked || !o->ino))
		return 0;
	return o->flags & ~none;
}

/* Forget what is gone, or neither mapped nor marked; an index keeps no gaps. */
static void sweep(void)
{
	uint32_t foreign = 0;
	bool asked;

	for (uint32_t id = 1; id < table()->count; id++)
		share_object_at(id)->flags &= ~(uint32_t)OBJECT_SEEN;
	for (size_t i = 0; i < share_count; i++)
		share_object_at(shares[i].object)->flags |= OBJECT_SEEN;
	asked = caps.files && !fdlist_read(open_seen, NULL);
	index_clear(&files);
	indexed = 0;
	for (uint32_t id = (uint32_t)table()->count - 1; id; id--) {
		struct registry_object *o = share_object_at(id);
		uint32_t keep = reason(o, asked);

		if (!(o->flags & OBJECT_USED))
			continue;
		if (keep == OBJECT_FOREIGN && foreign++ >= FOREIGN_MAX)
			keep = 0;
		if (!keep)
			object_drop(id);
		else if (o->ino)
			index_object(id);
	}
	sweep_at = used * 2 + SWEEP_FIRST;
}

static uint32_t object_new(uint64_t dev, uint64_t ino, uint32_t site)
{
	uint32_t id;

	if (used >= sweep_at || indexed >= 2 * sweep_at)
		sweep();
	id = free_objects;
	if (id)
		free_objects = share_object_at(id)->site;
	else
		id = (uint32_t)table_add(table(), 1);
	if (!id) {
		lost();
		return 0;
	}
	*share_object_at(id) = (struct registry_object){
		.dev = dev,
		.ino = ino,
		.flags = OBJECT_USED,
		.site = site,
	};
	if (ino)
		index_object(id);
	used++;
	return id;
}

uint32_t share_object(uint64_t dev, uint64_t ino, int64_t born_ns,
		      uint32_t site)
{
	uint32_t id = share_object_known(dev, ino);
	struct registry_object *o;

	if (id && born_ns) {
		o = share_object_at(id);
		if (o->born_ns && o->born_ns != born_ns) {
			object_drop(id);
			id = 0;
		}
	}
	if (!id)
		id = object_new(dev, ino, site);
	if (!id)
		return 0;
	o = share_object_at(id);
	if (born_ns)
		o->born_ns = born_ns;
	if (!o->site)
		o->site = site;
	return id;
}

uint32_t share_object_known(uint64_t dev, uint64_t ino)
{
	struct file_key key = {dev, ino};

	return index_find(&files, file_hash(dev, ino), file_matches, &key);
}

uint32_t share_object_anonymous(uint64_t size, uint32_t site)
{
	uint32_t id = object_new(0, 0, site);

	if (id)
		share_object_at(id)->size = size;
	return id;
}

void share_mark(uint32_t object, uint32_t flags, uint32_t clear)
{
	struct registry_object *o = share_object_at(object);
	bool was = is_group(o->flags);

	__atomic_store_n(&o->flags, (o->flags & ~clear) | flags,
			 __ATOMIC_RELAXED);
	groups_add(is_group(o->flags) - was);
}

void share_renew(uint32_t object, uint64_t dev, uint64_t ino, int64_t born_ns,
		 uint64_t size)
{
	struct registry_object *o = share_object_at(object);

	o->dev = dev;
	o->ino = ino;
	o->born_ns = born_ns;
	o->size = size;
	if (ino)
		index_object(object);
}

/* The object of FD that has no name any more; made known if ADD. */
static uint32_t object_of_fd(int fd, bool add)
{
	struct sys_object file;

	if (sys_failed(sys_object(fd, &file)) || file.is_zero)
		return 0;
	return add && !file.links
		       ? share_object(file.dev, file.ino, file.born_ns, 0)
		       : share_object_known(file.dev, file.ino);
}

uint32_t share_object_of(int fd)
{
	return object_of_fd(fd, false);
}

static void note(int fd, uint32_t flag)
{
	uint32_t object = object_of_fd(fd, true);

	if (object)
		share_mark(object, flag, 0);
}

void share_note(int fd, uint32_t flag)
{
	if (!region_enter())
		return;
	note(fd, flag);
	region_leave();
}

void share_resized(int fd, uint64_t size)
{
	uint32_t object;

	if (!region_enter())
		return;
	object = share_object_of(fd);
	if (object)
		share_object_at(object)->size = size;
	region_leave();
}

void share_grown(int fd)
{
	struct sys_object file;
	uint32_t object;

	if (sys_failed(sys_object(fd, &file)) || !region_enter())
		return;
	object = share_object_known(file.dev, file.ino);
	if (object && share_object_at(object)->size < file.size)
		share_object_at(object)->size = file.size;
	region_leave();
}

void share_advised(uintptr_t start, uintptr_t end)
{
	if (!region_enter())
		return;
	for (size_t i = find(start); i < share_count && shares[i].start < end;
	     i++)
		share_mark(shares[i].object, OBJECT_ADVISED, 0);
	region_leave();
}

static void inherited(int fd, void *arg)
{
	(void)arg;
	note(fd, OBJECT_FOREIGN);
}

void share_inherit(void)
{
	fdlist_read(inherited, NULL);
}

/* Mappings ---------------------------------------------------------------- */

static bool make_room(void)
{
	size_t more = room ? room * 2 : PAGE_BYTES / sizeof(*shares);
	struct share *to;

	if (share_count < room)
		return true;
	to = mem_map(more * sizeof(*to));
	if (!to) {
		lost();
		return false;
	}
	memcpy(to, shares, share_count * sizeof(*to));
	shares = to; /* the old ones, together no larger, stay mapped */
	room = more;
	return true;
}

static void insert(size_t i, const struct share *s)
{
	if (!make_room())
		return;
	memmove(&shares[i + 1], &shares[i],
		(share_count - i) * sizeof(*shares));
	shares[i] = *s;
	share_object_at(s->object)->mappings++;
	count_add(1);
}

static void erase(size_t i)
{
	count_add(-1);
	share_object_at(shares[i].object)->mappings--;
	memmove(&shares[i], &shares[i + 1],
		(share_count - i) * sizeof(*shares));
}

/* Whether another mapping of S's object shows a page that S does. */
static bool has_alias(const struct share *s)
{
	uint64_t from = s->start + s->delta;
	uint64_t to = s->end + s->delta;

	for (size_t i = 0; i < share_count; i++) {
		const struct share *other = &shares[i];

		if (other->object == s->object && other->delta != s->delta &&
		    other->start + other->delta < to &&
		    other->end + other->delta > from)
			return true;
	}
	return false;
}

void share_add(uintptr_t start, uintptr_t end, uint64_t offset, uint32_t object)
{
	struct share s = {start, end, offset - start, object, ++serials};
	uint64_t last = offset + (end - start);
	struct registry_object *o;

	if (!object || start >= end)
		return;
	o = share_object_at(object);
	if (!(o->flags & OBJECT_ALIASED) && o->low < last && offset < o->high &&
	    has_alias(&s))
		share_mark(object, OBJECT_ALIASED, 0);
	if (!o->high || offset < o->low)
		o->low = offset;
	if (last > o->high)
		o->high = last;
	o->at = start;
	insert(find(start), &s);
	share_has_moved(object, start, end);
}

/* The mapping that its record pointed at is no more. */
static void point_elsewhere(uint32_t object)
{
	const struct share *s = share_of(object);

	share_object_at(object)->at = s ? s->start : 0;
}

void share_clear_slowly(uintptr_t start, uintptr_t end)
{
	size_t i = find(start);

	while (i < share_count && shares[i].start < end) {
		struct share tail = shares[i];
		uintptr_t at = share_object_at(tail.object)->at;

		if (shares[i].start < start) {
			shares[i].end = start;
			tail.start = end;
			i++;
			if (tail.end > end)
				insert(i, &tail);
		} else if (tail.end > end) {
			shares[i].start = end;
		} else {
			erase(i);
		}
		if (at >= start && at < end)
			point_elsewhere(tail.object);
		share_has_moved(tail.object, start, end);
	}
}

void share_copy(uintptr_t from, size_t len, uintptr_t to, bool moved)
{
	uintptr_t done = from;

	while (done < from + len) {
		size_t i = find(done);
		struct share s;

		if (i == share_count || shares[i].start >= from + len)
			return;
		s = shares[i];
		if (s.start < done)
			s.start = done;
		if (s.end > from + len)
			s.end = from + len;
		done = s.end;
		share_clear_slowly(s.start, s.end);
		if (!moved) /* it stays, and what it showed there has gone */
			share_add(s.start, s.end, s.start + s.delta, s.object);
		share_add(s.start - from + to, s.end - from + to,
			  s.start + s.delta, s.object);
	}
}

/* The mapping that holds ADDR, or NULL. */
static const struct share *at(uintptr_t addr)
{
	size_t i = find(addr);

	return i < share_count && shares[i].start <= addr ? &shares[i] : NULL;
}

void share_alias(uintptr_t old, uintptr_t start, uintptr_t end)
{
	const struct share *s = at(old);

	if (s)
		share_add(start, end, old + s->delta, s->object);
}

void share_grow(uintptr_t last, uintptr_t start, uintptr_t end)
{
	const struct share *s = at(last);
	struct share grown;

	if (start >= end)
		return;
	if (!s) {
		share_clear(start, end);
		return;
	}
	grown = *s;
	share_clear(start, end);
	share_add(start, end, last + 1 + grown.delta, grown.object);
}

void share_turn(uintptr_t start, uintptr_t end, uint64_t offset)
{
	const struct share *s = at(start);
	uint32_t object = s ? s->object : 0;

	share_clear(start, end);
	share_add(start, end, offset, object);
}

const struct share *share_at_or_above(uintptr_t addr)
{
	size_t i = find(addr);

	return i < share_count ? &shares[i] : NULL;
}

const struct share *share_of(uint32_t object)
{
	const struct share *s = at(share_object_at(object)->at);

	if (s && s->object == object)
		return s;
	for (size_t i = 0; i < share_count; i++)
		if (shares[i].object == object)
			return &shares[i];
	return NULL;
}
