/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the victims that fork share: a parent and its child that take turns,
 * and a twin, one object mapped at two addresses.  Nothing here waits for
 * time; who gives up says why, and its partner ends with it.
 */
#ifndef FORK_HELP_H
#define FORK_HELP_H

#include "victim.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define LINE_BYTES 256

/* Which side this process is on, for what it says. */
static const char *whoami __attribute__((unused)) = "parent";

/* What has to be taken away even if all is wrong. */
static void (*leave)(void) __attribute__((unused));

/* Also in a handler that interrupts malloc: no stdio that might want memory. */
static inline __attribute__((noreturn, format(printf, 1, 2))) void
wrong(const char *format, ...)
{
	char text[LINE_BYTES];
	int used = snprintf(text, sizeof(text), "%s: ", whoami);
	va_list list;

	va_start(list, format);
	vsnprintf(text + used, sizeof(text) - (size_t)used - 1, format, list);
	va_end(list);
	strcat(text, "\n");
	if (leave)
		leave();
	if (write(2, text, strlen(text)) < 0)
		_exit(2);
	_exit(1);
}

/* ---- turns ---- */

struct talk {
	int down[2]; /* to the child */
	int up[2];   /* to the parent */
	int in, out;
	bool taken;  /* each side has closed the other's ends */
	pid_t child; /* 0 in the child */
};

static inline void talk_open(struct talk *talk)
{
	signal(SIGPIPE, SIG_IGN);
	CHECK(!pipe2(talk->down, O_CLOEXEC));
	CHECK(!pipe2(talk->up, O_CLOEXEC));
	talk->taken = false;
	talk->child = -1;
}

/* Its ends, once; also in a handler, where CHILD has no number yet. */
static inline void talk_side(struct talk *talk, bool child)
{
	if (talk->taken)
		return;
	talk->taken = true;
	if (child)
		whoami = "child";
	talk->in = child ? talk->down[0] : talk->up[0];
	talk->out = child ? talk->up[1] : talk->down[1];
	close(child ? talk->down[1] : talk->down[0]);
	close(child ? talk->up[0] : talk->up[1]);
}

/* After a fork that returned CHILD. */
static inline void talk_split(struct talk *talk, pid_t child)
{
	CHECK(child >= 0);
	talk->child = child;
	talk_side(talk, !child);
}

/* The child ends with 0, or has said why not. */
static inline void talk_reap(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	if (WIFSIGNALED(status))
		wrong("signal %d ended the child", WTERMSIG(status));
	if (WEXITSTATUS(status) && leave)
		leave();
	if (WEXITSTATUS(status))
		_exit(WEXITSTATUS(status));
}

static inline void talk_say(struct talk *talk)
{
	CHECK(write(talk->out, "", 1));
}

static inline void talk_hear(struct talk *talk)
{
	char byte;
	ssize_t got;

	do
		got = read(talk->in, &byte, 1);
	while (got < 0 && errno == EINTR);
	if (got == 1)
		return;
	if (talk->child > 0)
		talk_reap(talk->child);
	_exit(1); /* the other side is gone, and has said why */
}

/* The child does not return. */
static inline void talk_end(struct talk *talk)
{
	if (!talk->child)
		_exit(0);
	close(talk->in);
	close(talk->out);
	talk_reap(talk->child);
}

/*
 * For who does nothing but write: others have their turn now and then, not
 * always at the same step.
 */
static inline void take_turns(unsigned *written)
{
	if (++*written % 509 == 0)
		sched_yield();
}

/* ---- a twin ---- */

struct twin {
	volatile uint64_t *one, *two;
	size_t pages;
	int fd; /* or -1 */
};

#define WORDS (PAGE / sizeof(uint64_t)) /* a page */

static inline void *map_shared(int fd, size_t pages, size_t first, int prot)
{
	void *p = mmap(NULL, pages * PAGE, prot, MAP_SHARED, fd,
		       (off_t)(first * PAGE));

	CHECK(p != MAP_FAILED);
	return p;
}

static inline int memfd_of(const char *name, size_t pages, unsigned flags)
{
	int fd = memfd_create(name, flags);

	CHECK(fd >= 0);
	CHECK(!ftruncate(fd, (off_t)(pages * PAGE)));
	return fd;
}

static inline void twin_make(struct twin *twin, size_t pages)
{
	int rw = PROT_READ | PROT_WRITE;

	twin->pages = pages;
	twin->fd = memfd_of("twin", pages, MFD_CLOEXEC);
	twin->one = map_shared(twin->fd, pages, 0, rw);
	twin->two = map_shared(twin->fd, pages, 0, rw);
}

static inline void twin_end(struct twin *twin)
{
	CHECK(!munmap((void *)twin->one, twin->pages * PAGE));
	CHECK(!munmap((void *)twin->two, twin->pages * PAGE));
	if (twin->fd >= 0)
		CHECK(!close(twin->fd));
}

