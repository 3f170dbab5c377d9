/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holding writes of other threads while their memory is copied; see plan.h.
 *
 * Pages are write-protected through userfaultfd, and nobody serves the faults:
 * who writes waits, in the kernel, until the fork is done.
 */
#include "cow/plan.h"

#include "base/log.h"
#include "base/sys.h"
#include "cow/uffd.h"

#include <sys/mman.h>

/* Whether writes through M are to wait here; a lazy copy sees to its own. */
static bool is_held(const struct cow_plan *plan, const struct cow_map *m)
{
	return m->prot & PROT_WRITE && !COW_OBJECT(plan, m->object)->lazy;
}

static struct uffd_range range_of(const struct cow_map *m)
{
	return (struct uffd_range){m->start, m->end};
}

static bool hold(struct cow_plan *plan)
{
	bool all = true;
	long fd = uffd_open();

	if (sys_failed(fd))
		return false;
	plan->writers = (int)fd;
	for (size_t i = 0; i < plan->maps.n; i++) {
		const struct cow_map *m = COW_MAP(plan, i);

		if (is_held(plan, m))
			all &= !uffd_register(plan->writers, range_of(m),
					      UFFD_WRITES) &&
			       !uffd_protect(plan->writers, range_of(m));
	}
	return all;
}

void cow_writers_hold(struct cow_plan *plan)
{
	static bool said;
	bool any = false;

	for (size_t i = 0; i < plan->maps.n; i++)
		any |= is_held(plan, COW_MAP(plan, i));
	if (!any || plan->writers >= 0 || sys_threads() == 1)
		return;
	if (!hold(plan))
		log_once(&said,
			 "fork: other threads' writes to what is copied for a "
			 "child cannot be held; it may see some of them halfway"
			 " (anonshim doctor says what would permit it)");
}

/*
 * Closing it would do, but that counts only once the child has closed its own,
 * and somebody may have stopped the child.
 */
void cow_writers_release(struct cow_plan *plan)
{
	for (size_t i = 0; plan->writers >= 0 && i < plan->maps.n; i++)
		if (is_held(plan, COW_MAP(plan, i)))
			uffd_unregister(plan->writers,
					range_of(COW_MAP(plan, i)));
	cow_writers_close(plan);
}

void cow_writers_close(struct cow_plan *plan)
{
	if (plan->writers >= 0)
		sys_close(plan->writers);
	plan->writers = -1;
}
