/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_keeps: prints what a child and its parent have after a fork, that is to
 * be the same with objects of the child's own as with shared ones: mappings
 * with protections, names and flags, descriptors, sizes, seals, holes, errno
 * and the signal mask.
 */
#include "fork_help.h"

#define RW (PROT_READ | PROT_WRITE)
#define OBJECT_PAGES 16
#define SPARSE_PAGES (1UL << 14)
#define ADDRESSES_MAX 32
#define TEXT_BYTES (1 << 20)
#define A_VALUE 4095 /* no errno */

static char *address[ADDRESSES_MAX];
static unsigned addresses;
static int fds[ADDRESSES_MAX];
static unsigned fds_of;
static ino_t inode_before;
static char text[TEXT_BYTES];

/* ---- mappings ---- */

static void *keep(void *p)
{
	CHECK(p != MAP_FAILED && addresses < ADDRESSES_MAX);
	address[addresses++] = p;
	return p;
}

static int keep_fd(int fd)
{
	CHECK(fd >= 0);
	return fds[fds_of++] = fd;
}

static void with_guards(int fd)
{
	char *p = keep(map_shared(fd, OBJECT_PAGES, 0, RW));
	char *q = keep(map_shared(fd, OBJECT_PAGES / 2, 3, PROT_READ));

	CHECK(!mprotect(p + 4 * PAGE, 2 * PAGE, PROT_NONE));
	CHECK(!mprotect(p + 8 * PAGE, PAGE, PROT_READ));
	CHECK(!mprotect(q + 2 * PAGE, PAGE, PROT_READ | PROT_EXEC));
	CHECK(!munmap(q + 5 * PAGE, PAGE));
	keep(p + 4 * PAGE);
	keep(p + 6 * PAGE);
	keep(p + 8 * PAGE);
	keep(p + 9 * PAGE);
	keep(q + 2 * PAGE);
	keep(q + 3 * PAGE);
	keep(q + 6 * PAGE);
	touch(p, 4);
}

static void with_advice(int fd)
{
	static const int advice[] = {MADV_HUGEPAGE,   MADV_NOHUGEPAGE,
				     MADV_DONTDUMP,   MADV_RANDOM,
				     MADV_SEQUENTIAL, MADV_DONTFORK};
	char *p;

	for (size_t i = 0; i < sizeof(advice) / sizeof(*advice); i++) {
		p = keep(map_shared(fd, OBJECT_PAGES, 0, RW));
		if (madvise(p, OBJECT_PAGES * PAGE, advice[i]))
			CHECK(errno == EINVAL); /* a kernel without */
	}
	p = keep(map_shared(fd, OBJECT_PAGES, 0, RW));
	CHECK(!mlock(p, OBJECT_PAGES * PAGE));
	/* part of one mapping only */
	p = keep(map_shared(fd, OBJECT_PAGES, 0, RW));
	CHECK(!madvise(p + 2 * PAGE, PAGE, MADV_DONTFORK));
	keep(p + 2 * PAGE);
	keep(p + 3 * PAGE);
}

static void with_holes(void)
{
	int fd = keep_fd(memfd_of("of holes", SPARSE_PAGES, 0));
	char *p = keep(map_shared(fd, SPARSE_PAGES, 0, RW));

	keep(map_shared(fd, SPARSE_PAGES, 0, RW));
	p[5 * PAGE] = p[(SPARSE_PAGES - 1) * PAGE] = 1;
}

static void with_descriptors(int fd)
{
	char path[64];
	int other;

	CHECK(lseek(fd, 1234, SEEK_SET) == 1234);
	keep_fd(dup(fd));
	keep_fd(fcntl(fd, F_DUPFD_CLOEXEC, 200));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	keep_fd(open(path, O_RDONLY | O_CLOEXEC));
	other = keep_fd(open(path, O_RDWR | O_APPEND));
	CHECK(lseek(other, 77, SEEK_SET) == 77);
	other = keep_fd(open(path, O_RDWR));
	CHECK(!fcntl(other, F_SETFL, O_NONBLOCK));
	CHECK(write(other, "12345", 5) == 5);
	keep_fd(open(path, O_PATH | O_CLOEXEC));
}

/* That nobody may execute, if the kernel knows of that. */
static void with_no_exec(void)
{
	int fd = memfd_create("of\ndata", 8 /* MFD_NOEXEC_SEAL */);

	if (fd < 0)
		return;
	CHECK(!ftruncate(fd, (off_t)PAGE));
	keep_fd(fd);
	keep(map_shared(fd, 1, 0, RW));
	keep(map_shared(fd, 1, 0, RW));
}

