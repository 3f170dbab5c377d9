/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel offers to naming and to reports. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tool/doctor.h"
#include "tool/pagemap.h"
#include "tool/procfs.h"
#include "tool/vma.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* <linux/fs.h> of Linux 6.11. */
struct procmap_query {
	uint64_t size, flags, addr, start, end, vma_flags, page_size, offset,
		inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name_addr, build_id_addr;
};
#define PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)

/* <linux/userfaultfd.h> of Linux 6.1. */
#define USER_MODE_ONLY 1
#define IOC_NEW _IO(0xAA, 0x00)
#define FEATURE_WP_SHMEM (UINT64_C(1) << 12)

/* What distributions ship; programs with many mappings need it. */
#define USUAL_MAP_COUNT 65530

void doctor_kernel(struct doctor_result *result)
{
	struct utsname name;

	uname(&name);
	if (strcmp(name.machine, "x86_64") != 0)
		doctor_say(result, DOCTOR_LIMITED,
			   "use an x86_64 machine, the one that is tested",
			   "%s %s", name.release, name.machine);
	else
		doctor_say(result, DOCTOR_OK, NULL, "%s %s", name.release,
			   name.machine);
}

/* 0 or errno of naming a page of our own. */
static int name_page(int flags)
{
	size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  flags | MAP_ANONYMOUS, -1, 0);
	int error = 0;

	if (page == MAP_FAILED)
		return errno;
	if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, page, bytes,
		  "anonshim: doctor") != 0)
		error = errno;
	munmap(page, bytes);
	return error;
}

void doctor_vma_names(struct doctor_result *result)
{
	int private = name_page(MAP_PRIVATE), shared = name_page(MAP_SHARED);

	if (private != 0)
		doctor_say(result, DOCTOR_LIMITED,
			   "to see names in /proc/PID/smaps as well boot a "
			   "kernel with CONFIG_ANON_VMA_NAME=y",
			   "the kernel takes none (%s): names are kept in the "
			   "registry, where reports find them",
			   strerror(private));
	else if (shared != 0)
		doctor_say(result, DOCTOR_LIMITED,
			   "for those in /proc/PID/smaps boot Linux 6.2 or "
			   "newer",
			   "the kernel takes names, but not of shared memory "
			   "(%s)",
			   strerror(shared));
	else
		doctor_say(result, DOCTOR_OK, NULL,
			   "the kernel takes names: [anon:...] in "
			   "/proc/PID/smaps");
}

void doctor_smaps(struct doctor_result *result)
{
	struct vma_rollup rollup;
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);

	if (access("/proc/self/smaps", R_OK) != 0)
		doctor_say(result, DOCTOR_FAILED,
			   "mount /proc and boot a kernel with "
			   "CONFIG_PROC_PAGE_MONITOR=y",
			   "/proc/self/smaps: %s", strerror(errno));
	else if (fd < 0 || vma_rollup_read(&rollup, fd) != 0)
		doctor_say(result, DOCTOR_LIMITED, "boot Linux 4.14 or newer",
			   "no smaps_rollup: totals cannot be checked");
	else
		doctor_say(result, DOCTOR_OK, NULL,
			   "smaps and smaps_rollup can be read");
	if (fd >= 0)
		close(fd);
}

void doctor_pagemap(struct doctor_result *result)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct pagemap map;
	struct page_count count = {0, 0, 0};
	uint64_t bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t page = (uintptr_t)&map & ~(bytes - 1);
	int status;

	pagemap_init(&map, fd < 0 ? -errno : fd, bytes);
	status = map.counter.count(&map.counter, page, page + bytes, &count);
	if (status == 0 && count.exclusive + count.shared == 1)
		doctor_say(result, DOCTOR_OK, NULL, "pages can be counted%s",
			   map.can_scan ? ", empty ranges are skipped" : "");
	else
		doctor_say(result, DOCTOR_LIMITED,
			   "boot a kernel with CONFIG_PROC_PAGE_MONITOR=y",
			   "pages cannot be counted (%s): memory of several "
			   "owners in one VMA stays together",
			   strerror(-status));
	pagemap_destroy(&map);
}

