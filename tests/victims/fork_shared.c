/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_shared OBJECT shared|private: whether parent, child and the child's
 * child see each other's writes in an object, or each its own.  The objects
 * are in the table at the end; natively all are shared.
 */
#include "fork_help.h"

#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>

#define OBJECT_PAGES 3
#define RW (PROT_READ | PROT_WRITE)
#define INHERITED "FORK_SHARED_FD"

/* Two of its addresses: the same one twice if it is mapped once. */
static volatile uint64_t *one, *two;
static char path[64];

static void is_at(void *p, void *q)
{
	one = p;
	two = q;
}

/* ---- objects ---- */

static void *shared_anon(void)
{
	void *p = mmap(NULL, OBJECT_PAGES * PAGE, RW,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void anon_once(void)
{
	void *p = shared_anon();

	is_at(p, p);
}

static void anon_moved(void)
{
	void *p = mremap(shared_anon(), OBJECT_PAGES * PAGE,
			 2 * OBJECT_PAGES * PAGE, MREMAP_MAYMOVE);

	CHECK(p != MAP_FAILED);
	is_at(p, p);
}

/* Cut into VMAs: still one mapping. */
static void anon_cut(void)
{
	char *p = shared_anon();

	CHECK(!mprotect(p + PAGE, PAGE, PROT_READ));
	is_at(p, p);
}

static void anon_twice(void)
{
	void *p = shared_anon();
	void *q = mremap(p, 0, OBJECT_PAGES * PAGE, MREMAP_MAYMOVE);

	CHECK(q != MAP_FAILED);
	is_at(p, q);
}

static int memfd(const char *name)
{
	return memfd_of(name, OBJECT_PAGES, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static void *map_all(int fd, int prot)
{
	return map_shared(fd, OBJECT_PAGES, 0, prot);
}

static void memfd_once(void)
{
	void *p = map_all(memfd("a pool"), RW);

	is_at(p, p);
}

static void memfd_twice(void)
{
	int fd = memfd("a pool");

	is_at(map_all(fd, RW), map_all(fd, RW));
}

/* As processes that share attach again: never two at once. */
static void one_after_another(void)
{
	int fd = memfd("again");
	void *p;

	for (int i = 0; i < 3; i++) {
		p = map_all(fd, RW);
		touch(p, OBJECT_PAGES);
		CHECK(!munmap(p, OBJECT_PAGES * PAGE));
		/* what stays is elsewhere */
		CHECK(mmap(p, PAGE, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
			   0) == p);
	}
	p = map_all(fd, RW);
	is_at(p, p);
}

/* Parts that have no page in common. */
static void apart(void)
{
	int fd = memfd("apart");
	void *p = map_shared(fd, 1, 0, RW), *q = map_shared(fd, 2, 1, RW);

	is_at(p, q ? p : NULL);
}

/* Nobody but who has it mapped may write: one reader, one writer, as told. */
static void future_write(void)
{
	int fd = memfd("sealed later");
	void *p = map_all(fd, RW);

	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	is_at(p, map_all(fd, PROT_READ));
}

static void future_write_closed(void)
{
	int fd = memfd("sealed later");
	void *p = map_all(fd, RW);
	void *q;

	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL));
	q = map_all(fd, PROT_READ);
	CHECK(!close(fd));
	is_at(p, q);
}

static void unlink_path(void)
{
	unlink(path);
}
static void shm_unlink_path(void)
{
	shm_unlink(path);
}

static void named_shm(void)
{
	int fd;

	snprintf(path, sizeof(path), "/fork-shared-%d", (int)getpid());
	fd = shm_open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0);
	leave = shm_unlink_path;
	CHECK(!ftruncate(fd, OBJECT_PAGES * PAGE));
	is_at(map_all(fd, RW), map_all(fd, RW));
	CHECK(!close(fd));
}

static void named_file(void)
{
	int fd;

	strcpy(path, "/tmp/fork-shared-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	CHECK(fd >= 0);
	leave = unlink_path;
	CHECK(!ftruncate(fd, OBJECT_PAGES * PAGE));
	is_at(map_all(fd, RW), map_all(fd, RW));
}

static void unlinked_shm(void)
{
	named_shm();
	CHECK(!shm_unlink(path));
	leave = NULL;
}

static void unlinked_once(void)
{
	unlinked_shm();
	CHECK(!munmap((void *)two, OBJECT_PAGES * PAGE));
	two = one;
}

/* The number of a file that was an alias is another's now. */
static void reused(void)
{
	struct stat before, now;
	void *p, *q;
	int fd;

	fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0 && !ftruncate(fd, OBJECT_PAGES * PAGE));
	CHECK(!fstat(fd, &before));
	p = map_all(fd, RW);
	q = map_all(fd, RW);
	touch(p, OBJECT_PAGES);
	CHECK(!munmap(p, OBJECT_PAGES * PAGE));
	CHECK(!munmap(q, OBJECT_PAGES * PAGE) && !close(fd));
	fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	CHECK(fd >= 0 && !ftruncate(fd, OBJECT_PAGES * PAGE));
	CHECK(!fstat(fd, &now));
	if (now.st_ino != before.st_ino)
		SKIP("numbers are not used again here");
	p = map_all(fd, RW);
	is_at(p, p);
}

static void sysv(void)
{
	int id = shmget(IPC_PRIVATE, OBJECT_PAGES * PAGE, IPC_CREAT | 0600);
	void *p, *q;

	CHECK(id >= 0);
	p = shmat(id, NULL, 0);
	q = shmat(id, NULL, 0);
	CHECK(!shmctl(id, IPC_RMID, NULL));
	CHECK(p != (void *)-1 && q != (void *)-1);
	is_at(p, q);
}

/* ---- received ---- */

static union {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(int))];
} control;

