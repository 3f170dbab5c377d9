/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds the registry against the kernel: random calls that change the address
 * space, from several threads at once, then the registry's regions must be
 * what /proc/self/maps says of every anonymous mapping, and where the kernel
 * shows names, each name what the registry says.
 *
 *   random_map [--sabotage=map|unmap|name] [--step] SEED OPERATIONS THREADS
 *
 * Exit status 0: equal; 1: the difference is printed; 2: bad usage; 77: not
 * under the shim, or a lock was held for seconds and calls went unrecorded.
 * --sabotage changes the address space once behind the shim's back, by a bare
 * instruction: the comparison must then fail.  --step, with one thread,
 * compares after each operation and tells which one went wrong.
 *
 * Two kinds of memory.  Windows, at fixed addresses far below where the kernel
 * puts things by itself, are everyone's: threads map, unmap and move over each
 * other there with no order between them, and nothing is stored in them.
 * Pieces, where the kernel chose, belong to one thread.
 *
 * Nothing is left out of the comparison.  What libc maps unseen is kept from
 * happening instead: one arena and no mmap for malloc, no cache of stacks.
 */
#include "map_compare.h"
#include "map_operations.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 10
#define THREADS_MAX 64

static bool step; /* compare after each operation */
static void verify(const char *when);

static const struct {
	void (*run)(struct worker *w);
	unsigned weight;
	const char *name;
} operations[] = {
#define OP(f, weight)         \
	{                     \
		f, weight, #f \
	}
	OP(op_piece_map, 14),	   OP(op_piece_map_file, 4),
	OP(op_piece_map_over, 8),  OP(op_piece_unmap, 14),
	OP(op_piece_protect, 4),   OP(op_piece_remap, 10),
	OP(op_piece_dontunmap, 3), OP(op_piece_alias, 3),
	OP(op_piece_to_window, 3), OP(op_window_map, 20),
	OP(op_window_hint, 8),	   OP(op_window_file, 5),
	OP(op_window_unmap, 14),   OP(op_window_protect, 4),
	OP(op_window_move, 16),	   OP(op_window_resize, 8),
	OP(op_window_name, 6),	   OP(op_brk, 4),
	OP(op_thread, 1),	   OP(op_thread_on_own_stack, 1),
#undef OP
};

#define KINDS (sizeof(operations) / sizeof(operations[0]))

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned sum = 0;

	for (unsigned i = 0; i < KINDS; i++)
		sum += operations[i].weight;
	for (unsigned n = 0; n < w->operations; n++) {
		unsigned pick = below(w, sum);
		unsigned i = 0;

		for (; pick >= operations[i].weight; i++)
			pick -= operations[i].weight;
		operations[i].run(w);
		if (step)
			verify(operations[i].name);
	}
	return NULL;
}

/* ---- the comparison ---- */

static void verify(const char *when)
{
	size_t nk;
	size_t nr;

	fflush(stdout);
	/* whose memory that was nobody knows any more: there is no telling */
	if (head->counters.lost) {
		printf("random_map: skipped: %s: patience with a lock ended "
		       "%lu times, this machine stands still\n",
		       when, head->counters.lost);
		exit(77);
	}
	sbrk(0); /* the heap's end is noticed by calls of the program only */
	nk = kernel_ranges();
	nr = registry_ranges();
	compare(nk, nr);
	check_counters(nr);
	if (!differences)
		return;
	printf("random_map: %s: %u differences between %zu VMAs and %zu "
	       "regions\n",
	       when, differences, nk, nr);
	exit(1);
}

/* ---- behind the shim's back ---- */

static long bare_call(long nr, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = 0;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8),
			   "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

static void sabotage(const char *how)
{
	long at;

	if (!how)
		return;
	at = (long)mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!strcmp(how, "unmap"))
		bare_call(SYS_munmap, at + 4096, 4096, 0, 0, 0);
	else if (!strcmp(how, "name"))
		bare_call(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, 4096,
			  (long)"sabotage");
	else
		bare_call(SYS_mmap, 0, 4096, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1);
}

/* ---- the run ---- */

