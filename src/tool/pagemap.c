/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Counting pages with /proc/PID/pagemap: 64 bits a page, see
 * Documentation/admin-guide/mm/pagemap.rst.
 *
 * Eight bytes a page are 4 GiB of them for the 2 TiB that some runtimes
 * reserve and hardly touch.  PAGEMAP_SCAN (Linux 6.7) walks page tables and
 * passes over what was never touched; it tells nothing of pages that others
 * map too, so that it only finds the ranges that are then read.  It does know
 * the zero page, which pagemap calls present and RSS leaves out.
 */
#include "tool/pagemap.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <unistd.h>

#define ENTRY_EXCLUSIVE (UINT64_C(1) << 56)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_PRESENT (UINT64_C(1) << 63)

#define ENTRIES 8192 /* read at a time */
#define RANGES 512   /* scanned at a time */

/* <linux/fs.h> of Linux 6.7; the build's headers may be older. */
struct scan_range {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct scan_arg {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define SCAN_PRESENT (1 << 3)
#define SCAN_SWAPPED (1 << 4)
#define SCAN_PFNZERO (1 << 5)
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)

static void count_entries(const uint64_t *entry, size_t n,
			  struct page_count *to)
{
	for (size_t i = 0; i < n; i++) {
		if ((entry[i] & ENTRY_PRESENT) != 0) {
			if ((entry[i] & ENTRY_EXCLUSIVE) != 0)
				to->exclusive++;
			else
				to->shared++;
		} else if ((entry[i] & ENTRY_SWAPPED) != 0) {
			to->swapped++;
		}
	}
}

/* A short read means that the process has gone. */
static int read_entries(struct pagemap *map, uint64_t page, uint64_t *entry,
			size_t n)
{
	size_t bytes = n * sizeof(*entry);
	ssize_t got =
		pread(map->fd, entry, bytes, (off_t)(page * sizeof(*entry)));

	if (got < 0)
		return -errno;
	return (size_t)got == bytes ? 0 : -ESRCH;
}

static int count_range(struct pagemap *map, uint64_t start, uint64_t end,
		       struct page_count *to)
{
	static uint64_t entry[ENTRIES];
	uint64_t page = start / map->page_bytes;
	uint64_t last = end / map->page_bytes;

	while (page < last) {
		size_t n = last - page < ENTRIES ? last - page : ENTRIES;
		int status = read_entries(map, page, entry, n);

		if (status != 0)
			return status;
		count_entries(entry, n, to);
		page += n;
	}
	return 0;
}

/* One scan: the number of ranges found, from *start on, which moves along. */
static int scan(struct pagemap *map, uint64_t *start, uint64_t end,
		struct scan_range *range)
{
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = *start,
		.end = end,
		.vec = (uint64_t)(uintptr_t)range,
		.vec_len = RANGES,
		/* Not the zero page, and present or swapped. */
		.category_inverted = SCAN_PFNZERO,
		.category_mask = SCAN_PFNZERO,
		.category_anyof_mask = SCAN_PRESENT | SCAN_SWAPPED,
		.return_mask = SCAN_PRESENT | SCAN_SWAPPED,
	};
	int found = ioctl(map->fd, SCAN_IOCTL, &arg);

	if (found < 0)
		return -errno;
	*start = arg.walk_end;
	return found;
}

static int count_scanned(struct pagemap *map, uint64_t start, uint64_t end,
			 struct page_count *to)
{
	static struct scan_range range[RANGES];

	while (start < end) {
		uint64_t from = start;
		int found = scan(map, &start, end, range);

		if (found < 0)
			return found;
		if (start <= from)
			return -EIO;
		for (int i = 0; i < found; i++) {
			int status = count_range(map, range[i].start,
						 range[i].end, to);

			if (status != 0)
				return status;
		}
	}
	return 0;
}

static int pagemap_count(struct page_counter *counter, uint64_t start,
			 uint64_t end, struct page_count *to)
{
	struct pagemap *map = (struct pagemap *)counter;
	int status;

	memset(to, 0, sizeof(*to));
	if (map->fd < 0)
		return map->error;
	if (map->can_scan) {
		status = count_scanned(map, start, end, to);
		if (status != -ENOTTY && status != -EINVAL)
			return status;
		map->can_scan = false;
		memset(to, 0, sizeof(*to));
	}
	return count_range(map, start, end, to);
}

void pagemap_init(struct pagemap *map, int fd_or_error, uint64_t page_bytes)
{
	map->counter.count = pagemap_count;
	map->fd = fd_or_error < 0 ? -1 : fd_or_error;
	map->error = fd_or_error < 0 ? fd_or_error : 0;
	map->can_scan = true;
	map->page_bytes = page_bytes;
}

bool pagemap_is_resident(struct pagemap *map, uint64_t addr)
{
	uint64_t entry;

	if (map->fd < 0)
		return false;
	return read_entries(map, addr / map->page_bytes, &entry, 1) == 0 &&
	       (entry & ENTRY_PRESENT) != 0;
}

void pagemap_destroy(struct pagemap *map)
{
	if (map->fd >= 0)
		close(map->fd);
	map->fd = -1;
}
