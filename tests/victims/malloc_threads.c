/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * malloc where threads come and go, and processes: malloc_threads WAY [COUNT].
 * The ways are in the table at the end.
 */
#include "victim.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>

#define MOST 8192
#define CHILD_SECONDS 20

static atomic_bool stop;

static size_t random_size(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005 + 1442695040888963407;
	return 1 + (*seed >> 33) % (*seed >> 60 ? 700 : 60000);
}

/* A block full of one byte, which its first word tells. */
static void *marked(size_t size)
{
	unsigned char *p = malloc(size + sizeof(size_t));

	CHECK(p);
	*(size_t *)p = size;
	memset(p + sizeof(size_t), (unsigned char)(size * 37), size);
	return p;
}

static void marked_free(void *block)
{
	unsigned char *p = block;
	size_t size;

	if (!p)
		return;
	size = *(size_t *)p;
	for (size_t i = 0; i < size; i++)
		CHECK(p[sizeof(size_t) + i] == (unsigned char)(size * 37));
	free(p);
}

static void busy_for(unsigned rounds, uint64_t seed)
{
	void *own[64] = {NULL};

	for (unsigned i = 0; i < rounds; i++) {
		marked_free(own[i % 64]);
		own[i % 64] = marked(random_size(&seed));
	}
	for (unsigned i = 0; i < 64; i++)
		marked_free(own[i]);
}

static pthread_t run(void *(*routine)(void *), uintptr_t arg)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, routine, (void *)arg));
	return thread;
}

/* ---- frees in other threads ---- */

static _Atomic(void *) mail[MOST];

static void *passes_on(void *arg)
{
	uint64_t seed = (uintptr_t)arg;

	for (unsigned i = 0; i < 400000; i++) {
		size_t size = random_size(&seed);

		marked_free(atomic_exchange(&mail[(seed >> 20) % MOST],
					    seed >> 62 ? marked(size % 900)
						       : NULL));
	}
	return NULL;
}

static void remote(unsigned count)
{
	pthread_t thread[8];

	(void)count;
	for (unsigned i = 0; i < 8; i++)
		thread[i] = run(passes_on, i + 1);
	for (unsigned i = 0; i < 8; i++)
		CHECK(!pthread_join(thread[i], NULL));
	for (unsigned i = 0; i < MOST; i++)
		marked_free(mail[i]);
}

/* ---- threads without end ---- */

static void *short_life(void *left)
{
	void **bequest = left;

	for (unsigned i = 0; i < 8; i++)
		marked_free(bequest[i]); /* of the one before */
	for (unsigned i = 0; i < 8; i++)
		bequest[i] = marked(16 + 100 * i * i);
	for (size_t size = 16; size < 5000; size *= 2)
		marked_free(marked(size));
	return NULL;
}

static size_t anonymous_kib(void)
{
	char text[4096];
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	char *line;

	CHECK(n > 0);
	close(fd);
	text[n] = '\0';
	line = strstr(text, "RssAnon:");
	CHECK(line);
	return strtoul(line + 8, NULL, 10);
}

/* What COUNT threads leave is no more than what a fifth of them left. */
static void come_and_go(unsigned count)
{
	static void *bequest[8];
	size_t early = 0, late;

	for (unsigned i = 0; i < count; i++) {
		pthread_join(run(short_life, (uintptr_t)bequest), NULL);
		if (i == count / 5)
			early = anonymous_kib();
	}
	late = anonymous_kib();
	printf("%zu KiB early, %zu KiB late\n", early, late);
	CHECK(late <= early + 512);
}

/* ---- memory goes back ---- */

/* COUNT MiB, in blocks of all sizes, by two threads. */
static void *fill_and_free(void *mib)
{
	size_t left = (uintptr_t)mib << 20;
	uint64_t seed = 1;
	void **list = NULL;

	while (left > 60000) {
		size_t size = random_size(&seed) + sizeof(void *);
		void **p = malloc(size);

		CHECK(p);
		memset(p, 1, size);
		*p = list;
		list = p;
		left -= size;
	}
	while (list) {
		void **next = *list;

		free(list);
		list = next;
	}
	return NULL;
}

/* Within 30 seconds of a little work, as an idle server does. */
static void returns(unsigned count)
{
	size_t before = anonymous_kib(), now;
	pthread_t other = run(fill_and_free, count / 2);

	fill_and_free((void *)(uintptr_t)(count / 2));
	CHECK(!pthread_join(other, NULL));
	for (unsigned i = 0; i < 300; i++) {
		now = anonymous_kib();
		if (now < before + count * 1024UL / 10)
			return;
		busy_for(100, i);
		usleep(100 * 1000);
	}
	dprintf(2, "%zu KiB before, %zu KiB now\n", before, now);
	_exit(1);
}