void doctor_procmap_query(struct doctor_result *result)
{
	struct procmap_query query = {.size = sizeof(query)};
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	int status;

	query.addr = (uintptr_t)&query;
	status = fd >= 0 ? ioctl(fd, PROCMAP_QUERY, &query) : -1;
	if (status == 0)
		doctor_say(result, DOCTOR_OK, NULL,
			   "one VMA can be looked up without reading them all");
	else
		doctor_say(
			result, DOCTOR_LIMITED, "boot Linux 6.11 or newer",
			"no PROCMAP_QUERY (%s): stacks of threads are looked "
			"up in the text of /proc/self/maps",
			strerror(errno));
	if (fd >= 0)
		close(fd);
}

static int open_userfaultfd_device(void)
{
	int device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC), fd;

	if (device < 0)
		return -1;
	fd = ioctl(device, IOC_NEW, O_CLOEXEC);
	close(device);
	return fd;
}

/* 0 or errno of write-protecting shared memory, which is since Linux 5.19. */
static int protect_page(int fd)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_SHMEM,
	};
	size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register watch = {
		.range = {(uintptr_t)page, bytes},
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect protect = {
		.range = watch.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int error = 0;

	if (page == MAP_FAILED)
		return errno;
	if (ioctl(fd, UFFDIO_API, &api) != 0 ||
	    ioctl(fd, UFFDIO_REGISTER, &watch) != 0 ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &protect) != 0)
		error = errno;
	munmap(page, bytes);
	return error;
}

#define HALFWAY                                                                \
	"forks copy all of what is mapped twice, other threads' writes to it " \
	"may be seen halfway, and there are no snapshots"

/* There is none, for ERROR. */
static void say_without(struct doctor_result *result, int error)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | USER_MODE_ONLY);

	if (fd >= 0)
		close(fd);
	doctor_say(result, DOCTOR_LIMITED,
		   error == ENOSYS
			   ? "boot a kernel with CONFIG_USERFAULTFD=y"
			   : "sysctl vm.unprivileged_userfaultfd=1, or give "
			     "this user /dev/userfaultfd or CAP_SYS_PTRACE",
		   "%s (%s): " HALFWAY,
		   fd >= 0 ? "only for faults in user mode" : "not to be had",
		   strerror(error));
}

/*
 * A fork that copies shared memory holds what other threads write to it
 * meanwhile; the kernel's own writes (read(2) into it) as well, so faults in
 * user mode will not do.  Under a filter the shim does not try.
 */
void doctor_userfaultfd(struct doctor_result *result)
{
	const char *way = "the system call";
	int fd, error;

	if (prctl(PR_GET_SECCOMP) > 0) {
		doctor_say(result, DOCTOR_LIMITED,
			   "run without the seccomp filter (containers: "
			   "--security-opt seccomp=unconfined)",
			   "not tried under a seccomp filter: " HALFWAY);
		return;
	}
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	error = errno;
	if (fd < 0) {
		fd = open_userfaultfd_device();
		way = "/dev/userfaultfd";
	}
	if (fd < 0) {
		say_without(result, error);
		return;
	}
	error = protect_page(fd);
	close(fd);
	if (error != 0)
		doctor_say(result, DOCTOR_LIMITED, "boot Linux 5.19 or newer",
			   "shared memory cannot be write-protected "
			   "(%s): " HALFWAY,
			   strerror(error));
	else
		doctor_say(
			result, DOCTOR_OK, NULL,
			"writes of other threads wait while a fork copies "
			"shared memory; large copies are lazy, and there are "
			"snapshots; through %s",
			way);
}

void doctor_max_map_count(struct doctor_result *result)
{
	long count = doctor_sysctl("vm/max_map_count");

	if (count < 0)
		doctor_say(result, DOCTOR_LIMITED, "mount /proc",
			   "vm.max_map_count cannot be read");
	else if (count < USUAL_MAP_COUNT)
		doctor_say(result, DOCTOR_LIMITED,
			   "sysctl vm.max_map_count=262144",
			   "%ld VMAs a process: names that split VMAs give "
			   "way early",
			   count);
	else
		doctor_say(result, DOCTOR_OK, NULL, "%ld VMAs a process",
			   count);
}
