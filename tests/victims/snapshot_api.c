/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * snapshot_api WHICH: what the functions of anonshim.h about snapshots, and
 * those about all mappings of a region, promise.
 *
 *	errors, limited, changes, watch, stats
 *	protect	through all mappings, or none
 *	passed	a region's descriptor, to a child by SCM_RIGHTS
 *	exec	and to a program by its number
 *	share FD	that program
 *	wait	with 48 pages saved and 20 of a view read, to be looked at
 */
#include "snapshot_help.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define TWIN_PAGES 64UL
#define RANGES 8

static struct twin twin;
static char *program;

#define FAILS(call, err) CHECK((call) == -1 && errno == (err))

static void errors(void)
{
	struct anonshim_snapshot_stats s = {.size = 4};
	struct anonshim_range range;
	size_t n = 1;
	void *p = NULL, *private = anon(1);
	uint64_t a, b, other;
	struct twin second;
	int fd;

	FAILS(anonshim_snapshot_take(NULL, &a), EINVAL);
	FAILS(anonshim_snapshot_take(private, &a), EINVAL);
	FAILS(anonshim_snapshot_take((void *)twin.one, NULL), EINVAL);
	FAILS(anonshim_snapshot_watch((void *)twin.one, &fd), EINVAL);
	FAILS(anonshim_snapshot_watch(private, &fd), EINVAL);
	FAILS(anonshim_snapshot_view(0, &p), EINVAL);
	FAILS(anonshim_snapshot_view(UINT64_MAX, &p), EINVAL);
	FAILS(anonshim_snapshot_release(0), EINVAL);
	FAILS(anonshim_snapshot_release(1), EINVAL);
	memory_make(&second, 2, KIND_REGION);
	a = take(twin.one);
	b = take(twin.two);
	other = take(second.one);
	CHECK(a != b && b != other);
	FAILS(anonshim_snapshot_view(a, NULL), EINVAL);
	FAILS(anonshim_snapshot_watch((void *)twin.one, NULL), EINVAL);
	FAILS(anonshim_snapshot_changes(a, b, 0, &range, NULL), EINVAL);
	FAILS(anonshim_snapshot_changes(a, b, 0, NULL, &n), EINVAL);
	FAILS(anonshim_snapshot_changes(b, a, 0, &range, &n), EINVAL);
	FAILS(anonshim_snapshot_changes(a, other, 0, &range, &n), EINVAL);
	FAILS(anonshim_snapshot_changes(0, a, 0, &range, &n), EINVAL);
	FAILS(anonshim_snapshot_stats(NULL), EINVAL);
	FAILS(anonshim_snapshot_stats(&s), EINVAL);
	errno = 17;
	CHECK(!anonshim_snapshot_release(a) && errno == 17);
	FAILS(anonshim_snapshot_release(a), EINVAL);
	FAILS(anonshim_snapshot_view(a, &p), EINVAL);
	FAILS(anonshim_snapshot_changes(a, 0, 0, &range, &n), EINVAL);
	CHECK(take(twin.one) != a); /* a number is never used again */
	FAILS(anonshim_region_fd(private, &fd), EINVAL);
	FAILS(anonshim_region_fd((void *)twin.one, NULL), EINVAL);
	FAILS(anonshim_region_protect(private, 0, 0, RW), EINVAL);
	FAILS(anonshim_region_protect((void *)twin.one, 1, 0, RW), EINVAL);
	FAILS(anonshim_region_protect((void *)twin.one, 0,
				      (TWIN_PAGES + 1) * PAGE, RW),
	      EINVAL);
	CHECK(!anonshim_snapshot_view(b, &p));
	FAILS(anonshim_region_fd(p, &fd), EBADF);
}

static void expect(uint64_t since, uint64_t until, uint64_t from,
		   const struct anonshim_range *want, size_t count)
{
	struct anonshim_range range[RANGES];
	size_t n = RANGES;

	CHECK(!anonshim_snapshot_changes(since, until, from, range, &n));
	if (n != count)
		wrong("%zu ranges, not %zu", n, count);
	for (size_t i = 0; i < n; i++)
		if (range[i].offset != want[i].offset * PAGE ||
		    range[i].len != want[i].len * PAGE)
			wrong("range %zu is %lu, %lu", i, range[i].offset,
			      range[i].len);
}

