/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_order TIMES [alias]: four threads write while snapshots are taken,
 * and in each the writes of a thread are there in the order in which they were
 * made: all up to one of them, and none after it.
 *
 * A thread writes its number N to one page after another, by one mapping and
 * the other in turn, and ends after some rounds, when another goes on in its
 * place; at times a child is forked, which looks at what it has.
 *
 *	alias	a snapshot is one more mapping, to see that this is found out
 *	rights	a thread gives up rights that it does not have, all the time
 */
#include "snapshot_help.h"

#include <pthread.h>
#include <stdatomic.h>

#define WRITERS 4
#define PAGES_EACH 16
#define ALL_PAGES (WRITERS * PAGES_EACH)
#define ROUNDS 200
#define KEPT 8

static struct twin twin;
static atomic_bool stop;
static bool aliases_only;
static uint64_t seed = 1;

static uint64_t draw(uint64_t below)
{
	seed = seed * 6364136223846793005 + 1442695040888963407;
	return (seed >> 33) % below;
}

static size_t word_of(unsigned writer, size_t page)
{
	return (writer * PAGES_EACH + page) * WORDS + writer;
}

static void *writer_run(void *arg)
{
	unsigned writer = (unsigned)(uintptr_t)arg;
	uint64_t n = twin.one[word_of(writer, PAGES_EACH - 1)];

	for (unsigned round = 0; round < ROUNDS && !stop; round++) {
		n++;
		for (size_t page = 0; page < PAGES_EACH; page++) {
			volatile uint64_t *at = page & 1 ? twin.one : twin.two;

			at[word_of(writer, page)] = n;
		}
	}
	return NULL;
}

/* Starts the threads of one writer, one after another. */
static void *starter_run(void *arg)
{
	while (!stop) {
		pthread_t thread;

		CHECK(!pthread_create(&thread, NULL, writer_run, arg));
		CHECK(!pthread_join(thread, NULL));
	}
	return NULL;
}

/* The first pages are of one round, and the others of the one before. */
static void in_order(volatile uint64_t *v, const char *what)
{
	for (unsigned writer = 0; writer < WRITERS; writer++) {
		uint64_t first = v[word_of(writer, 0)];
		uint64_t before = first;

		for (size_t page = 1; page < PAGES_EACH; page++) {
			uint64_t n = v[word_of(writer, page)];

			if (n > before || n + 1 < first)
				wrong("%s: writer %u page %zu is of round "
				      "%lu, those before it of %lu",
				      what, writer, page, n, before);
			before = n;
		}
	}
}

struct kept {
	uint64_t id;
	volatile uint64_t *view;
	uint64_t was[ALL_PAGES]; /* as it was looked at first */
};

static struct kept kept[KEPT];

static void forget(struct kept *k)
{
	if (!k->view)
		return;
	if (aliases_only)
		CHECK(!munmap((void *)k->view, ALL_PAGES * PAGE));
	else
		view_end(k->view);
	if (k->id)
		CHECK(!anonshim_snapshot_release(k->id));
	*k = (struct kept){0};
}

static void remember(struct kept *k)
{
	size_t start = draw(ALL_PAGES);

	forget(k);
	if (aliases_only) {
		k->view = map_shared(twin.fd, ALL_PAGES, 0, PROT_READ);
	} else {
		k->id = take(draw(2) ? twin.one : twin.two);
		k->view = view(k->id);
	}
	/* some of it now, the rest when much more was written */
	for (size_t i = 0; i < ALL_PAGES / 2; i++)
		(void)k->view[(start + i) % ALL_PAGES * WORDS];
}

static void look(struct kept *k)
{
	if (!k->view)
		return;
	in_order(k->view, "a snapshot");
	for (unsigned writer = 0; writer < WRITERS; writer++)
		for (size_t page = 0; page < PAGES_EACH; page++) {
			size_t i = writer * PAGES_EACH + page;
			uint64_t now = k->view[word_of(writer, page)];

			if (k->was[i] && k->was[i] != now)
				wrong("a snapshot changes");
			k->was[i] = now;
		}
}

/* The child has its own, as of one moment, and all snapshots. */
static void fork_and_look(void)
{
	pid_t pid = fork();

	CHECK(pid >= 0);
	if (!pid) {
		whoami = "child";
		in_order(twin.one, "memory");
		for (unsigned i = 0; i < KEPT; i++)
			look(&kept[i]);
		remember(&kept[0]);
		twin.one[word_of(0, 0)] += 5;
		look(&kept[0]);
		_exit(0);
	}
	talk_reap(pid);
}

static void *rights_run(void *arg)
{
	(void)arg;
	while (!stop)
		CHECK(!setgid(getgid()));
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[WRITERS + 1];
	bool rights;
	unsigned n = WRITERS;

	victim_begin();
	CHECK(argc >= 2);
	aliases_only = argc > 2 && !strcmp(argv[2], "alias");
	rights = argc > 2 && !strcmp(argv[2], "rights");
	memory_make(&twin, ALL_PAGES, KIND_MEMFD);
	for (unsigned i = 0; i < WRITERS; i++)
		CHECK(!pthread_create(&thread[i], NULL, starter_run,
				      (void *)(uintptr_t)i));
	if (rights)
		CHECK(!pthread_create(&thread[n++], NULL, rights_run, NULL));
	for (unsigned long times = strtoul(argv[1], NULL, 10); times; times--) {
		unsigned what = (unsigned)draw(16);

		if (what < 7)
			remember(&kept[draw(KEPT)]);
		else if (what < 15)
			look(&kept[draw(KEPT)]);
		else if (!aliases_only && !draw(4))
			fork_and_look();
	}
	stop = true;
	for (unsigned i = 0; i < n; i++)
		CHECK(!pthread_join(thread[i], NULL));
	for (unsigned i = 0; i < KEPT; i++) {
		look(&kept[i]);
		forget(&kept[i]);
	}
	if (!aliases_only)
		nothing_is_held();
	return 0;
}
