/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_ways WAY: a twin across one way to make a child: both sides write, and
 * each sees its own.  The ways are in the table at the end.
 */
#include "fork_help.h"

#include <linux/sched.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <sys/socket.h>
#include <ucontext.h>

#define TWIN_PAGES 8
#define ROUNDS 20 /* of a signal's, or of a child's child */

static struct twin twin;
static struct talk talk;
static pid_t (*make_child)(void);

/* ---- ways that return twice ---- */

static pid_t by_fork(void)
{
	return fork();
}
static pid_t by_Fork(void)
{
	return _Fork();
}

static pid_t by_forkpty(void)
{
	int master, errors = fcntl(2, F_DUPFD_CLOEXEC, 3);
	pid_t pid = forkpty(&master, NULL, NULL, NULL);

	if (!pid) {
		CHECK(isatty(0) && isatty(1) && getsid(0) == getpid());
		CHECK(dup2(errors, 2) == 2);
	} else {
		CHECK(pid < 0 || isatty(master));
	}
	close(errors);
	return pid;
}

#ifdef SYS_fork
static pid_t by_raw_fork(void)
{
	return (pid_t)syscall(SYS_fork);
}
#endif

static pid_t by_raw_clone(void)
{
	return (pid_t)syscall(SYS_clone, (long)SIGCHLD, 0L, 0L, 0L, 0L);
}

/* With results of its own, that have to be the child's. */
static pid_t by_raw_clone_tid(void)
{
	static volatile pid_t tids[2];
	long flags = SIGCHLD | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID;
	pid_t pid =
		(pid_t)syscall(SYS_clone, flags, 0L, &tids[0], &tids[1], 0L);

	CHECK(pid < 0 || (pid ? tids[0] == pid : tids[1] == getpid()));
	return pid;
}

static pid_t by_raw_clone3(void)
{
	struct clone_args args = {.exit_signal = SIGCHLD};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static pid_t by_raw_clone3_pidfd(void)
{
	int pidfd = -1;
	struct clone_args args = {.flags = CLONE_PIDFD,
				  .pidfd = (uintptr_t)&pidfd,
				  .exit_signal = SIGCHLD};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid > 0) {
		CHECK(pidfd >= 0 && fcntl(pidfd, F_GETFD) >= 0);
		close(pidfd);
	}
	return pid;
}

/* In namespaces of its own, where that may be; the first process there. */
static pid_t by_raw_clone_namespaces(void)
{
	long flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
	pid_t pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0L, 0L, 0L, 0L);

	if (pid < 0)
		pid = (pid_t)syscall(SYS_clone, flags | CLONE_NEWUSER | SIGCHLD,
				     0L, 0L, 0L, 0L);
	if (pid < 0 && errno == EPERM)
		SKIP("no namespaces");
	CHECK(pid || getpid() == 1);
	return pid;
}

static void both(void)
{
	twin_before(&twin);
	talk_open(&talk);
	twin_both(&twin, &talk, make_child());
}

/* ---- ways to get there ---- */

static void plainly(void)
{
	both();
}

static void *thread_run(void *arg)
{
	both();
	return arg;
}

static void in_a_thread(void)
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, thread_run, NULL));
	CHECK(!pthread_join(thread, NULL));
}

/* On a stack that is itself mapped twice. */
static void on_such_a_stack(void)
{
	size_t bytes = 64 * PAGE;
	pthread_attr_t attr;
	pthread_t thread;
	struct twin stack;

	twin_make(&stack, bytes / PAGE);
	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setstack(&attr, (void *)stack.one, bytes));
	CHECK(!pthread_create(&thread, &attr, thread_run, NULL));
	CHECK(!pthread_join(thread, NULL));
	twin_end(&stack);
}

static ucontext_t outside, inside;

static void coroutine_run(void)
{
	both();
	swapcontext(&inside, &outside);
}

/* As coroutines have it: no thread but this one. */
static void in_a_coroutine(void)
{
	struct twin stack;

	twin_make(&stack, 64);
	CHECK(!getcontext(&inside));
	inside.uc_stack.ss_sp = (void *)stack.one;
	inside.uc_stack.ss_size = 64 * PAGE;
	makecontext(&inside, coroutine_run, 0);
	CHECK(!swapcontext(&outside, &inside));
	twin_end(&stack);
}

