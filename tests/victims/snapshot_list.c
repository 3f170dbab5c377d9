/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An example: a list that remembers.  After every insert it takes a snapshot of
 * the memory that it lies in and keeps it; later any of them is mapped, and the
 * list read in it as it was then.
 *
 * Memory that is seen at another address cannot hold pointers: links are
 * offsets from where the memory begins.  A snapshot costs what was written
 * since the one before, here two pages or three, not the size of the list.
 *
 *	snapshot_list [N]
 */
#include "victim.h"

#include <inttypes.h>

#define LIST_BYTES ((size_t)64 << 20)
#define NAME_BYTES 56

struct item {
	uint64_t next; /* offset; 0: there is none */
	char name[NAME_BYTES];
};

/* At offset 0; items follow. */
struct list {
	uint64_t first;
	uint64_t end; /* of the last item */
	uint64_t count;
};

static struct item *item_at(struct list *list, uint64_t offset)
{
	return (struct item *)((char *)list + offset);
}

static struct list *list_new(void)
{
	struct list *list;
	void *region;

	CHECK(anonshim_region_create(&region, LIST_BYTES, 0, "list") == 0);
	list = region;
	list->end = sizeof(*list);
	return list;
}

/* In front.  Returns the snapshot of the list with it. */
static uint64_t list_insert(struct list *list, const char *name)
{
	uint64_t offset = list->end;
	struct item *item = item_at(list, offset);
	uint64_t snapshot;

	CHECK(offset + sizeof(*item) <= LIST_BYTES);
	snprintf(item->name, sizeof(item->name), "%s", name);
	item->next = list->first;
	list->first = offset;
	list->end = offset + sizeof(*item);
	list->count++;
	CHECK(anonshim_snapshot_take(list, &snapshot) == 0);
	return snapshot;
}

/* Takes every other item out, in one of its pasts. */
static void list_thin(struct list *list)
{
	uint64_t at = list->first;

	while (at && item_at(list, at)->next) {
		struct item *item = item_at(list, at);

		at = item->next = item_at(list, item->next)->next;
		list->count--;
	}
}

/* Whether it holds N items, the newest first, of which each STEPth is there. */
static int list_is(struct list *list, uint64_t n, uint64_t step)
{
	uint64_t at = list->first;
	uint64_t expected = n;

	for (; at; at = item_at(list, at)->next) {
		char name[NAME_BYTES];

		snprintf(name, sizeof(name), "item %" PRIu64, expected);
		if (strcmp(item_at(list, at)->name, name) != 0)
			return 0;
		expected -= expected < step ? expected : step;
	}
	return expected == 0 && list->count == (n + step - 1) / step;
}

/* The list as it was: in a view, which is memory like any other. */
static void look_back(uint64_t snapshot, uint64_t n)
{
	void *view;

	CHECK(anonshim_snapshot_view(snapshot, &view) == 0);
	CHECK(list_is(view, n, 1));
	list_thin(view); /* nobody else sees that */
	CHECK(list_is(view, n, 2));
	CHECK(anonshim_region_destroy(view) == 0);
}

int main(int argc, char **argv)
{
	struct anonshim_snapshot_stats stats = {.size = sizeof(stats)};
	uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
	uint64_t *snapshot = calloc(n + 1, sizeof(*snapshot));
	struct list *list;

	victim_begin();
	if (!anonshim_available()) {
		printf("anonshim is not there: no snapshots\n");
		free(snapshot);
		return 0;
	}
	list = list_new();
	for (uint64_t i = 1; i <= n; i++) {
		char name[NAME_BYTES];

		snprintf(name, sizeof(name), "item %" PRIu64, i);
		snapshot[i] = list_insert(list, name);
	}
	for (uint64_t i = n; i; i = i * 2 / 3)
		look_back(snapshot[i], i);
	CHECK(list_is(list, n, 1));
	CHECK(anonshim_snapshot_stats(&stats) == 0);
	printf("%" PRIu64 " snapshots of %zu MiB, %" PRIu64 " KiB kept\n",
	       stats.snapshots, LIST_BYTES >> 20, stats.saved_bytes >> 10);
	for (uint64_t i = 1; i <= n; i++)
		CHECK(anonshim_snapshot_release(snapshot[i]) == 0);
	CHECK(anonshim_region_destroy(list) == 0);
	free(snapshot);
	return 0;
}