static void make_all(void)
{
	int fd = keep_fd(memfd_of("of guards", OBJECT_PAGES,
				  MFD_CLOEXEC | MFD_ALLOW_SEALING));
	int advised = keep_fd(memfd_of("of advice", OBJECT_PAGES, 0));
	struct stat st;
	char *p;

	CHECK(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
	with_guards(fd);
	with_advice(advised);
	with_holes();
	with_descriptors(fd);
	with_no_exec();
	/* no descriptor, and a size that is no whole page */
	fd = memfd_of("closed", 3, 0);
	CHECK(!ftruncate(fd, 2 * PAGE + 100));
	keep(map_shared(fd, 3, 0, RW));
	keep(map_shared(fd, 3, 0, PROT_READ));
	CHECK(!close(fd));
	p = mmap(NULL, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	keep(p);
	keep(mremap(p + PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE));
	CHECK(!fstat(fds[0], &st));
	inode_before = st.st_ino;
}

/* ---- what there is ---- */

static void file_read(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	CHECK(fd >= 0);
	while ((n = read(fd, text + used, TEXT_BYTES - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	text[used] = '\0';
}

/* The line that ADDR's mapping begins with in smaps, or NULL. */
static char *smaps_of(const char *addr)
{
	unsigned long start, end;
	char *line = text;

	while (*line) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 &&
		    (unsigned long)addr >= start && (unsigned long)addr < end)
			return line;
		line = strchr(line, '\n') + 1;
	}
	return NULL;
}

static void cut_word(char *flags, const char *word)
{
	char *at = strstr(flags, word);

	if (at)
		memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

/* All but addresses, inode and device, and flags that come and go. */
static void print_mapping(unsigned i)
{
	char *line = smaps_of(address[i]);
	unsigned long start, end, offset;
	char prot[5], name[64] = "", flags[128];

	if (!line) {
		printf("mapping %u: none\n", i);
		return;
	}
	CHECK(sscanf(line, "%lx-%lx %4s %lx %*s %*s %63[^\n]", &start, &end,
		     prot, &offset, name) >= 4);
	CHECK(sscanf(strstr(line, "VmFlags:"), "%127[^\n]", flags) == 1);
	cut_word(flags, "sd "); /* soft-dirty */
	cut_word(flags, "nr "); /* nothing is reserved for shared memory */
	/* anonymous memory has a name of the kernel's, or of the shim's */
	if (!strstr(name, "memfd:of") && !strstr(name, "memfd:closed"))
		strcpy(name, "-");
	printf("mapping %u: %s %lx+%lx %s %s\n", i, prot,
	       offset + ((unsigned long)address[i] - start),
	       end - (unsigned long)address[i], name, flags);
}

static void print_fd(int fd)
{
	char path[32], name[64] = "";
	struct stat st;

	CHECK(!fstat(fd, &st));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(readlink(path, name, sizeof(name) - 1) > 0);
	printf("descriptor %d is %s\n", fd, name);
	printf("descriptor %d: at %ld, FD %x, FL %x, %ld bytes, %ld blocks, "
	       "seals %x, links %lu, mode %o\n",
	       fd, (long)lseek(fd, 0, SEEK_CUR), (unsigned)fcntl(fd, F_GETFD),
	       (unsigned)fcntl(fd, F_GETFL), (long)st.st_size,
	       (long)st.st_blocks, (unsigned)fcntl(fd, F_GET_SEALS),
	       (unsigned long)st.st_nlink, (unsigned)st.st_mode);
}

static size_t count_lines(void)
{
	size_t n = 0;

	file_read("/proc/self/maps");
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		n++;
	return n;
}

static void print_mask(void)
{
	sigset_t mask;

	CHECK(!sigprocmask(SIG_BLOCK, NULL, &mask));
	for (int i = 1; i < 65; i++)
		if (sigismember(&mask, i) == 1)
			printf("blocked: %d\n", i);
}

static void print_all(const char *who, int error)
{
	printf("%s: errno %d\n", who, error);
	print_mask();
	for (unsigned i = 0; i < fds_of; i++)
		print_fd(fds[i]);
	file_read("/proc/self/smaps");
	for (unsigned i = 0; i < addresses; i++)
		print_mapping(i);
	/* sealed it stays */
	CHECK(ftruncate(fds[0], PAGE) < 0 && errno == EPERM);
	CHECK(ftruncate(fds[0], 100 * PAGE) < 0 && errno == EPERM);
	fflush(stdout);
}

/* Private, if this is under the shim. */
static void check_private(void)
{
	struct stat st;

	CHECK(!fstat(fds[0], &st));
	if ((st.st_ino != inode_before) != anonshim_available())
		wrong("not the object that should be here");
	if (anonshim_available())
		address[0][0] = address[addresses - 2][PAGE] = 99;
}

int main(int argc, char **argv)
{
	size_t open_before, maps_before;
	struct talk talk;
	sigset_t mask;
	int error;
	pid_t pid;

	victim_begin();
	setvbuf(stdout, NULL, _IOFBF, 0);
	make_all();
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	CHECK(!sigprocmask(SIG_BLOCK, &mask, NULL));
	print_all("before", 0);
	talk_open(&talk);
	open_before = count_fds();
	maps_before = count_lines();
	errno = A_VALUE;
	pid = argc > 1 ? _Fork() : fork();
	error = errno;
	CHECK(pid >= 0);
	printf("descriptors: %+d\n", (int)(count_fds() - open_before));
	/* two of DONTFORK are not there in the child, nor is a middle */
	printf("mappings: %+d\n", (int)(count_lines() - maps_before));
	talk_split(&talk, pid);
	if (!pid) {
		print_all("child", error);
		check_private();
		fflush(stdout);
		talk_end(&talk);
	}
	talk_end(&talk);
	print_all("parent", error);
	CHECK(!anonshim_available() || address[0][0] != 99);
	return 0;
}
