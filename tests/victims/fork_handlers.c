/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_handlers HOW: pthread_atfork handlers that read and write a twin.  What
 * the prepare handlers write is in the child; what the handlers of parent and
 * child write is seen by themselves only.  HOW: fork, forkpty,
 * "thread" (fork in one), or _Fork and raw, which run none.
 */
#include "fork_help.h"

#include <pthread.h>
#include <pty.h>

#define TWIN_PAGES 4
#define HANDLERS 2 /* registered before the twin was made, and after */
#define ROUNDS 50

enum { PREPARED = 0x500, IN_PARENT = 0x600, IN_CHILD = 0x700 };

static struct twin twin;
static struct talk talk;
static unsigned rounds, ran[3];

/* Handlers differ in the page that they write, not in what they do. */
static volatile uint64_t *page_one(unsigned handler)
{
	return twin.one + handler * WORDS;
}

static volatile uint64_t *page_two(unsigned handler)
{
	return twin.two + handler * WORDS;
}

static void prepare(unsigned handler)
{
	ran[0]++;
	/* the other side's writes of the last round are not here */
	CHECK(*page_one(handler) == (rounds ? IN_PARENT + rounds - 1 : 0));
	*page_one(handler) = PREPARED + rounds;
	CHECK(*page_two(handler) == PREPARED + rounds);
}

static void see(unsigned handler, uint64_t value, const char *when)
{
	uint64_t word;

	CHECK(pread(twin.fd, &word, sizeof(word), (off_t)(handler * PAGE)) ==
	      sizeof(word));
	if (*page_one(handler) != value || *page_two(handler) != value ||
	    word != value)
		wrong("handler %u, round %u, %s: %#lx, %#lx, %#lx, not %#lx",
		      handler, rounds, when, *page_one(handler),
		      *page_two(handler), word, value);
}

static void in_parent(unsigned handler)
{
	ran[1]++;
	talk_side(&talk, false);
	see(handler, PREPARED + rounds, "in the parent's handler");
	*page_two(handler) = IN_PARENT + rounds;
	talk_say(&talk);
	talk_hear(&talk);
	see(handler, IN_PARENT + rounds, "after the child's handler");
}

static void in_child(unsigned handler)
{
	ran[2]++;
	talk_side(&talk, true);
	alarm(LIFE_SECONDS);
	see(handler, PREPARED + rounds, "in the child's handler");
	talk_hear(&talk);
	see(handler, PREPARED + rounds, "after the parent's handler");
	*page_two(handler) = IN_CHILD + rounds;
	see(handler, IN_CHILD + rounds, "after the child's handler");
	talk_say(&talk);
}

static void prepare_0(void)
{
	prepare(0);
}
static void prepare_1(void)
{
	prepare(1);
}
static void parent_0(void)
{
	in_parent(0);
}
static void parent_1(void)
{
	in_parent(1);
}
static void child_0(void)
{
	in_child(0);
}
static void child_1(void)
{
	in_child(1);
}

static int master = -1; /* its end hangs the child up */

static pid_t make_child(const char *how)
{
	if (!strcmp(how, "_Fork"))
		return _Fork();
	if (!strcmp(how, "raw"))
		return (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
	if (strcmp(how, "forkpty"))
		return fork();
	return forkpty(&master, NULL, NULL, NULL);
}

static void round_with_handlers(const char *how)
{
	pid_t pid;

	talk_open(&talk);
	pid = make_child(how);
	talk_split(&talk, pid);
	if (ran[0] != HANDLERS * (rounds + 1) ||
	    ran[pid ? 1 : 2] != (pid ? ran[0] : HANDLERS))
		wrong("handlers ran %u, %u, %u times", ran[0], ran[1], ran[2]);
	for (unsigned i = 0; i < HANDLERS; i++)
		see(i, pid ? IN_PARENT + rounds : IN_CHILD + rounds, "at last");
	talk_end(&talk);
	if (master >= 0)
		CHECK(!close(master));
	master = -1;
}

static void round_without(const char *how)
{
	twin_before(&twin);
	talk_open(&talk);
	twin_both(&twin, &talk, make_child(how));
	if (ran[0] + ran[1] + ran[2])
		wrong("handlers ran");
}

static void *run(void *arg)
{
	const char *how = arg;
	bool without = !strcmp(how, "_Fork") || !strcmp(how, "raw");

	for (; rounds < ROUNDS; rounds++)
		(without ? round_without : round_with_handlers)(how);
	return NULL;
}

int main(int argc, char **argv)
{
	static char usual[] = "fork";
	char *how = argc > 1 ? argv[1] : usual;
	pthread_t thread;

	victim_begin();
	CHECK(!pthread_atfork(prepare_0, parent_0, child_0));
	twin_make(&twin, TWIN_PAGES);
	CHECK(!pthread_atfork(prepare_1, parent_1, child_1));
	if (strcmp(how, "thread")) {
		run(how);
		return 0;
	}
	CHECK(!pthread_create(&thread, NULL, run, how));
	CHECK(!pthread_join(thread, NULL));
	return 0;
}
