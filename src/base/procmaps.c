/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's own list of VMAs; see procmaps.h.
 */
#include "base/procmaps.h"

#include "base/fmt.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

/* Small, for it lives on stacks of unknown size. */
#define BUF_BYTES 2048

/* linux/fs.h of 6.11; older headers lack it. */
struct query {
	uint64_t size;
	uint64_t query_flags;
	uint64_t query_addr;
	uint64_t vma_start;
	uint64_t vma_end;
	uint64_t vma_flags;
	uint64_t vma_page_size;
	uint64_t vma_offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint32_t vma_name_size;
	uint32_t build_id_size;
	uint64_t vma_name_addr;
	uint64_t build_id_addr;
};

#define QUERY_IOCTL _IOWR('f', 17, struct query)
#define QUERY_READABLE 0x01
#define QUERY_WRITABLE 0x02
#define QUERY_EXECUTABLE 0x04
#define QUERY_SHARED 0x08

bool procmap_anonymous(const struct procmap_vma *vma)
{
	if (vma->inode == 0)
		return !vma->name[0] || !strcmp(vma->name, "[heap]") ||
		       !strncmp(vma->name, "[anon:", 6);
	return vma->shared && (!strcmp(vma->name, "/dev/zero (deleted)") ||
			       !strncmp(vma->name, "[anon_shmem:", 12));
}

static int expect(const char **p, const char *end, char c)
{
	if (*p >= end || **p != c)
		return -EINVAL;
	++*p;
	return 0;
}

int procmaps_parse(const char *line, const char *end, struct procmap_vma *vma)
{
	uint64_t start;
	uint64_t stop;
	uint64_t major;
	uint64_t minor;
	const char *p = line;
	size_t len;

	if (fmt_parse_u64(&p, end, 16, &start) || expect(&p, end, '-') ||
	    fmt_parse_u64(&p, end, 16, &stop) || expect(&p, end, ' '))
		return -EINVAL;
	if (end - p < 5)
		return -EINVAL;
	vma->start = start;
	vma->end = stop;
	vma->readable = p[0] == 'r';
	vma->writable = p[1] == 'w';
	vma->executable = p[2] == 'x';
	vma->shared = p[3] == 's';
	p += 5;
	if (fmt_parse_u64(&p, end, 16, &vma->offset) || expect(&p, end, ' ') ||
	    fmt_parse_u64(&p, end, 16, &major) || expect(&p, end, ':') ||
	    fmt_parse_u64(&p, end, 16, &minor) || expect(&p, end, ' ') ||
	    fmt_parse_u64(&p, end, 10, &vma->inode))
		return -EINVAL;
	vma->major = (uint32_t)major;
	vma->minor = (uint32_t)minor;
	while (p < end && *p == ' ')
		p++;
	len = (size_t)(end - p);
	if (len > sizeof(vma->name) - 1)
		len = sizeof(vma->name) - 1;
	memcpy(vma->name, p, len);
	vma->name[len] = '\0';
	return 0;
}

/*
 * Split what BUF holds into lines; returns the bytes of the unfinished last
 * one, moved to the front.  A path longer than the buffer loses its tail,
 * which the parser does not need: *SKIP says that its rest is still to come.
 */
static size_t lines_split(char *buf, size_t len, bool *skip,
			  procmaps_each *each, void *arg)
{
	const char *p = buf;
	const char *end = buf + len;
	const char *nl;
	struct procmap_vma vma;

	while ((nl = memchr(p, '\n', (size_t)(end - p)))) {
		if (!*skip && !procmaps_parse(p, nl, &vma))
			each(&vma, arg);
		*skip = false;
		p = nl + 1;
	}
	len = (size_t)(end - p);
	if (len == BUF_BYTES) {
		if (!*skip && !procmaps_parse(p, end, &vma))
			each(&vma, arg);
		*skip = true;
		return 0;
	}
	memmove(buf, p, len);
	return len;
}

int procmaps_read(procmaps_each *each, void *arg)
{
	char buf[BUF_BYTES];
	size_t kept = 0;
	bool skip = false;
	long fd = sys_open("/proc/self/maps", O_RDONLY, 0);
	long n;

	if (sys_failed(fd))
		return (int)fd;
	for (;;) {
		n = sys_read((int)fd, buf + kept, sizeof(buf) - kept);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			break;
		kept = lines_split(buf, kept + (size_t)n, &skip, each, arg);
	}
	sys_close((int)fd);
	return (int)n;
}

int procmaps_query(uintptr_t addr, struct procmap_vma *vma)
{
	struct query q = {
		.size = sizeof(q),
		.query_addr = addr,
		.vma_name_size = sizeof(vma->name),
		.vma_name_addr = (uint64_t)(uintptr_t)vma->name,
	};
	long fd = sys_open("/proc/self/maps", O_RDONLY, 0);
	long result;

	if (sys_failed(fd))
		return (int)fd;
	result = sys_ioctl((int)fd, QUERY_IOCTL, &q);
	if (result == -ENAMETOOLONG) {
		q.vma_name_size = 0;
		q.vma_name_addr = 0;
		result = sys_ioctl((int)fd, QUERY_IOCTL, &q);
	}
	sys_close((int)fd);
	if (sys_failed(result))
		return (int)result;
	if (!q.vma_name_size)
		vma->name[0] = '\0';
	vma->start = q.vma_start;
	vma->end = q.vma_end;
	vma->inode = q.inode;
	vma->offset = q.vma_offset;
	vma->major = q.dev_major;
	vma->minor = q.dev_minor;
	vma->shared = q.vma_flags & QUERY_SHARED;
	vma->readable = q.vma_flags & QUERY_READABLE;
	vma->executable = q.vma_flags & QUERY_EXECUTABLE;
	vma->writable = q.vma_flags & QUERY_WRITABLE;
	return 0;
}

struct search {
	uintptr_t addr;
	struct procmap_vma *vma;
	int result;
};

static void search_step(const struct procmap_vma *vma, void *arg)
{
	struct search *s = arg;

	if (s->addr < vma->start || s->addr >= vma->end)
		return;
	*s->vma = *vma;
	s->result = 0;
}

int procmaps_find(uintptr_t addr, struct procmap_vma *vma)
{
	struct search s = {.addr = addr, .vma = vma, .result = -ENOENT};
	int result = procmaps_read(search_step, &s);

	return result < 0 ? result : s.result;
}