/* A limit on files ends nobody who wants memory. */
static void limited(void)
{
	struct rlimit limit;
	void *p = NULL;

	CHECK(!getrlimit(RLIMIT_FSIZE, &limit));
	limit.rlim_cur = PAGE;
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	CHECK(!anonshim_region_create(&p, 2 * PAGE, 0, NULL));
	CHECK(!anonshim_region_destroy(p));
	CHECK(!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur == PAGE);
	limit.rlim_max = PAGE;
	CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
	FAILS(anonshim_region_create(&p, 2 * PAGE, 0, NULL), ENOMEM);
}

static void changes(void)
{
	const struct anonshim_range first[] = {{1, 2}, {9, 1}};
	const struct anonshim_range both[] = {{1, 3}, {9, 1}, {63, 1}};
	const struct anonshim_range last[] = {{2, 2}, {63, 1}};
	struct anonshim_range one;
	uint64_t a = take(twin.one), b;
	size_t n = 1;

	expect(a, a, 0, NULL, 0);
	expect(a, 0, 0, NULL, 0);
	twin.one[WORDS] = twin.two[2 * WORDS] = twin.one[9 * WORDS + 3] = 1;
	expect(a, 0, 0, first, 2);
	b = take(twin.two);
	expect(b, 0, 0, NULL, 0);
	expect(a, b, 0, first, 2);
	twin.two[2 * WORDS] = twin.one[3 * WORDS] = 2;
	twin.two[64 * WORDS - 1] = 3;
	expect(a, b, 0, first, 2);
	expect(b, 0, 0, last, 2);
	expect(a, 0, 0, both, 3);
	expect(a, 0, 9 * PAGE, both + 1, 2);
	/* as many as fit are there, and it is said how many there are */
	CHECK(!anonshim_snapshot_changes(a, 0, 0, &one, &n));
	CHECK(n == 3 && one.offset == PAGE && one.len == 3 * PAGE);
	n = 0;
	CHECK(!anonshim_snapshot_changes(a, 0, 0, NULL, &n) && n == 3);
	CHECK(!anonshim_snapshot_release(b));
	expect(a, 0, 0, both, 3);
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	CHECK(poll(&p, 1, 0) >= 0);
	CHECK(!(p.revents & ~POLLIN));
	return p.revents;
}

static void watch(void)
{
	uint64_t a = take(twin.one);
	pid_t child;
	int fd, late;

	CHECK(!anonshim_snapshot_watch((void *)twin.two, &fd));
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	CHECK(!is_readable(fd));
	(void)twin.one[7];
	CHECK(!is_readable(fd));
	twin.one[7] = 1;
	CHECK(is_readable(fd));
	CHECK(!anonshim_snapshot_release(take(twin.one)));
	CHECK(!is_readable(fd));
	twin.two[8 * WORDS] = 1;
	CHECK(is_readable(fd));
	take(twin.one);
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		twin.one[3] = 4; /* its own */
		_exit(0);
	}
	talk_reap(child);
	CHECK(!is_readable(fd));
	if (twin.fd >= 0) {
		CHECK(pwrite(twin.fd, "x", 1, 0) == 1);
		CHECK(is_readable(fd));
	}
	/* one that comes late is told too */
	twin.one[9] = 1;
	CHECK(!anonshim_snapshot_watch((void *)twin.two, &late));
	CHECK(is_readable(late));
	CHECK(!close(fd) && !close(late));
	twin.one[20 * WORDS] = 1;
	CHECK(!anonshim_snapshot_release(a));
}

static void stats(void)
{
	struct anonshim_snapshot_stats s = stats_now();
	uint64_t a, b;
	volatile uint64_t *v;

	CHECK(s.size == sizeof(s) && s.version >= 3);
	nothing_is_held();
	a = take(twin.one);
	b = take(twin.one);
	CHECK(stats_now().snapshots == 2 && !stats_now().saved_bytes);
	twin.one[0] = twin.two[1] = twin.one[5 * WORDS] = 1;
	CHECK(stats_now().saved_bytes == 2 * PAGE);
	v = view(a);
	CHECK(stats_now().views == 1 && !stats_now().view_bytes);
	CHECK(!v[0] && !v[5 * WORDS + 1] && !v[9 * WORDS]);
	CHECK(stats_now().view_bytes == 3 * PAGE);
	CHECK(!anonshim_snapshot_release(a));
	CHECK(stats_now().snapshots == 2);
	view_end(v);
	CHECK(stats_now().snapshots == 1 && !stats_now().view_bytes);
	CHECK(!anonshim_snapshot_release(b));
	nothing_is_held();
}

/* ---- protection ---- */

static bool is_writable(volatile void *p)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	bool is;

	CHECK(fd >= 0);
	is = read(fd, (void *)p, 1) == 1;
	CHECK(is || errno == EFAULT);
	close(fd);
	return is;
}

