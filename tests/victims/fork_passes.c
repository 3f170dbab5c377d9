/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_passes HOW TIMES: forks of memory that is mapped twice and has a
 * descriptor, which is used where nobody is told, while a lazy copy would not
 * be there yet.  The child is stopped until the parent has done its part, and
 * looks then; both see what is their own.
 *
 *	file	the child reads it through a FILE of its parent's
 *	spawn	a program that the child starts reads it
 *	seek	the child asks where there is data
 *	mem	the child reads it through /proc/self/mem
 *	syscall	the parent writes it by syscall(2)
 *	cut	the parent cuts it by its name in /proc
 *	ring	the parent writes it by io_uring
 *	leave	both leave a namespace, and become who they are
 *	sent	a process that was sent it writes it
 *	room	the child makes room with posix_fallocate()
 *	print	both write it with dprintf()
 *	wrap	the parent writes it through a FILE that it makes then
 *	name	the child reads it through a FILE of its name in /proc
 *	aio	the parent writes it with aio_write()
 *	alias	it is a region's, of which the child makes one alias more
 *	keep	the child becomes a program that reads it
 *	run	it is a program, which the child becomes
 *	look	the parent reads what /proc has of itself: the copy goes on
 */
#include "fork_help.h"

#include <aio.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TWIN_PAGES (UINT64_C(4096) * 4)
#define BYTES (TWIN_PAGES * PAGE)
#define NEAR_END (BYTES - PAGE) /* which is copied last */
#define ENTRIES 4

static struct twin twin;
static const char *how;
static uint64_t page[WORDS];
static int helper = -1; /* a socket */

static bool is(const char *word)
{
	return !strcmp(how, word);
}

/* ---- the child's part ---- */

static void see(const uint64_t *words, uint64_t number)
{
	if (words[0] != VALUE_BEFORE + number ||
	    words[WORDS - 1] != VALUE_BEFORE + number)
		wrong("page %lu: %#lx by a %s", number, words[0], how);
}

static void read_file(FILE *file)
{
	for (uint64_t i = TWIN_PAGES; i--;) { /* the last is copied last */
		CHECK(!fseek(file, (long)(i * PAGE), SEEK_SET));
		CHECK(fread(page, PAGE, 1, file) == 1);
		see(page, i);
	}
}

/* What the program that is started does. */
static int read_input(int fd)
{
	whoami = how = "program";
	for (uint64_t i = TWIN_PAGES; i--;) {
		CHECK(pread(fd, page, PAGE, (off_t)(i * PAGE)) ==
		      (ssize_t)PAGE);
		see(page, i);
	}
	return 0;
}

static void start_program(void)
{
	char path[] = "/proc/self/exe", word[] = "0";
	char *argv[] = {path, word, NULL};
	char *envp[] = {NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	CHECK(!posix_spawn_file_actions_init(&actions));
	CHECK(!posix_spawn_file_actions_adddup2(&actions, twin.fd, 0));
	CHECK(!posix_spawn(&pid, path, &actions, NULL, argv, envp));
	CHECK(!posix_spawn_file_actions_destroy(&actions));
	talk_reap(pid);
}

/* As Python does to pass one on. */
static void become_program(void)
{
	char word[16];
	char *argv[] = {word, word, NULL};
	char *envp[] = {NULL};

	sprintf(word, "%d", twin.fd);
	CHECK(!ioctl(twin.fd, FIONCLEX));
	execve("/proc/self/exe", argv, envp);
	wrong("no program: errno %d", errno);
}

static void read_memory(void)
{
	int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	for (uint64_t i = TWIN_PAGES; i--;) {
		CHECK(pread(fd, page, PAGE, (off_t)(twin.two + i * WORDS)) ==
		      (ssize_t)PAGE);
		see(page, i);
	}
	CHECK(!close(fd));
}

static void by_name(void)
{
	char path[32];
	FILE *file;

	sprintf(path, "/proc/self/fd/%d", twin.fd);
	file = fopen(path, "re");
	CHECK(file);
	read_file(file);
	CHECK(!fclose(file));
}

static void print(int fd)
{
	/* where nobody looks */
	CHECK(lseek(fd, NEAR_END + 8, SEEK_SET) == NEAR_END + 8);
	CHECK(dprintf(fd, "by %s", whoami) > 0);
}

static void one_alias_more(void)
{
	void *p = NULL;

	CHECK(!anonshim_region_alias((void *)twin.one, NEAR_END, PAGE,
				     PROT_READ, &p));
	see(p, TWIN_PAGES - 1);
}

/* What ends all threads but the caller's, or needs that. */
static void leave_namespace(void)
{
	if (unshare(CLONE_NEWUTS))
		SKIP("no right to leave a namespace");
	CHECK(!setgid(getgid()) && !setuid(getuid()));
	CHECK(!chroot("/"));
}

static void child_run(FILE *file)
{
	whoami = "child";
	if (is("leave"))
		leave_namespace();
	if (is("seek")) {
		CHECK(lseek(twin.fd, NEAR_END, SEEK_DATA) == NEAR_END);
		CHECK(lseek(twin.fd, 0, SEEK_HOLE) == BYTES);
	}
	if (is("mem"))
		read_memory();
	if (is("room"))
		CHECK(!posix_fallocate(twin.fd, 0, BYTES));
	if (is("print"))
		print(twin.fd);
	if (is("name"))
		by_name();
	if (is("alias"))
		one_alias_more();
	if (is("keep"))
		become_program();
	if (is("file"))
		read_file(file);
	else if (is("spawn"))
		start_program();
	twin_see(&twin, VALUE_BEFORE, "as forked");
	twin_write(twin.two, TWIN_PAGES, VALUE_CHILD);
	twin_see(&twin, VALUE_CHILD, "after the child wrote");
	_exit(0);
}

/* ---- the parent's ---- */

static struct ring {
	int fd;
	char *sq;
	char *cq;
	struct io_uring_sqe *sqe;
	struct io_uring_params p;
} ring;

static void *ring_map(size_t bytes, off_t what)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
		       what);

	CHECK(p != MAP_FAILED);
	return p;
}

