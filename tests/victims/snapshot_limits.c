/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_limits WHICH: under a limit that leaves little room, what is done
 * about snapshots is done whole, or fails with ENOMEM, and nothing is lost:
 * memory, snapshots and views are what they were, and with the limit gone all
 * of it works.
 *
 *	as	address space, from none on
 *	nofile	descriptors, from none on
 *	refused	a user who may not see writes: EPERM, and nothing is held
 */
#include "snapshot_help.h"

#include <sys/resource.h>

#define TWIN_PAGES 64UL
#define ROOMS 64 /* limits that are tried */
#define KEPT 3

static struct twin twin;
static uint64_t round_now;
static unsigned done[2], failed[2];

/* RESULT of call WHAT, under a limit. */
static bool went(int result, unsigned what)
{
	if (!result) {
		done[what]++;
		return true;
	}
	if (errno != ENOMEM)
		wrong("call %u: errno %d", what, errno);
	failed[what]++;
	return false;
}

static rlim_t first_free(void)
{
	int fd = dup(0);

	CHECK(fd >= 0);
	close(fd);
	return (rlim_t)fd;
}

static uint64_t value_of(uint64_t round)
{
	return round << 32;
}

struct all {
	uint64_t id;
	void *view;
	int fd;
};

static struct all under(int limit, rlim_t value)
{
	struct all all = {.fd = -1};
	struct rlimit before, now;
	void *alias = NULL;

	CHECK(!getrlimit(limit, &before));
	now = (struct rlimit){value, before.rlim_max};
	CHECK(!setrlimit(limit, &now));
	if (!went(anonshim_snapshot_take((void *)twin.one, &all.id), 0))
		all.id = 0;
	else if (!went(anonshim_snapshot_view(all.id, &all.view), 1))
		all.view = NULL;
	if (all.view)
		went(anonshim_region_alias(all.view, 0, 0, RW, &alias), 1);
	if (all.id)
		went(anonshim_snapshot_watch((void *)twin.two, &all.fd), 1);
	/* writes and reads do not fail, whatever there is */
	for (size_t i = 0; i < TWIN_PAGES; i++)
		page_put(i & 1 ? twin.one : twin.two, i,
			 value_of(round_now + 1) + i);
	for (size_t i = 0; all.view && i < TWIN_PAGES; i++)
		page_see(all.view, i, value_of(round_now) + i, "a view");
	CHECK(!setrlimit(limit, &before));
	return all;
}

static void drop(struct all *all)
{
	if (all->fd >= 0)
		CHECK(!close(all->fd));
	if (all->view)
		view_end(all->view);
	if (all->id)
		CHECK(!anonshim_snapshot_release(all->id));
}

static void rounds(int limit)
{
	struct all kept[KEPT] = {{0}};
	uint64_t first = 0, first_round = 0;
	size_t fds;

	for (size_t i = 0; i < KEPT; i++)
		kept[i].fd = -1;
	for (size_t i = 0; i < TWIN_PAGES; i++)
		page_put(twin.one, i, value_of(1) + i);
	round_now = 1;
	fds = count_fds();
	for (rlim_t n = 0; n < ROOMS; n++, round_now++) {
		struct all *slot = &kept[n % KEPT];
		rlim_t value = limit == RLIMIT_AS
				       ? bytes_now() + (n << n / 6) * PAGE
				       : first_free() + n / 8;

		drop(slot);
		*slot = under(limit, value);
		if (slot->id)
			snapshot_see(slot->id, TWIN_PAGES, value_of(round_now),
				     "a snapshot");
		if (first)
			snapshot_see(first, TWIN_PAGES, value_of(first_round),
				     "the first");
		if (!first && slot->id) {
			first = slot->id;
			first_round = round_now;
			slot->id = 0; /* this one stays */
		}
	}
	for (size_t i = 0; i < KEPT; i++)
		drop(&kept[i]);
	CHECK(first && !anonshim_snapshot_release(first));
	if (count_fds() != fds)
		wrong("%zu descriptors, not %zu", count_fds(), fds);
	nothing_is_held();
	if (!failed[0] && !failed[1])
		wrong("nothing failed");
}

static void refused(void)
{
	struct anonshim_snapshot_stats s;
	size_t fds = count_fds();
	uint64_t id = 7;

	twin_before(&twin);
	for (int i = 0; i < 3; i++) {
		CHECK(anonshim_snapshot_take((void *)twin.one, &id) == -1);
		if (errno != EPERM)
			wrong("errno %d", errno);
	}
	CHECK(id == 7);
	s = stats_now();
	CHECK(!s.snapshots && !s.saved_bytes);
	twin_see(&twin, VALUE_BEFORE, "memory");
	twin_write(twin.two, TWIN_PAGES, VALUE_PARENT);
	twin_see(&twin, VALUE_PARENT, "memory");
	CHECK(count_fds() == fds);
}

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc >= 2);
	memory_make(&twin, TWIN_PAGES, KIND_REGION);
	if (!strcmp(argv[1], "refused"))
		refused();
	else
		rounds(!strcmp(argv[1], "as") ? RLIMIT_AS : RLIMIT_NOFILE);
	printf("takes %u and %u, views %u and %u\n", done[0], failed[0],
	       done[1], failed[1]);
	return 0;
}