static void both(size_t page, bool writable)
{
	if (is_writable(twin.one + page * WORDS) != writable ||
	    is_writable(twin.two + page * WORDS) != writable)
		wrong("page %zu is%s writable", page, writable ? " not" : "");
}

static void protect(void)
{
	void *p = (void *)twin.one;

	CHECK(!anonshim_region_protect(p, 2 * PAGE, 3 * PAGE, PROT_READ));
	both(1, true);
	both(2, false);
	both(4, false);
	both(5, true);
	take(p);
	CHECK(!anonshim_region_protect(p, 4 * PAGE, 0, PROT_NONE));
	both(3, false);
	both(TWIN_PAGES - 1, false);
	CHECK(!anonshim_region_protect(p, 0, 0, RW));
	both(2, true);
	both(TWIN_PAGES - 1, true);
	/* the first two mappings could be: the kernel refuses the third */
	CHECK(!mprotect((void *)twin.two, PAGE, PROT_READ | PROT_EXEC));
	if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		return;
	FAILS(anonshim_region_protect(p, 0, 0, PROT_READ | PROT_EXEC), EACCES);
	both(1, true);
	both(TWIN_PAGES - 1, true);
	CHECK(is_writable(twin.one) && !is_writable(twin.two));
}

/* ---- other processes ---- */

static void send_fd(int to, int fd)
{
	char control[CMSG_SPACE(sizeof(fd))] = {0};
	struct iovec vec = {(char[]){'x'}, 1};
	struct msghdr m = {.msg_iov = &vec,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	CHECK(sendmsg(to, &m, 0) == 1);
}

static int receive_fd(int from)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec vec = {&byte, 1};
	struct msghdr m = {.msg_iov = &vec,
			   .msg_iovlen = 1,
			   .msg_control = control,
			   .msg_controllen = sizeof(control)};
	int fd;

	CHECK(recvmsg(from, &m, 0) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* Who has the descriptor shares the memory, and writes to it. */
static void shared_by(int fd)
{
	volatile uint64_t *p = map_shared(fd, TWIN_PAGES, 0, RW);

	if (p[WORDS] != 11)
		wrong("the other process does not see it");
	p[WORDS] = 12;
}

static void passed(void)
{
	int ends[2], fd;
	pid_t child;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	twin.one[WORDS] = 11;
	child = fork();
	CHECK(child >= 0);
	if (!child) {
		whoami = "child";
		twin.one[WORDS] = 99; /* its own copy */
		shared_by(receive_fd(ends[1]));
		CHECK(twin.two[WORDS] == 99);
		_exit(0);
	}
	CHECK(!anonshim_region_fd((void *)twin.two, &fd));
	send_fd(ends[0], fd);
	talk_reap(child);
	CHECK(twin.one[WORDS] == 12 && twin.two[WORDS] == 12);
}

static void executed(void)
{
	char number[16];
	pid_t child;
	int fd;

	CHECK(!anonshim_region_fd((void *)twin.two, &fd));
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(!fcntl(fd, F_SETFD, 0));
	twin.one[WORDS] = 11;
	snprintf(number, sizeof(number), "%d", fd);
	child = vfork();
	CHECK(child >= 0);
	if (!child) {
		execl(program, program, "share", number, (char *)NULL);
		_exit(1);
	}
	talk_reap(child);
	CHECK(twin.one[WORDS] == 12 && twin.two[WORDS] == 12);
}

static void waits(void)
{
	volatile uint64_t *v;
	uint64_t id;

	for (size_t i = 0; i < TWIN_PAGES; i++)
		page_put(twin.one, i, i);
	id = take(twin.one);
	for (size_t i = 0; i < 48; i++)
		page_put(twin.two, i, 1000 + i);
	v = view(id);
	for (size_t i = 0; i < 20; i++)
		page_see(v, 3 * i, 3 * i, "a view");
	victim_wait();
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} list[] = {
		{"errors", errors}, {"limited", limited}, {"changes", changes},
		{"watch", watch},   {"stats", stats},	  {"protect", protect},
		{"passed", passed}, {"exec", executed},	  {"wait", waits},
	};

	victim_begin();
	CHECK(argc >= 2);
	program = argv[0];
	if (!strcmp(argv[1], "share")) {
		shared_by(atoi(argv[2]));
		return 0;
	}
	memory_make(&twin, TWIN_PAGES, KIND_REGION);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		if (!strcmp(argv[1], list[i].name)) {
			list[i].run();
			return 0;
		}
	wrong("%s is nothing", argv[1]);
}