/* ---- the ends of threads and of the process ---- */

static pthread_key_t keys[4];
static atomic_uint destroyed;

static void destroy(void *block)
{
	marked_free(block);
	marked_free(marked(500));
	if (atomic_fetch_add(&destroyed, 1) % 3 == 0) /* another round */
		CHECK(!pthread_setspecific(keys[3], marked(700)));
}

static void *with_keys(void *arg)
{
	for (unsigned i = 0; i < 4; i++)
		CHECK(!pthread_setspecific(keys[i], marked(100 * i + 1)));
	return arg;
}

static void destructors(unsigned count)
{
	for (unsigned i = 0; i < 4; i++)
		CHECK(!pthread_key_create(&keys[i], destroy));
	for (unsigned i = 0; i < count; i += 4) {
		pthread_t thread[4];

		for (unsigned k = 0; k < 4; k++)
			thread[k] = run(with_keys, k);
		for (unsigned k = 0; k < 4; k++)
			CHECK(!pthread_join(thread[k], NULL));
	}
	CHECK(destroyed >= count * 4);
}

static void *to_the_end;

static void at_the_end(void)
{
	marked_free(to_the_end);
	busy_for(2000, 5);
	dprintf(1, "freed at the end\n");
}

static void at_exits(unsigned count)
{
	(void)count;
	to_the_end = marked(30000);
	CHECK(!atexit(at_the_end));
}

static void *until_cancelled(void *seed)
{
	for (;;) {
		busy_for(200, (uintptr_t)seed);
		pthread_testcancel();
	}
	return NULL;
}

static void cancelled(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		pthread_t thread = run(until_cancelled, i);
		void *result;

		busy_for(100, i);
		CHECK(!pthread_cancel(thread));
		CHECK(!pthread_join(thread, &result));
		CHECK(result == PTHREAD_CANCELED);
	}
}

/* ---- processes ---- */

static void *until_stopped(void *seed)
{
	while (!stop)
		busy_for(500, (uintptr_t)seed);
	return NULL;
}

static void *short_work(void *seed)
{
	busy_for(300, (uintptr_t)seed);
	return NULL;
}

/* The child frees what the parent had, and asks for its own. */
static void in_child(void **of_parent)
{
	alarm(CHILD_SECONDS);
	for (unsigned i = 0; i < 64; i++)
		marked_free(of_parent[i]);
	busy_for(1000, (uint64_t)getpid());
	CHECK(!pthread_join(run(short_work, 3), NULL));
	exit(0);
}

static void fork_once(unsigned i)
{
	void *block[64];
	int status;
	pid_t pid;

	for (unsigned k = 0; k < 64; k++)
		block[k] = marked(k * k + i);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid)
		in_child(block);
	for (unsigned k = 0; k < 64; k++)
		marked_free(block[k]);
	CHECK(waitpid(pid, &status, 0) == pid);
	if (status)
		dprintf(2, "child %u: status %#x\n", i, (unsigned)status);
	CHECK(!status);
}

static void forks_alone(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		fork_once(i);
}

static void forks_among_threads(unsigned count)
{
	pthread_t thread[4];

	for (unsigned i = 0; i < 4; i++)
		thread[i] = run(until_stopped, i + 1);
	forks_alone(count);
	stop = true;
	for (unsigned i = 0; i < 4; i++)
		CHECK(!pthread_join(thread[i], NULL));
}

/* A child's child, each with the heap of the one before. */
static void generations(unsigned count)
{
	void *block = marked(1000);
	int status;
	pid_t pid;

	busy_for(500, count);
	if (!count)
		exit(0);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		alarm(CHILD_SECONDS);
		marked_free(block);
		generations(count - 1);
		exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	marked_free(block);
}

static void vforks(unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		void *block = marked(5000);
		int status;
		pid_t pid = vfork();

		CHECK(pid >= 0);
		if (!pid) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		CHECK(waitpid(pid, &status, 0) == pid && !status);
		marked_free(block);
		busy_for(100, i);
	}
}

static const struct {
	const char *name;
	void (*run)(unsigned count);
} ways[] = {
	{"remote", remote},
	{"come_and_go", come_and_go},
	{"returns", returns},
	{"destructors", destructors},
	{"at_exits", at_exits},
	{"cancelled", cancelled},
	{"forks", forks_alone},
	{"forks_among_threads", forks_among_threads},
	{"generations", generations},
	{"vforks", vforks},
};

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc == 3);
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (!strcmp(ways[i].name, argv[1])) {
			ways[i].run((unsigned)strtoul(argv[2], NULL, 10));
			return 0;
		}
	}
	return 2;
}