static void ring_make(void)
{
	const struct io_uring_params *p = &ring.p;

	ring.fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &ring.p);
	if (ring.fd < 0)
		SKIP("no io_uring");
	ring.sq = ring_map(p->sq_off.array + p->sq_entries * sizeof(unsigned),
			   IORING_OFF_SQ_RING);
	ring.cq = ring_map(p->cq_off.cqes +
				   p->cq_entries * sizeof(struct io_uring_cqe),
			   IORING_OFF_CQ_RING);
	ring.sqe = ring_map(p->sq_entries * sizeof(*ring.sqe), IORING_OFF_SQES);
}

static void write_by_ring(off_t at)
{
	unsigned *tail = (unsigned *)(void *)(ring.sq + ring.p.sq_off.tail);
	unsigned *head = (unsigned *)(void *)(ring.cq + ring.p.cq_off.head);

	memset(ring.sq + ring.p.sq_off.array, 0, ENTRIES * sizeof(unsigned));
	*ring.sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_WRITE,
		.fd = twin.fd,
		.addr = (uint64_t)(uintptr_t)page,
		.len = (unsigned)PAGE,
		.off = (uint64_t)at,
	};
	__atomic_fetch_add(tail, 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS,
		      NULL, 0) == 1);
	__atomic_fetch_add(head, 1, __ATOMIC_RELEASE);
}

/* What the process that was sent a descriptor does when it is told. */
static _Noreturn void help(int socket)
{
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec vec = {&byte, 1};
	struct msghdr m = {
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	whoami = "helper";
	CHECK(recvmsg(socket, &m, 0) == 1 && CMSG_FIRSTHDR(&m));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	while (read(socket, &byte, 1) == 1) {
		CHECK(pwrite(fd, page, PAGE, NEAR_END) == (ssize_t)PAGE);
		CHECK(write(socket, "", 1) == 1);
	}
	_exit(0);
}

static void helper_start(void)
{
	int ends[2];

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	helper = ends[0];
	if (!fork()) {
		close(ends[0]);
		help(ends[1]);
	}
	close(ends[1]);
}

static void helper_give(void)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))];
	struct iovec vec = {&byte, 1};
	struct msghdr m = {
		.msg_iov = &vec,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &twin.fd, sizeof(int));
	CHECK(sendmsg(helper, &m, 0) == 1);
}

static void helper_write(void)
{
	char byte = 0;

	CHECK(write(helper, &byte, 1) == 1 && read(helper, &byte, 1) == 1);
}

static void wrap(void)
{
	FILE *file = fdopen(fcntl(twin.fd, F_DUPFD_CLOEXEC, 3), "r+");

	CHECK(file && !fseek(file, NEAR_END, SEEK_SET));
	CHECK(fwrite(page, PAGE, 1, file) == 1 && !fclose(file));
}

static void write_by_thread(void)
{
	struct aiocb cb = {
		.aio_fildes = twin.fd,
		.aio_buf = page,
		.aio_nbytes = PAGE,
		.aio_offset = NEAR_END,
	};
	const struct aiocb *list[] = {&cb};

	CHECK(!aio_write(&cb) && !aio_suspend(list, 1, NULL));
	CHECK(aio_return(&cb) == (ssize_t)PAGE);
}

