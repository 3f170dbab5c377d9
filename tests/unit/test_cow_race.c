/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Threads that map aliases, write to them, cut and mark objects, while others
 * fork with copies; without Criterion, which ThreadSanitizer cannot run.
 */
#include "base/sys.h"
#include "cow/cow.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/life.h"
#include "track/namer.h"
#include "track/registry.h"
#include "track/share.h"
#include "track/track.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE ((size_t)4096)
#define MAPPERS 3
#define FORKERS 2
#define PAGES 16
#define TURNS 300
#define FORKS 40

static unsigned failures;
static uint64_t *fixed_one;
static uint64_t *fixed_two;

static void failed(const char *what)
{
	fprintf(stderr, "%s\n", what);
	__atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
}

__attribute__((noinline, noclone)) static void *map(int fd)
{
	struct mmap_args a = {NULL,	  PAGES * PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED, fd,		0,
			      KIND_NONE};
	struct unwind_start caller = UNWIND_CALLER();

	return track_mmap(&a, &caller);
}

static void map_and_write(unsigned turn)
{
	int fd = memfd_create("race", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char *one;
	char *two;

	if (fd < 0 || ftruncate(fd, PAGES * PAGE))
		return failed("memfd");
	one = map(fd);
	two = map(fd);
	share_resized(fd, PAGES * PAGE);
	if (turn % 3 == 0)
		close(fd);
	if (one == MAP_FAILED || two == MAP_FAILED)
		return failed("mmap");
	for (size_t i = 0; i < PAGES; i++)
		one[i * PAGE] = (char)turn;
	share_advised((uintptr_t)one, (uintptr_t)one + PAGE);
	if (turn % 3 == 1)
		share_note(fd, OBJECT_SEALED);
	for (size_t i = 0; i < PAGES; i++)
		if (two[i * PAGE] != (char)turn)
			return failed("aliases differ");
	track_munmap(one, PAGES * PAGE);
	if (turn % 5)
		track_munmap(two, PAGES * PAGE);
	if (turn % 3)
		close(fd);
}

static void *mapper(void *arg)
{
	for (unsigned i = 0; i < TURNS; i++)
		map_and_write(i);
	return arg;
}

/* In the child: nobody else writes to its copy. */
static _Noreturn void child(struct cow_plan *plan)
{
	uint64_t is;

	life_fork_child(true);
	if (plan)
		cow_child(plan);
	is = fixed_one[1];
	fixed_two[1] = is + 1;
	_exit(fixed_one[1] == is + 1 && plan ? 0 : 1);
}

static void fork_once(void)
{
	struct cow_plan *plan;
	int status = 0;
	int result;
	pid_t pid;

	guard_enter();
	result = cow_reserve(&plan, true);
	life_fork_prepare();
	if (plan)
		result = cow_freeze(plan, guard.fork_map);
	pid = result ? -1 : fork();
	if (!pid)
		child(plan);
	if (plan)
		cow_parent(plan);
	life_fork_parent();
	if (plan)
		cow_free(plan);
	guard_leave();
	if (pid < 0)
		return failed("fork");
	waitpid(pid, &status, 0);
	if (status)
		failed("a child's copy is wrong");
}

static void *forker(void *arg)
{
	for (unsigned i = 0; i < FORKS; i++)
		fork_once();
	return arg;
}

static void *writer(void *arg)
{
	for (unsigned i = 0; !__atomic_load_n((bool *)arg, __ATOMIC_RELAXED);
	     i++)
		__atomic_store_n(&fixed_one[i % 2 ? 0 : 700], i,
				 __ATOMIC_RELAXED);
	return NULL;
}

static void start(void)
{
	static char variable[] = "ANONSHIM_OPTIONS=naming=registry";
	static char *envp[] = {variable, NULL};
	int fd;

	config_init(envp);
	real_init();
	caps_init(namer_probe);
	if (life_start("test", ""))
		exit(1);
	/* what was open before would be another process's */
	fd = memfd_create("fixed", MFD_CLOEXEC);
	if (ftruncate(fd, PAGES * PAGE))
		exit(1);
	guard_ready = true;
	cow_start();
	fixed_one = map(fd);
	fixed_two = map(fd);
}

int main(void)
{
	pthread_t thread[MAPPERS + FORKERS];
	pthread_t writing;
	bool stop = false;

	alarm(300);
	start();
	pthread_create(&writing, NULL, writer, &stop);
	for (size_t i = 0; i < MAPPERS + FORKERS; i++)
		pthread_create(&thread[i], NULL, i < MAPPERS ? mapper : forker,
			       NULL);
	for (size_t i = 0; i < MAPPERS + FORKERS; i++)
		pthread_join(thread[i], NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(writing, NULL);
	if (fixed_one[1])
		failed("a child wrote to its parent's memory");
	return failures != 0;
}