static void send_fd(int to, int fd)
{
	struct iovec byte = {&control, 1};
	struct msghdr message = {.msg_iov = &byte,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};

	control.head.cmsg_level = SOL_SOCKET;
	control.head.cmsg_type = SCM_RIGHTS;
	control.head.cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	CHECK(sendmsg(to, &message, 0) == 1);
}

static int receive_fd(int from)
{
	char text;
	struct iovec byte = {&text, 1};
	struct msghdr message = {.msg_iov = &byte,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	int fd;

	CHECK(recvmsg(from, &message, MSG_CMSG_CLOEXEC) == 1);
	CHECK(control.head.cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof(fd));
	return fd;
}

static void received(void)
{
	int pair[2], fd;
	pid_t pid;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		send_fd(pair[0], memfd("sent"));
		_exit(0);
	}
	fd = receive_fd(pair[1]);
	talk_reap(pid);
	is_at(map_all(fd, RW), map_all(fd, RW));
	close(pair[0]);
	close(pair[1]);
}

/* From the program that was here before. */
static void inherited(void)
{
	const char *number = getenv(INHERITED);
	int fd = number ? atoi(number) : -1;

	CHECK(fd >= 0);
	is_at(map_all(fd, RW), map_all(fd, RW));
}

static void inherits(char **argv)
{
	char number[16];

	if (strcmp(argv[1], "inherited") || getenv(INHERITED))
		return;
	snprintf(number, sizeof(number), "%d",
		 memfd_of("handed on", OBJECT_PAGES, 0));
	CHECK(!setenv(INHERITED, number, 1));
	execv("/proc/self/exe", argv);
	CHECK(!"exec failed");
}

/* ---- the table ---- */

static const struct {
	const char *name;
	void (*make)(void);
} objects[] = {
	{"anon_once", anon_once},
	{"anon_moved", anon_moved},
	{"anon_cut", anon_cut},
	{"anon_twice", anon_twice},
	{"memfd_once", memfd_once},
	{"memfd_twice", memfd_twice},
	{"one_after_another", one_after_another},
	{"apart", apart},
	{"future_write", future_write},
	{"future_write_closed", future_write_closed},
	{"named_shm", named_shm},
	{"named_file", named_file},
	{"unlinked_shm", unlinked_shm},
	{"unlinked_once", unlinked_once},
	{"reused", reused},
	{"sysv", sysv},
	{"received", received},
	{"inherited", inherited},
};

int main(int argc, char **argv)
{
	bool shared;

	victim_begin();
	CHECK(argc == 3);
	inherits(argv);
	shared = !strcmp(argv[2], "shared");
	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
		if (!strcmp(argv[1], objects[i].name))
			objects[i].make();
	CHECK(one);
	pair_forks(one, two, shared);
	if (leave)
		leave();
	return 0;
}