/* Every page another value, at both of its ends. */
static inline void twin_write(volatile uint64_t *p, size_t pages,
			      uint64_t value)
{
	for (size_t i = 0; i < pages; i++) {
		p[i * WORDS] = value + i;
		p[i * WORDS + WORDS - 1] = value + i;
	}
}

static inline void twin_see(const struct twin *twin, uint64_t value,
			    const char *when)
{
	uint64_t word = 0;

	for (size_t i = 0; i < twin->pages; i++) {
		for (size_t at = 0; at < WORDS; at += WORDS - 1) {
			size_t w = i * WORDS + at;

			if (twin->one[w] != value + i ||
			    twin->two[w] != value + i)
				wrong("page %zu %s: %#lx and %#lx, not %#lx", i,
				      when, twin->one[w], twin->two[w],
				      value + i);
			if (twin->fd < 0)
				continue;
			CHECK(pread(twin->fd, &word, sizeof(word),
				    (off_t)(w * sizeof(word))) == sizeof(word));
			if (word != value + i)
				wrong("page %zu %s: %#lx by its descriptor, "
				      "not %#lx",
				      i, when, word, value + i);
		}
	}
}

enum {
	VALUE_BEFORE = 0x1000,
	VALUE_PARENT = 0x2000000,
	VALUE_CHILD = 0x3000000
};

static inline void twin_before(const struct twin *twin)
{
	twin_write(twin->one, twin->pages, VALUE_BEFORE);
}

/* Both sides write; each sees its own, whoever is first. */
static inline void twin_in_child(const struct twin *twin, struct talk *talk)
{
	twin_see(twin, VALUE_BEFORE, "as forked");
	talk_say(talk);
	talk_hear(talk);
	twin_see(twin, VALUE_BEFORE, "after the parent wrote");
	twin_write(twin->two, twin->pages, VALUE_CHILD);
	twin_see(twin, VALUE_CHILD, "after the child wrote");
	talk_say(talk);
	talk_hear(talk);
	twin_see(twin, VALUE_CHILD, "at last");
}

static inline void twin_in_parent(const struct twin *twin, struct talk *talk)
{
	twin_write(twin->one, twin->pages, VALUE_PARENT);
	talk_hear(talk);
	talk_say(talk);
	talk_hear(talk);
	twin_see(twin, VALUE_PARENT, "after the child wrote");
	twin_write(twin->two, twin->pages, VALUE_PARENT);
	talk_say(talk);
	twin_see(twin, VALUE_PARENT, "at last");
}

/* After a fork that returned CHILD; the child does not return. */
static inline void twin_both(const struct twin *twin, struct talk *talk,
			     pid_t child)
{
	talk_split(talk, child);
	if (child)
		twin_in_parent(twin, talk);
	else
		twin_in_child(twin, talk);
	talk_end(talk);
}

/* ---- one word, by two addresses ---- */

static inline void pair_expect(volatile uint64_t *one, volatile uint64_t *two,
			       uint64_t value, const char *what)
{
	if (*one != value || *two != value)
		wrong("%s: %#lx and %#lx, not %#lx", what, *one, *two, value);
}

/*
 * Whoever writes is seen by all if it is SHARED, or by none but itself, in
 * GENERATIONS of children.
 */
static inline void pair_generations(volatile uint64_t *one,
				    volatile uint64_t *two, bool shared,
				    unsigned generations)
{
	uint64_t value = *one;
	struct talk talk;

	pair_expect(one, two, value, "before fork");
	talk_open(&talk);
	talk_split(&talk, fork());
	if (talk.child) {
		*one = value + 1;
		pair_expect(one, two, value + 1, "just written");
		talk_say(&talk);
		talk_hear(&talk);
		pair_expect(one, two, value + (shared ? 2 : 1), "child's");
		talk_say(&talk);
		talk_end(&talk);
		return;
	}
	talk_hear(&talk);
	pair_expect(one, two, value + shared, "parent's");
	*one = value + 2;
	pair_expect(one, two, value + 2, "just written");
	talk_say(&talk);
	talk_hear(&talk);
	if (generations > 1)
		pair_generations(one, two, shared, generations - 1);
	talk_end(&talk);
}

static inline void pair_forks(volatile uint64_t *one, volatile uint64_t *two,
			      bool shared)
{
	*one = 7;
	pair_generations(one, two, shared, 2);
}

/* ---- what can be counted ---- */

static inline size_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	size_t n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static inline size_t count_fds(void)
{
	return count_entries("/proc/self/fd");
}

/* Of address space. */
static inline size_t bytes_now(void)
{
	size_t pages;
	FILE *file = fopen("/proc/self/statm", "re");

	CHECK(file && fscanf(file, "%zu", &pages) == 1);
	fclose(file);
	return pages * PAGE;
}

#endif
