/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How large a shared object is; see share.h.
 */
#include "track/share.h"

#include "base/fdlist.h"
#include "base/mem.h"
#include "base/sys.h"
#include "track/registry.h"

/* A descriptor of this is looked for. */
struct asking {
	struct registry_object *object;
	bool found;
};

static void fd_found(int fd, void *arg)
{
	struct asking *a = arg;
	struct registry_object *o = a->object;
	struct sys_object file;

	if (a->found || sys_failed(sys_object(fd, &file)) ||
	    file.ino != o->ino || file.dev != o->dev ||
	    (o->born_ns && o->born_ns != file.born_ns))
		return;
	o->size = file.size;
	a->found = true;
}

/* Whether there is memory of OBJECT at OFFSET, which is mapped. */
static bool reaches(uint32_t object, uint64_t offset)
{
	const struct share *s;
	char byte;

	for (uintptr_t at = 0; (s = share_at_or_above(at)); at = s->end)
		if (s->object == object && s->start + s->delta <= offset &&
		    s->end + s->delta > offset &&
		    sys_peek((char *)(offset - s->delta), &byte, 1) == 1)
			return true;
	return false;
}

uint64_t share_size(uint32_t object)
{
	struct asking a = {.object = share_object_at(object)};
	struct registry_object *o = a.object;
	uint64_t end = page_up(o->size);

	if (o->ino && o->high > end) {
		fdlist_read(fd_found, &a);
		if (!a.found && reaches(object, end))
			o->size = o->high; /* what is not there is zeros */
	}
	return o->size ? o->size : o->high;
}
