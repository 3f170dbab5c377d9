/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An example: a ring buffer that is mapped twice in a row, so that what wraps
 * round lies in one piece.  Made as a region where the shim is there, by hand
 * where it is not; the same program, linked with the library or not.
 *
 * fork_ring [hand]: a child takes from its ring and puts into it, then its
 * parent does; prints whose ring it was: "private" or "shared".
 */
#include "fork_help.h"

#define RING_BYTES (4 * PAGE)

struct ring {
	char *start;
	size_t head, tail; /* in private memory: each process's own */
};

static void ring_by_region(struct ring *ring, char *room)
{
	void *first = NULL, *again = room + RING_BYTES;
	void *begin = room;

	CHECK(!anonshim_region_create(&first, RING_BYTES, 0, "ring: mmap it"));
	CHECK(!munmap(room, 2 * RING_BYTES));
	CHECK(!anonshim_region_alias(first, 0, 0, PROT_READ | PROT_WRITE,
				     &begin));
	CHECK(!anonshim_region_alias(first, 0, 0, PROT_READ | PROT_WRITE,
				     &again));
	CHECK(!munmap(first, RING_BYTES));
	ring->start = begin;
}

static void ring_by_hand(struct ring *ring, char *room)
{
	int fd = memfd_of("ring", RING_BYTES / PAGE, MFD_CLOEXEC);

	for (int i = 0; i < 2; i++)
		CHECK(mmap(room + (size_t)i * RING_BYTES, RING_BYTES,
			   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
			   0) != MAP_FAILED);
	CHECK(!close(fd));
	ring->start = room;
}

static void ring_put(struct ring *ring, const char *text)
{
	size_t len = strlen(text) + 1;

	memcpy(ring->start + ring->head % RING_BYTES, text, len);
	ring->head += len;
}

static const char *ring_take(struct ring *ring)
{
	const char *text = ring->start + ring->tail % RING_BYTES;

	ring->tail += strlen(text) + 1;
	return text;
}

int main(int argc, char **argv)
{
	struct ring ring = {.head = RING_BYTES - 5, .tail = RING_BYTES - 5};
	struct talk talk;
	const char *text;

	victim_begin();
	if (argc < 2 && anonshim_available())
		ring_by_region(&ring, anon(2 * RING_BYTES / PAGE));
	else
		ring_by_hand(&ring, anon(2 * RING_BYTES / PAGE));
	ring_put(&ring, "from before the fork");
	talk_open(&talk);
	talk_split(&talk, fork());
	if (talk.child)
		talk_hear(&talk);
	text = ring_take(&ring);
	ring.head = ring.tail - strlen(text) - 1;
	if (!talk.child) {
		CHECK(!strcmp(text, "from before the fork"));
		ring_put(&ring, "from the child itself");
		talk_say(&talk);
		talk_end(&talk);
	}
	puts(strcmp(text, "from before the fork") ? "shared" : "private");
	talk_end(&talk);
	return 0;
}
