/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_pins WHICH: pages that the kernel holds on to across a fork, without a
 * mapping: whoever pinned them sees his own data.
 *
 *	vmsplice	a child's alias in a pipe, read when the child has
 *		unmapped it and the parent has written (CVE-2020-29374, on
 *		aliases)
 *	spliced	a parent's alias in a pipe, read when a child has written
 *	direct	the parent reads into an alias with O_DIRECT, a file in the
 *		working directory
 *	registered	a buffer that the parent registered with io_uring, a
 *		read into it begun before the fork and ended after it
 */
#include "fork_help.h"

#include <linux/io_uring.h>
#include <sys/uio.h>

#define TWIN_PAGES 4
#define ENTRIES 4

static struct twin twin;
static struct talk talk;
static int ends[2]; /* of a pipe */

static void splice_one(void)
{
	struct iovec all = {(void *)twin.one, TWIN_PAGES * PAGE};

	CHECK(vmsplice(ends[1], &all, 1, 0) == (ssize_t)all.iov_len);
}

/* Every page as it was written from VALUE on. */
static void read_spliced(uint64_t value)
{
	static uint64_t got[TWIN_PAGES * WORDS];
	size_t used = 0;

	while (used < sizeof(got)) {
		ssize_t n =
			read(ends[0], (char *)got + used, sizeof(got) - used);

		CHECK(n > 0);
		used += (size_t)n;
	}
	for (size_t i = 0; i < TWIN_PAGES; i++)
		if (got[i * WORDS] != value + i ||
		    got[i * WORDS + WORDS - 1] != value + i)
			wrong("page %zu in the pipe is %#lx, not %#lx", i,
			      got[i * WORDS], value + i);
}

static void vmsplice_in_child(void)
{
	twin_before(&twin);
	talk_open(&talk);
	talk_split(&talk, fork());
	if (talk.child) {
		talk_hear(&talk);
		twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
		talk_say(&talk);
		talk_end(&talk);
		return;
	}
	splice_one();
	twin_end(&twin);
	talk_say(&talk);
	talk_hear(&talk);
	read_spliced(VALUE_BEFORE);
	talk_end(&talk);
}

static void spliced_in_parent(void)
{
	twin_before(&twin);
	splice_one();
	talk_open(&talk);
	talk_split(&talk, fork());
	if (!talk.child) {
		twin_see(&twin, VALUE_BEFORE, "as forked");
		twin_write(twin.two, TWIN_PAGES, VALUE_CHILD);
		talk_say(&talk);
		talk_end(&talk);
	}
	talk_hear(&talk);
	twin_see(&twin, VALUE_BEFORE, "after the child wrote");
	/* what is in the pipe are the parent's pages, as they are now */
	twin_write(twin.two, TWIN_PAGES, VALUE_PARENT);
	read_spliced(VALUE_PARENT);
	talk_end(&talk);
}

static void direct(void)
{
	int fd = open("direct", O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
	size_t bytes = TWIN_PAGES * PAGE;

	if (fd < 0)
		SKIP("no O_DIRECT here");
	CHECK(!unlink("direct"));
	twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	if (pwrite(fd, (const void *)twin.one, bytes, 0) != (ssize_t)bytes)
		SKIP("no O_DIRECT here");
	twin_before(&twin);
	talk_open(&talk);
	talk_split(&talk, fork());
	if (!talk.child) {
		talk_hear(&talk);
		twin_see(&twin, VALUE_BEFORE, "after the parent read");
		twin_write(twin.two, TWIN_PAGES, VALUE_CHILD);
		talk_say(&talk);
		talk_end(&talk);
	}
	CHECK(pread(fd, (void *)twin.one, bytes, 0) == (ssize_t)bytes);
	twin_see(&twin, VALUE_PARENT, "after it was read");
	talk_say(&talk);
	talk_hear(&talk);
	twin_see(&twin, VALUE_PARENT, "after the child wrote");
	talk_end(&talk);
}

/* ---- io_uring, by hand ---- */

static struct {
	int fd;
	unsigned *sq_tail, *sq_array, *cq_head, *cq_tail;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring;

static void *ring_map(size_t bytes, off_t offset)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_POPULATE, ring.fd, offset);

	CHECK(p != MAP_FAILED);
	return p;
}

