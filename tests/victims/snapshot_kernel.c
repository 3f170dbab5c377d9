/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_kernel WHICH: what the kernel writes into memory of which there is a
 * snapshot arrives, and the snapshot does not change.
 *
 *	read, readv, pread	of a file
 *	direct	of a file, with O_DIRECT, in the working directory
 *	ring	io_uring, into a buffer that is not registered
 *	vm	process_vm_writev(), from a child
 *	pipe, socket	what comes in later, to who waits for it
 *	random	getrandom()
 */
#include "../asleep.h"
#include "snapshot_help.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TWIN_PAGES 16UL
#define BYTES (TWIN_PAGES * PAGE)
#define ENTRIES 4

static struct twin twin;
static const char *which;

static bool is(const char *word)
{
	return !strcmp(which, word);
}

/* A file of what is to come. */
static int source(int flags)
{
	int fd = open("source", O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600);

	if (fd < 0)
		SKIP("no such file here");
	CHECK(!unlink("source"));
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	if (write(fd, (const void *)twin.one, BYTES) != (ssize_t)BYTES)
		SKIP("no such file here");
	CHECK(!lseek(fd, 0, SEEK_SET));
	twin_before(&twin);
	return fd;
}

static void all(ssize_t got)
{
	if (got != (ssize_t)BYTES)
		wrong("%s gives %zd, errno %d", which, got, errno);
}

static void from_file(void)
{
	int fd = source(is("direct") ? O_DIRECT : 0);
	struct iovec vec[2] = {{(void *)twin.two, PAGE},
			       {(void *)(twin.one + WORDS), BYTES - PAGE}};
	uint64_t id = take(twin.one);

	if (is("readv"))
		all(readv(fd, vec, 2));
	else if (is("pread"))
		all(pread(fd, (void *)twin.two, BYTES, 0));
	else
		all(read(fd, (void *)twin.one, BYTES));
	twin_see(&twin, VALUE_PARENT, "read");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	CHECK(!anonshim_snapshot_release(id));
}

/* ---- io_uring, without its library ---- */

static void by_ring(void)
{
	int fd = source(0);
	struct io_uring_params p = {0};
	long ring = syscall(SYS_io_uring_setup, ENTRIES, &p);
	char *sq, *cq;
	struct io_uring_sqe *sqe;
	const struct io_uring_cqe *cqe;
	uint64_t id;

	if (ring < 0)
		SKIP("no io_uring");
	sq = mmap(NULL, p.sq_off.array + p.sq_entries * sizeof(unsigned), RW,
		  MAP_SHARED, (int)ring, IORING_OFF_SQ_RING);
	cq = mmap(NULL, p.cq_off.cqes + p.cq_entries * sizeof(*cqe), RW,
		  MAP_SHARED, (int)ring, IORING_OFF_CQ_RING);
	sqe = mmap(NULL, p.sq_entries * sizeof(*sqe), RW, MAP_SHARED, (int)ring,
		   IORING_OFF_SQES);
	CHECK(sq != MAP_FAILED && cq != MAP_FAILED && sqe != MAP_FAILED);
	id = take(twin.two);
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_READ,
		.flags = IOSQE_ASYNC, /* by a thread of the kernel's */
		.fd = fd,
		.addr = (uint64_t)(uintptr_t)twin.two,
		.len = (unsigned)BYTES,
	};
	*(unsigned *)(void *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(void *)(sq + p.sq_off.tail), 1,
			 __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS,
		      NULL, 0) == 1);
	cqe = (const void *)(cq + p.cq_off.cqes);
	all(cqe->res);
	twin_see(&twin, VALUE_PARENT, "read");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	CHECK(!anonshim_snapshot_release(id));
}

/* ---- from elsewhere ---- */

static void by_child(void)
{
	static uint64_t from[TWIN_PAGES * WORDS];
	struct iovec local = {from, BYTES};
	struct iovec remote = {(void *)twin.two, BYTES};
	pid_t parent = getpid();
	pid_t child;
	uint64_t id;

	twin_write(from, TWIN_PAGES, VALUE_CHILD);
	twin_before(&twin);
	id = take(twin.one);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		whoami = "child";
		all(process_vm_writev(parent, &local, 1, &remote, 1, 0));
		_exit(0);
	}
	talk_reap(child);
	twin_see(&twin, VALUE_CHILD, "written by a child");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	CHECK(!anonshim_snapshot_release(id));
}

static volatile pid_t reader;

static void *reader_run(void *arg)
{
	const int *ends = arg;

	reader = gettid();
	for (size_t done = 0; done < BYTES;) {
		ssize_t n = is("pipe") ? read(ends[0], (char *)twin.one + done,
					      BYTES - done)
				       : recv(ends[0], (char *)twin.one + done,
					      BYTES - done, 0);

		CHECK(n > 0);
		done += (size_t)n;
	}
	return NULL;
}

/* The reader waits already when the snapshot is taken. */
static void later(void)
{
	static uint64_t from[TWIN_PAGES * WORDS];
	pthread_t thread;
	int ends[2];
	uint64_t id;

	CHECK(!(is("pipe") ? pipe(ends)
			   : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)));
	twin_write(from, TWIN_PAGES, VALUE_CHILD);
	twin_before(&twin);
	reader = 0;
	CHECK(!pthread_create(&thread, NULL, reader_run, ends));
	while (!reader)
		sched_yield();
	await_asleep(reader);
	id = take(twin.one);
	for (size_t done = 0; done < BYTES;) {
		ssize_t n = write(ends[1], (char *)from + done, BYTES - done);

		CHECK(n > 0);
		done += (size_t)n;
	}
	CHECK(!pthread_join(thread, NULL));
	twin_see(&twin, VALUE_CHILD, "what came");
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	CHECK(!anonshim_snapshot_release(id));
}

static void by_random(void)
{
	uint64_t id;

	twin_before(&twin);
	id = take(twin.one);
	CHECK(getrandom((void *)twin.two, 64, 0) == 64);
	CHECK(twin.one[0] == twin.two[0] && twin.one[0] != VALUE_BEFORE);
	snapshot_see(id, TWIN_PAGES, VALUE_BEFORE, "a snapshot");
	CHECK(!anonshim_snapshot_release(id));
}

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc >= 2);
	which = argv[1];
	memory_make(&twin, TWIN_PAGES, KIND_ANONYMOUS);
	for (int i = 0; i < 3; i++) {
		if (is("vm"))
			by_child();
		else if (is("ring"))
			by_ring();
		else if (is("random"))
			by_random();
		else if (is("pipe") || is("socket"))
			later();
		else
			from_file();
	}
	nothing_is_held();
	return 0;
}