/* Its table of descriptors is the parent's: nothing in it may change. */
static void with_one_table(void)
{
	struct stat before, after;
	pid_t pid;

	twin_before(&twin);
	CHECK(!fstat(twin.fd, &before));
	pid = (pid_t)syscall(SYS_clone, (long)(SIGCHLD | CLONE_FILES), 0L, 0L,
			     0L, 0L);
	CHECK(pid >= 0);
	if (!pid)
		_exit(0);
	talk_reap(pid);
	CHECK(!fstat(twin.fd, &after));
	if (before.st_ino != after.st_ino)
		wrong("the parent's descriptor is another object's");
	twin_see(&twin, VALUE_BEFORE, "after the child ended");
}

/* The child's child comes from the child's own object. */
static void generation(unsigned left)
{
	pid_t pid;

	twin_write(twin.one, twin.pages, VALUE_BEFORE + 100 * left);
	talk_open(&talk);
	pid = make_child();
	talk_split(&talk, pid);
	if (pid) {
		twin_write(twin.two, twin.pages, VALUE_PARENT + left);
		talk_say(&talk);
		talk_end(&talk);
		twin_see(&twin, VALUE_PARENT + left, "after all children");
		return;
	}
	talk_hear(&talk);
	twin_see(&twin, VALUE_BEFORE + 100 * left, "in a child's child");
	if (left) {
		both();
		generation(left - 1);
	}
	_exit(0);
}

static void for_generations(void)
{
	generation(ROUNDS);
}

/* fn on a stack of its own, memory copied. */
static int clone_run(void *arg)
{
	talk_split(&talk, 0);
	twin_in_child(&twin, &talk);
	return arg == &twin ? 0 : 1;
}

static void by_clone(void)
{
	char *stack = anon(16);
	pid_t pid;

	twin_before(&twin);
	talk_open(&talk);
	pid = clone(clone_run, stack + 16 * PAGE, SIGCHLD, &twin);
	CHECK(pid > 0);
	talk_split(&talk, pid);
	twin_in_parent(&twin, &talk);
	talk_end(&talk);
	CHECK(!munmap(stack, 16 * PAGE));
}

/* ---- in a handler ---- */

static void (*interrupted)(void);
static volatile sig_atomic_t handled;

static void on_signal(int signal)
{
	int kept = errno;

	both();
	errno = kept;
	handled += signal != 0;
}

static void raises(void)
{
	signal(SIGUSR1, on_signal);
	CHECK(!raise(SIGUSR1));
	CHECK(handled == 1);
}

static void mallocs(void)
{
	static void *kept[64];

	for (unsigned i = 0; i < 64; i++) {
		free(kept[i]);
		kept[i] = malloc((i * 7919 + 13) % 9000);
		CHECK(kept[i]);
	}
}

static void maps(void)
{
	char *p = map_shared(twin.fd, 3, 0, PROT_READ | PROT_WRITE);
	char *q = mremap(p, 0, 2 * PAGE, MREMAP_MAYMOVE);
	int fd = dup(twin.fd);

	CHECK(q != MAP_FAILED && fd >= 0);
	CHECK(!mprotect(p, PAGE, PROT_NONE));
	CHECK(!munmap(p, 3 * PAGE) && !munmap(q, 2 * PAGE) && !close(fd));
	fd = memfd_of("passing", 2, 0);
	p = map_shared(fd, 2, 0, PROT_READ);
	q = map_shared(fd, 2, 0, PROT_READ);
	CHECK(!close(fd) && !munmap(p, 2 * PAGE) && !munmap(q, 2 * PAGE));
}