static void cut(void)
{
	char path[32];

	sprintf(path, "/proc/self/fd/%d", twin.fd);
	CHECK(!truncate(path, 0));
	CHECK(!truncate(path, (off_t)BYTES));
}

static void parent_run(void)
{
	struct iovec vec = {page, PAGE};

	if (is("syscall"))
		CHECK(syscall(SYS_pwritev2, twin.fd, &vec, 1, NEAR_END, 0, 0) ==
		      (long)PAGE);
	else if (is("cut"))
		cut();
	else if (is("ring"))
		write_by_ring(NEAR_END);
	else if (is("sent"))
		helper_write();
	else if (is("print"))
		print(twin.fd);
	else if (is("wrap"))
		wrap();
	else if (is("aio"))
		write_by_thread();
	if (is("leave")) {
		leave_namespace();
		twin_write(twin.one, TWIN_PAGES, VALUE_PARENT);
	}
}

static void fork_once(FILE *file)
{
	pid_t pid;
	int status;

	twin_before(&twin);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		raise(SIGSTOP);
		child_run(file);
	}
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	parent_run();
	kill(pid, SIGCONT);
	talk_reap(pid);
	if (twin.one[(TWIN_PAGES - 1) * WORDS] >= VALUE_CHILD)
		wrong("%#lx is the child's",
		      twin.one[(TWIN_PAGES - 1) * WORDS]);
}

static void region_make(void)
{
	void *one, *two = NULL;

	CHECK(!anonshim_region_create(&one, BYTES, 0, "twin"));
	CHECK(!anonshim_region_alias(one, 0, 0, PROT_READ | PROT_WRITE, &two));
	twin = (struct twin){one, two, TWIN_PAGES, -1};
}

/* What is written through a memfd's own descriptor can be executed. */
static int run(void)
{
	char word[] = "ran", end[] = "";
	char *argv[] = {end, word, NULL};
	char *envp[] = {NULL};
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	off_t size = lseek(from, 0, SEEK_END);
	int fd = memfd_of("program", TWIN_PAGES, MFD_CLOEXEC);
	size_t pages = ((size_t)size + PAGE - 1) / PAGE;
	char *one = map_shared(fd, pages, 0, PROT_READ | PROT_WRITE);
	pid_t pid;

	map_shared(fd, pages, 0, PROT_READ);
	CHECK(pread(from, one, (size_t)size, 0) == size);
	CHECK(!munmap(one, pages * PAGE));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		fexecve(fd, argv, envp);
		whoami = "child";
		wrong("no program: errno %d", errno);
	}
	talk_reap(pid);
	return 0;
}

/* Pages of objects that this process has in its page tables. */
static long shared_pages(void)
{
	char text[128] = "";
	long pages = 0;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	CHECK(sscanf(text, "%*u %*u %ld", &pages) == 1);
	close(fd);
	return pages;
}

/* Whether the last N pages of those before END are copied as they are written,
 * and to where this process has them. */
static bool copies(uint64_t end, uint64_t n)
{
	long before = shared_pages();

	for (uint64_t i = end - n; i < end; i++)
		twin.one[i * WORDS] = VALUE_PARENT + i;
	return shared_pages() >= before + (long)(n / 10 * 9);
}

static int look(void)
{
	char path[32];
	pid_t pid;
	int status;

	twin_make(&twin, TWIN_PAGES);
	twin_before(&twin);
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		raise(SIGSTOP);
		twin_see(&twin, VALUE_BEFORE, "as forked");
		_exit(0);
	}
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	fclose(fopen("/proc/self/stat", "re"));
	fclose(fopen("/proc/meminfo", "re"));
	if (!copies(TWIN_PAGES, 64))
		wrong("who read of himself ended the copy");
	sprintf(path, "/proc/self/fd/%d", twin.fd);
	fclose(fopen(path, "re"));
	if (copies(TWIN_PAGES - 64, 64))
		wrong("who opened the memory did not end the copy");
	kill(pid, SIGCONT);
	talk_reap(pid);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned times;
	FILE *file;

	victim_begin();
	if (argc == 2)
		return strcmp(argv[1], "ran") ? read_input(atoi(argv[1])) : 0;
	CHECK(argc == 3);
	how = argv[1];
	times = (unsigned)strtoul(argv[2], NULL, 10);
	if (is("ring"))
		ring_make();
	if (is("sent"))
		helper_start();
	if (is("run"))
		return run();
	if (is("look"))
		return look();
	if (is("alias"))
		region_make();
	else
		twin_make(&twin, TWIN_PAGES);
	file = is("file") ? fdopen(twin.fd, "r+") : NULL;
	if (is("sent"))
		helper_give();
	while (times--)
		fork_once(file);
	return 0;
}