static void ring_open(void)
{
	struct io_uring_params params = {0};
	struct iovec all = {(void *)twin.one, TWIN_PAGES * PAGE};
	char *sq, *cq;

	ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
	if (ring.fd < 0)
		SKIP("no io_uring");
	sq = ring_map(params.sq_off.array + ENTRIES * sizeof(unsigned),
		      IORING_OFF_SQ_RING);
	cq = ring_map(params.cq_off.cqes +
			      params.cq_entries * sizeof(struct io_uring_cqe),
		      IORING_OFF_CQ_RING);
	ring.sqes = ring_map(ENTRIES * sizeof(struct io_uring_sqe),
			     IORING_OFF_SQES);
	ring.sq_tail = (unsigned *)(sq + params.sq_off.tail);
	ring.sq_array = (unsigned *)(sq + params.sq_off.array);
	ring.cq_head = (unsigned *)(cq + params.cq_off.head);
	ring.cq_tail = (unsigned *)(cq + params.cq_off.tail);
	ring.cqes = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
	if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS,
		    &all, 1))
		SKIP("nothing can be registered with io_uring");
}

static void ring_submit(int opcode, int fd)
{
	unsigned tail = *ring.sq_tail, at = tail % ENTRIES;

	ring.sqes[at] = (struct io_uring_sqe){
		.opcode = (__u8)opcode,
		.fd = fd,
		.addr = (uintptr_t)twin.one,
		.len = TWIN_PAGES * PAGE,
	};
	ring.sq_array[at] = at;
	__atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring.fd, 1, 0, 0, NULL, 0) == 1);
}

static void ring_wait(int result)
{
	unsigned head = *ring.cq_head;

	while (__atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) == head)
		CHECK(syscall(SYS_io_uring_enter, ring.fd, 0, 1,
			      IORING_ENTER_GETEVENTS, NULL, 0) >= 0 ||
		      errno == EINTR);
	CHECK(ring.cqes[head % (2 * ENTRIES)].res == result);
	__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
}

static void registered(void)
{
	static uint64_t sent[TWIN_PAGES * WORDS];

	twin_before(&twin);
	ring_open();
	ring_submit(IORING_OP_READ_FIXED, ends[0]); /* the pipe is empty */
	talk_open(&talk);
	talk_split(&talk, fork());
	if (!talk.child) {
		talk_hear(&talk);
		twin_see(&twin, VALUE_BEFORE, "after the parent's read ended");
		twin_write(twin.two, TWIN_PAGES, VALUE_CHILD);
		talk_say(&talk);
		talk_end(&talk);
	}
	twin_write(sent, TWIN_PAGES, VALUE_PARENT);
	CHECK(write(ends[1], sent, sizeof(sent)) == sizeof(sent));
	ring_wait(sizeof(sent));
	twin_see(&twin, VALUE_PARENT, "after its read ended");
	talk_say(&talk);
	talk_hear(&talk);
	twin_see(&twin, VALUE_PARENT, "after the child wrote");
	/* what is sent from there is the parent's, too */
	twin_write(twin.two, TWIN_PAGES, VALUE_PARENT + 100);
	ring_submit(IORING_OP_WRITE_FIXED, ends[1]);
	ring_wait(sizeof(sent));
	read_spliced(VALUE_PARENT + 100);
	talk_end(&talk);
}

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc == 2);
	twin_make(&twin, TWIN_PAGES);
	CHECK(!pipe2(ends, O_CLOEXEC));
	switch (*argv[1]) {
	case 'v':
		vmsplice_in_child();
		break;
	case 's':
		spliced_in_parent();
		break;
	case 'd':
		direct();
		break;
	default:
		registered();
	}
	return 0;
}