/* Another process sends the signals, each when the last was handled. */
static void in_the_midst(void)
{
	pid_t self = getpid(), sender;
	int done[2];
	char byte;

	signal(SIGUSR1, on_signal);
	CHECK(!pipe(done));
	sender = _Fork();
	if (!sender) {
		close(done[1]);
		for (unsigned i = 0; i < ROUNDS; i++) {
			CHECK(!kill(self, SIGUSR1));
			if (read(done[0], &byte, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close(done[0]);
	for (int told = 0; told < ROUNDS;) {
		interrupted();
		if (handled == told)
			continue;
		told++;
		CHECK(write(done[1], "", 1) == 1);
	}
	talk_reap(sender);
	close(done[1]);
}

static void in_malloc(void)
{
	interrupted = mallocs;
	in_the_midst();
}

static void in_mapping(void)
{
	interrupted = maps;
	in_the_midst();
}

/* ---- daemon ---- */

static int pass_fd(int to, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = {0};
	char byte = 0;
	struct iovec one = {&byte, 1};
	struct msghdr message = {.msg_iov = &one,
				 .msg_iovlen = 1,
				 .msg_control = room,
				 .msg_controllen = sizeof(room)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	if (fd < 0) {
		CHECK(recvmsg(to, &message, 0) == 1);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
		return fd;
	}
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	CHECK(sendmsg(to, &message, 0) == 1);
	return fd;
}

/*
 * The process that calls daemon() is gone with it: a third one, that was
 * handed the object, stands for it.
 */
static void by_daemon(void)
{
	struct twin seen;
	int pair[2];
	pid_t pid;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	talk_open(&talk);
	pid = fork(); /* of the table's twin: made anew */
	talk_split(&talk, pid);
	if (!pid) {
		twin_make(&twin, TWIN_PAGES);
		twin_before(&twin);
		pass_fd(pair[0], twin.fd);
		CHECK(!daemon(1, 1));
		twin_in_child(&twin, &talk);
		talk_say(&talk); /* nobody waits for it */
		_exit(0);
	}
	talk_reap(pid);
	talk.child = 0; /* is no child of this process */
	seen.fd = pass_fd(pair[1], -1);
	seen.pages = TWIN_PAGES;
	seen.one = map_shared(seen.fd, TWIN_PAGES, 0, PROT_READ | PROT_WRITE);
	seen.two = seen.one;
	twin_in_parent(&seen, &talk);
	talk_hear(&talk);
}

/* ---- the table ---- */

static const struct way {
	const char *name;
	void (*run)(void);
	pid_t (*make_child)(void);
} ways[] = {
	{"fork", plainly, by_fork},
	{"_Fork", plainly, by_Fork},
	{"forkpty", plainly, by_forkpty},
#ifdef SYS_fork
	{"raw_fork", plainly, by_raw_fork},
#endif
	{"raw_clone", plainly, by_raw_clone},
	{"raw_clone_tid", plainly, by_raw_clone_tid},
	{"raw_clone3", plainly, by_raw_clone3},
	{"raw_clone3_pidfd", plainly, by_raw_clone3_pidfd},
	{"raw_clone_files", with_one_table, NULL},
	{"raw_clone_namespaces", plainly, by_raw_clone_namespaces},
	{"clone", by_clone, NULL},
	{"daemon", by_daemon, NULL},
	{"thread", in_a_thread, by_fork},
	{"thread_Fork", in_a_thread, by_Fork},
	{"thread_raw", in_a_thread, by_raw_clone},
	{"thread_stack", on_such_a_stack, by_fork},
	{"coroutine_stack", in_a_coroutine, by_fork},
	{"generations", for_generations, by_fork},
	{"generations_raw", for_generations, by_raw_clone},
	{"handler", raises, by_fork},
	{"handler_Fork", raises, by_Fork},
	{"handler_raw", raises, by_raw_clone3},
	{"in_malloc", in_malloc, by_fork},
	{"in_malloc_Fork", in_malloc, by_Fork},
	{"in_mapping", in_mapping, by_fork},
	{"in_mapping_Fork", in_mapping, by_Fork},
	{"in_mapping_raw", in_mapping, by_raw_clone},
};

int main(int argc, char **argv)
{
	victim_begin();
	twin_make(&twin, TWIN_PAGES);
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		if (argc < 2) {
			printf("%s\n", ways[i].name);
			continue;
		}
		if (strcmp(argv[1], ways[i].name))
			continue;
		make_child = ways[i].make_child;
		ways[i].run();
		twin_end(&twin);
		return 0;
	}
	return argc < 2 ? 0 : 2;
}
