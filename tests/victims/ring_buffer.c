/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An example: a ring buffer whose memory is mapped twice, side by side, so that
 * what goes around its end lies in one piece.  It is made with the calls of
 * anonshim.h where the shim is there, and else, or with RING_PLAIN, as without
 * them: of a memfd.
 *
 * It fills its ring, forks, and says of parent and child whether each has a
 * ring of its own then; an argument: it makes a ring and waits.
 */
#include "victim.h"

#include <sys/wait.h>

#define RING_BYTES (16 * PAGE)
#define TRIES 100

struct ring {
	char *at;    /* 2 * RING_BYTES */
	size_t head; /* bytes ever written */
	size_t tail; /* and read */
};

#ifndef RING_PLAIN
static void *free_place(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	CHECK(p != MAP_FAILED);
	CHECK(munmap(p, bytes) == 0);
	return p;
}

/* Both halves of the ring at AT; -1 where another thread took the place. */
static int map_twice(void *region, char *at)
{
	for (size_t half = 0; half < 2; half++) {
		void *to = at + half * RING_BYTES;

		if (anonshim_region_alias(region, 0, RING_BYTES,
					  PROT_READ | PROT_WRITE, &to) == 0)
			continue;
		CHECK(errno == EEXIST);
		if (half)
			munmap(at, RING_BYTES);
		return -1;
	}
	return 0;
}

/* The region belongs to this process: a child gets its own. */
static void ring_make_region(struct ring *ring)
{
	void *region;
	int tries = 0;

	CHECK(anonshim_region_create(&region, RING_BYTES, 0, "ring") == 0);
	do {
		CHECK(tries++ < TRIES);
		ring->at = free_place(2 * RING_BYTES);
	} while (map_twice(region, ring->at) != 0);
	CHECK(munmap(region, RING_BYTES) == 0); /* two others are left */
}
#endif

/* As every program does it; a child has the same pages. */
static void ring_make_plain(struct ring *ring)
{
	int fd = memfd_create("ring", MFD_CLOEXEC);
	void *p;

	CHECK(fd >= 0 && ftruncate(fd, (off_t)RING_BYTES) == 0);
	ring->at = mmap(NULL, 2 * RING_BYTES, PROT_NONE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(ring->at != MAP_FAILED);
	for (size_t half = 0; half < 2; half++) {
		p = mmap(ring->at + half * RING_BYTES, RING_BYTES,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
		CHECK(p != MAP_FAILED);
	}
	CHECK(close(fd) == 0);
}

NOINLINE static void ring_make(struct ring *ring)
{
	*ring = (struct ring){0};
#ifndef RING_PLAIN
	if (anonshim_available()) {
		ring_make_region(ring);
		return;
	}
#endif
	ring_make_plain(ring);
	NO_TAIL_CALL();
}

static void ring_write(struct ring *ring, const void *from, size_t bytes)
{
	CHECK(ring->head - ring->tail + bytes <= RING_BYTES);
	memcpy(ring->at + ring->head % RING_BYTES, from, bytes);
	ring->head += bytes;
}

static void ring_read(struct ring *ring, void *to, size_t bytes)
{
	CHECK(ring->head - ring->tail >= bytes);
	memcpy(to, ring->at + ring->tail % RING_BYTES, bytes);
	ring->tail += bytes;
}

/* ------------------------------------------------------------------------- */

#define PIECE (RING_BYTES / 4 * 3) /* some of them go around the end */

static void put(struct ring *ring, char what)
{
	static char piece[PIECE];

	memset(piece, what, sizeof(piece));
	ring_write(ring, piece, sizeof(piece));
}

/* Whether the next piece is all of that. */
static int is_next(struct ring *ring, char what)
{
	static char piece[PIECE];

	ring_read(ring, piece, sizeof(piece));
	for (size_t i = 0; i < sizeof(piece); i++)
		if (piece[i] != what)
			return 0;
	return 1;
}

static void say(const char *who, int own)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "%s: %s\n", who,
			 own ? "its own ring" : "not its own ring");

	CHECK(write(1, line, (size_t)n) == n);
}

static void meet(int out, int in)
{
	char byte = 0;

	CHECK(write(out, &byte, 1) == 1);
	CHECK(read(in, &byte, 1) == 1);
}

/* Each takes what was there before the fork, writes, and reads it again. */
static void live_on(struct ring *ring, const char *who, int out, int in)
{
	int own = is_next(ring, 'b');

	meet(out, in);
	if (*who == 'c')
		put(ring, *who);
	meet(out, in);
	if (*who == 'p')
		put(ring, *who);
	meet(out, in);
	own &= is_next(ring, *who);
	say(who, own);
}

int main(int argc, char **argv)
{
	int down[2], up[2], status;
	struct ring ring;
	pid_t child;

	(void)argv;
	victim_begin();
	ring_make(&ring);
	put(&ring, 'a');
	CHECK(is_next(&ring, 'a'));
	put(&ring, 'b');
	if (argc > 1) {
		printf("address %lx\n", (unsigned long)ring.at);
		fflush(stdout);
		victim_wait();
	}
	CHECK(pipe(down) == 0 && pipe(up) == 0);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		live_on(&ring, "child", up[1], down[0]);
		_exit(0);
	}
	live_on(&ring, "parent", down[1], up[0]);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	return 0;
}
