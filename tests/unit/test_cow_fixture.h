/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of src/cow share: groups of aliases, and a fork in the steps
 * that interpose/fork.c takes, with room between them for what else happens.
 */
#ifndef ANONSHIM_TESTS_COW_FIXTURE_H
#define ANONSHIM_TESTS_COW_FIXTURE_H

#include "support.h"

#include "cow/cow.h"
#include "env/guard.h"
#include "track/life.h"
#include "track/region.h"
#include "track/share.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

#define RW (PROT_READ | PROT_WRITE)

static inline void cow_started(const char *options)
{
	shim_start(options);
	guard_ready = true;
	cow_start();
}

/* Without the rights to open what it has mapped. */
static inline void be_nobody(void)
{
	cr_assert(geteuid() || !setuid(65534));
}

static inline int memfd_of(size_t pages, unsigned flags)
{
	int fd = memfd_create("test", flags | MFD_ALLOW_SEALING);

	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, (off_t)(pages * PAGE)), 0);
	return fd;
}

/* A file in DIR that has no name any more. */
static inline int unlinked_of(const char *dir, size_t pages)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/anonshim-XXXXXX", dir);
	fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	unlink(path);
	cr_assert_eq(ftruncate(fd, (off_t)(pages * PAGE)), 0);
	return fd;
}

/* PAGES pages of FD from its page FIRST on; of anonymous memory: FD -1. */
static inline char *shared_map(int fd, size_t first, size_t pages, int prot)
{
	struct mmap_args a = {
		NULL,	  pages * PAGE,
		prot,	  MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0),
		fd,	  (off_t)(first * PAGE),
		KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();
	char *p = track_mmap(&a, &caller);

	cr_assert_neq(p, MAP_FAILED);
	return p;
}

/* One more address of the PAGES pages at P. */
static inline char *alias_map(char *p, size_t pages)
{
	struct mremap_args a = {p, 0, pages * PAGE, MREMAP_MAYMOVE, NULL};
	char *alias = track_mremap(&a);

	cr_assert_neq(alias, MAP_FAILED);
	return alias;
}

/* What happens in the course of a fork. */
struct course {
	bool late;
	void (*between)(void); /* cow_reserve() and cow_freeze() */
	void (*frozen)(void);  /* with writers held */
	void (*born)(void);    /* in the child, which has nothing yet */
	int (*child)(void);    /* its exit status; 0: all is right */
	bool nothing;	       /* out: there was nothing to copy */
};

static inline void child_goes_on(struct cow_plan *plan, struct course *c)
{
	alarm(20);
	life_fork_child(true);
	if (c->born)
		c->born();
	if (plan)
		cow_child(plan);
	guard_leave();
	_exit(c->child ? c->child() : 0);
}

/* Returns -errno where it was refused, else the child's status of wait(). */
static inline int forked(struct course *c)
{
	struct cow_plan *plan;
	int status = -1;
	int result;
	pid_t pid;

	guard_enter();
	result = cow_reserve(&plan, c->late);
	c->nothing = !plan;
	if (c->between)
		c->between();
	life_fork_prepare();
	if (plan)
		result = cow_freeze(plan, true);
	if (c->frozen)
		c->frozen();
	fault_none();
	pid = result ? -1 : fork();
	if (!pid)
		child_goes_on(plan, c);
	if (plan)
		cow_parent(plan);
	life_fork_parent();
	if (plan)
		cow_free(plan);
	guard_leave();
	if (pid > 0)
		waitpid(pid, &status, 0);
	return result ? result : status;
}

/* The usual: CHILD looks at a fork that has something to copy. */
static inline void fork_and_see(int (*child)(void))
{
	struct course c = {.child = child};
	int status = forked(&c);

	cr_assert(!c.nothing, "there is something to copy");
	cr_assert_eq(status, 0, "%d, status %#x", status, (unsigned)status);
}

/* The same with nothing to copy. */
static inline void fork_as_ever(void)
{
	struct course c = {0};

	cr_assert_eq(forked(&c), 0);
	cr_assert(c.nothing, "there is nothing to copy");
}

#endif