static void windows_map(void)
{
	for (unsigned i = 0; i < WINDOWS; i++) {
		void *want = (void *)(WINDOW_BASE + i * WINDOW_STEP);

		if (mmap(want, WINDOW_PAGES * PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
				 MAP_FIXED_NOREPLACE,
			 -1, 0) != want) {
			perror("random_map: no place for a window");
			exit(2);
		}
	}
}

static void round_run(struct worker *w, unsigned threads, unsigned each)
{
	for (unsigned i = 0; i < threads; i++) {
		w[i].operations = each;
		if (pthread_create(&w[i].thread, NULL, work, &w[i])) {
			perror("random_map: pthread_create");
			exit(2);
		}
	}
	for (unsigned i = 0; i < threads; i++)
		pthread_join(w[i].thread, NULL);
}

/* A child's registry must be as right as its parent's, and stay so. */
static void in_child(struct worker *w, pid_t (*make)(void), const char *when)
{
	int status = 1;
	pid_t pid;

	fflush(stdout);
	pid = make();
	if (!pid) {
		/* the raw child is noticed by the first call it makes */
		op_window_map(w);
		verify(when);
		w->operations = 1000;
		work(w);
		verify(when);
		fflush(stdout);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status) {
		printf("random_map: %s: status %#x\n", when, status);
		exit(1);
	}
}

/* Keep libc from mapping memory that nobody can see it map. */
static void quieten_libc(char **argv)
{
	static const char tunables[] = "glibc.pthread.stack_cache_size=0";
	const char *now = getenv("GLIBC_TUNABLES");

	if (!now || strcmp(now, tunables) != 0) {
		setenv("GLIBC_TUNABLES", tunables, 1);
		execv("/proc/self/exe", argv);
		perror("random_map: exec");
		exit(2);
	}
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 8 << 20);
	free(malloc(1 << 20)); /* from here on the heap need not grow */
}

static void registry_find(void)
{
	struct registry_head **symbol = dlsym(RTLD_DEFAULT, REGISTRY_SYMBOL);

	if (!symbol || !*symbol) {
		printf("random_map: skipped: not under the shim\n");
		exit(77);
	}
	head = *symbol;
	if (memcmp(head->magic, REGISTRY_MAGIC, REGISTRY_MAGIC_BYTES) != 0 ||
	    head->version != REGISTRY_VERSION) {
		printf("random_map: a registry of another version\n");
		exit(2);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: random_map [--sabotage=map|unmap|name] "
			"[--step] SEED OPERATIONS THREADS(1-64)\n");
	return 2;
}

int main(int argc, char **argv)
{
	static struct worker workers[THREADS_MAX];
	const char *how = NULL;
	unsigned long seed;
	unsigned long ops;
	unsigned long threads;
	int arg = 1;

	if (arg < argc && !strncmp(argv[arg], "--sabotage=", 11))
		how = argv[arg++] + 11;
	if (arg < argc && !strcmp(argv[arg], "--step")) {
		step = true;
		arg++;
	}
	if (argc - arg != 3)
		return usage();
	seed = strtoul(argv[arg], NULL, 0);
	ops = strtoul(argv[arg + 1], NULL, 0);
	threads = strtoul(argv[arg + 2], NULL, 0);
	if (!threads || threads > THREADS_MAX || (step && threads > 1))
		return usage();
	quieten_libc(argv);
	registry_find();
	/* not a memfd: those take names, which then hide what they are */
	file_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	if (file_fd < 0) {
		perror("random_map: /proc/self/exe");
		return 2;
	}
	verify("before the first call");
	windows_map();
	for (unsigned long i = 0; i < threads; i++)
		workers[i].random = seed * 1000003 + i;
	for (unsigned i = 0; i < ROUNDS; i++) {
		char when[64];

		snprintf(when, sizeof(when), "seed %lu, round %u", seed, i);
		round_run(workers, (unsigned)threads,
			  (unsigned)(ops / ROUNDS / threads));
		verify(when);
	}
	in_child(workers, fork, "in a child");
	in_child(workers, _Fork, "in a child of _Fork");
	sabotage(how);
	verify("at the end");
	printf("random_map: seed %lu, %lu operations, %lu threads: %lu regions "
	       "as the kernel says%s\n",
	       seed, ops, threads, head->counters.regions,
	       head->flags & REGISTRY_NAMES_KERNEL ? ", names too" : "");
	return 0;
}
