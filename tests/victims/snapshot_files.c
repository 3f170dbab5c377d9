/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_files HOW: memory of which there are snapshots, and its descriptor.
 *
 *	appends		what is appended, wherever it says that it goes to
 *	prints		dprintf()
 *	grew		it was larger than a file when it was mapped
 *	grows		nobody is told, and then there is a fork
 *	refuses		the kernel does not take what is to be written
 */
#include "snapshot_help.h"

#include <sys/uio.h>

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif

#define TWIN_PAGES 8UL
#define TAIL 100 /* bytes in its last page */
#define END ((off_t)((TWIN_PAGES - 1) * PAGE + TAIL))
#define BAD ((void *)16)

static struct twin twin;

/* One page was written since ID, the last; the snapshot has zeros there. */
static void see_last(uint64_t id, const char *what)
{
	struct anonshim_range range[2];
	volatile uint64_t *v = view(id);
	size_t n = 2;

	if (((volatile char *)v)[END])
		wrong("%s: a snapshot sees it", what);
	if (!((volatile char *)twin.two)[END])
		wrong("%s: it is not there", what);
	view_end(v);
	CHECK(!anonshim_snapshot_changes(id, 0, 0, range, &n));
	if (n != 1 || range[0].offset != (TWIN_PAGES - 1) * PAGE ||
	    range[0].len != PAGE)
		wrong("%s: %zu changes, of %lu bytes at %lu", what, n,
		      range[0].len, range[0].offset);
	CHECK(!anonshim_snapshot_release(id));
	CHECK(!ftruncate(twin.fd, END));
}

static void append(void)
{
	char text[] = "text";
	struct iovec vec = {text, 4};
	uint64_t id = take(twin.one);

	CHECK(pwritev2(twin.fd, &vec, 1, 0, RWF_APPEND) == 4);
	see_last(id, "pwritev2()");
	CHECK(!fcntl(twin.fd, F_SETFL, O_APPEND));
	id = take(twin.one);
	CHECK(pwrite(twin.fd, "text", 4, 0) == 4);
	see_last(id, "pwrite()");
	id = take(twin.one);
	CHECK(pwritev(twin.fd, &vec, 1, 0) == 4);
	see_last(id, "pwritev()");
}

static void print(void)
{
	uint64_t id = take(twin.one);

	CHECK(lseek(twin.fd, END, SEEK_SET) == END);
	CHECK(dprintf(twin.fd, "%s %d", "text", 1) == 6);
	see_last(id, "dprintf()");
}

/* By WAY it comes to have a second page, which is mapped already. */
static void grew(unsigned way)
{
	int fd = memfd_of("grew", 1, MFD_CLOEXEC);
	volatile uint64_t *one = map_shared(fd, 2, 0, RW);
	volatile uint64_t *two = map_shared(fd, 2, 0, RW);
	struct anonshim_range range;
	uint64_t page[WORDS] = {0};
	size_t n = 1;
	uint64_t id;

	if (way == 0)
		CHECK(pwrite(fd, page, PAGE, PAGE) == (ssize_t)PAGE);
	else if (way == 1)
		CHECK(!fallocate(fd, 0, 0, 2 * PAGE));
	else
		CHECK(!posix_fallocate(fd, 0, 2 * PAGE));
	if (way == 0)
		CHECK(!close(fd));
	page_put(one, 1, VALUE_BEFORE);
	id = take(one);
	page_put(two, 1, VALUE_PARENT);
	page_see(view(id), 1, VALUE_BEFORE, "a snapshot");
	CHECK(!anonshim_snapshot_changes(id, 0, 0, &range, &n));
	if (n != 1 || range.offset != PAGE || range.len != PAGE)
		wrong("way %u: %zu changes", way, n);
	CHECK(!anonshim_snapshot_release(id));
}

/* As a runtime does that needs no libc. */
static void cut_unseen(int fd, size_t len)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(SYS_ftruncate), "D"((long)fd), "S"(len)
			 : "rcx", "r11", "memory");
	CHECK(!result);
}

static void grow(void)
{
	uint64_t id;
	pid_t pid;

	CHECK(!ftruncate(twin.fd, (off_t)(TWIN_PAGES * PAGE)));
	twin_before(&twin);
	id = take(twin.one);
	cut_unseen(twin.fd, 2 * TWIN_PAGES * PAGE);
	pid = fork();
	if (pid < 0)
		wrong("no fork, errno %d", errno);
	if (!pid) {
		whoami = "child";
		twin_write(twin.two, TWIN_PAGES, VALUE_CHILD);
		snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "its parent's");
		id = take(twin.one);
		twin_write(twin.two, TWIN_PAGES, VALUE_PARENT);
		snapshot_see(id, TWIN_PAGES, VALUE_CHILD, "its own");
		_exit(0);
	}
	talk_reap(pid);
	twin_see(&twin, VALUE_BEFORE, "after its child");
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
}

static void fails_with(int wanted, ssize_t result, const char *what)
{
	if (result != -1 || errno != wanted)
		wrong("%s: %zd, errno %d", what, result, errno);
}

/* Calls that the compiler knows to fail. */
static void refuse(void)
{
	struct iovec one = {BAD, 1};
	struct iovec *volatile vec = &one;
	struct iovec *volatile bad = BAD;
	volatile int many = 1 << 20, less = -1;

	take(twin.one);
	fails_with(EFAULT, writev(twin.fd, bad, 1), "writev");
	fails_with(EINVAL, writev(twin.fd, vec, many), "so many");
	fails_with(EINVAL, writev(twin.fd, vec, less), "less than none");
	fails_with(EFAULT, writev(twin.fd, vec, 1), "what is nowhere");
	fails_with(EFAULT, pwritev(twin.fd, bad, 1, 0), "pwritev");
	fails_with(EFAULT, pwritev2(twin.fd, bad, 1, 0, 0), "pwritev2");
	fails_with(EFAULT,
		   copy_file_range(memfd_of("other", 1, MFD_CLOEXEC), NULL,
				   twin.fd, BAD, 1, 0),
		   "copy_file_range");
}

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc == 2);
	memory_make(&twin, TWIN_PAGES, KIND_MEMFD);
	CHECK(!ftruncate(twin.fd, END));
	if (!strcmp(argv[1], "appends"))
		append();
	else if (!strcmp(argv[1], "prints"))
		print();
	else if (!strcmp(argv[1], "grows"))
		grow();
	else if (!strcmp(argv[1], "refuses"))
		refuse();
	for (unsigned way = 0; !strcmp(argv[1], "grew") && way < 3; way++)
		grew(way);
	return 0;
}
