/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading a live process, which goes on while it is read.  One view of it is a
 * registry, a rollup, smaps and a rollup again; it is good if nothing moved
 * between the first and the last and everything adds up.  Else it is taken
 * again, a few times.
 */
#include "tool/subject.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool/cli.h"
#include "tool/recognise.h"
#include "tool/shim_locate.h"

#define TRIES 8
/* No try that would end later than this, going by the one before. */
#define PATIENCE_NS INT64_C(500000000)

/* The worse, the greater. */
enum view {
	VIEW_GOOD,
	VIEW_PSS_MOVED,	     /* other processes that share pages did move */
	VIEW_REGISTRY_MOVED, /* figures add up, but it mapped memory */
	VIEW_MOVED,	     /* figures do not add up */
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int fail_read(const struct subject *subject, const char *file, int error)
{
	char what[64], pid[64];

	snprintf(what, sizeof(what), "read %s of process", file);
	snprintf(pid, sizeof(pid), "%d", (int)subject->pid);
	if (error == -ESRCH || procfs_gone(&subject->proc))
		return cli_fail(what, pid, ESRCH, "it has ended");
	if (error == -EACCES || error == -EPERM)
		return cli_fail(what, pid, -error,
				"run anonshim as its user or as root");
	if (error == -EBADMSG)
		return cli_fail(what, pid, EBADMSG,
				"it is not what the kernel writes");
	return cli_fail(what, pid, -error, NULL);
}

static int fail_find(const struct subject *subject, int error)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", (int)subject->pid);
	return cli_fail("find process", pid, -error,
			error == -ESRCH ? "check the PID"
					: "see whether /proc is mounted");
}

static void read_names(struct subject *subject)
{
	char path[PATH_MAX];

	procfs_text(&subject->proc, "comm", subject->comm,
		    sizeof(subject->comm));
	if (procfs_link(&subject->proc, "exe", path, sizeof(path)) > 0)
		subject->exe = vma_basename(path, &subject->pool);
	else
		subject->exe = strpool_add(&subject->pool, subject->comm);
}

static int read_vmas(struct subject *subject, const char *file)
{
	int fd = procfs_file(&subject->proc, file);
	int status = fd;

	vma_list_destroy(&subject->vmas);
	if (fd >= 0) {
		status = vma_list_read(&subject->vmas, fd, &subject->pool);
		close(fd);
	}
	return status < 0 ? fail_read(subject, file, status) : CLI_OK;
}

/* 0, -ENOENT where the kernel has none (before 4.14), or -errno. */
static int read_rollup(const struct subject *subject, struct vma_rollup *rollup)
{
	int fd = procfs_file(&subject->proc, "smaps_rollup");
	int status = fd;

	if (fd >= 0) {
		status = vma_rollup_read(rollup, fd);
		close(fd);
	}
	return status < 0 ? status : 0;
}

/* Holds the VMAs' sums against what the kernel says of the whole. */
static enum view check_sums(struct subject *subject,
			    const struct vma_rollup *before,
			    const struct vma_rollup *after)
{
	struct vma_rollup sum;

	vma_list_sum(&subject->vmas, &sum);
	if (before->rss_kib != after->rss_kib ||
	    before->swap_kib != after->swap_kib ||
	    sum.rss_kib != after->rss_kib || sum.swap_kib != after->swap_kib)
		return VIEW_MOVED;
	switch (vma_list_mend_pss(&subject->vmas, after->pss_kib)) {
	case VMA_MEND_ROUNDED:
		return VIEW_GOOD;
	case VMA_MEND_DRIFTED:
		return VIEW_PSS_MOVED;
	case VMA_MEND_FAILED:
		break;
	}
	return VIEW_MOVED;
}

/* Reads the registry at `head`; without one that is fit to read, says why. */
static void read_registry(struct subject *subject, uint64_t head)
{
	struct registry *reg = &subject->registry;
	int status;

	registry_destroy(reg);
	status = registry_read(reg, subject->space, head);
	subject->has_registry = status == 0;
	if (status == -EBADMSG)
		cli_note("the registry of process %d cannot be used: %s; "
			 "showing what smaps alone tells",
			 (int)subject->pid, reg->why);
}

/* One view: *view, and CLI_OK or CLI_FAILED after a line on stderr. */
static int take_view(struct subject *subject, uint64_t head, enum view *view)
{
	struct vma_rollup before, after;
	int status, missing;

	if (subject->has_registry)
		read_registry(subject, head);
	missing = read_rollup(subject, &before);
	status = read_vmas(subject, "smaps");
	if (status != CLI_OK)
		return status;
	if (missing == 0)
		missing = read_rollup(subject, &after);
	if (missing != 0 && missing != -ENOENT)
		return fail_read(subject, "smaps_rollup", missing);
	*view = missing == 0 ? check_sums(subject, &before, &after) : VIEW_GOOD;
	if (*view < VIEW_REGISTRY_MOVED && subject->has_registry &&
	    registry_moved(&subject->registry, subject->space))
		*view = VIEW_REGISTRY_MOVED;
	return CLI_OK;
}

static void tell_view(const struct subject *subject, enum view view)
{
	if (view == VIEW_MOVED)
		cli_note("process %d is too busy for a consistent view: its "
			 "figures changed while they were read; try again or "
			 "stop it meanwhile (kill -STOP)",
			 (int)subject->pid);
	else if (view == VIEW_REGISTRY_MOVED)
		cli_note("process %d maps memory all the time: the figures "
			 "are the kernel's, but an owner may be a moment old",
			 (int)subject->pid);
}

static void tell_registry(const struct subject *subject, enum view view)
{
	const struct registry *reg = &subject->registry;

	if (reg->torn && view < VIEW_REGISTRY_MOVED)
		cli_note("the registry of process %d is being written and "
			 "does not come to rest; an owner may be stale",
			 (int)subject->pid);
	if (reg->bad + reg->overlaps > 0)
		cli_note("the registry of process %d is damaged: left out "
			 "%llu entries that make no sense and %llu regions "
			 "that overlap others",
			 (int)subject->pid, (unsigned long long)reg->bad,
			 (unsigned long long)reg->overlaps);
	if ((reg->head.flags & REGISTRY_INEXACT) != 0)
		cli_note("the registry of process %d missed something and is "
			 "about to be mended; some owners may be stale",
			 (int)subject->pid);
}

static int take_good_view(struct subject *subject, uint64_t head)
{
	int64_t start = now_ns(), last = 0, now = start;
	enum view view = VIEW_MOVED;

	for (int try = 0; try < TRIES && view != VIEW_GOOD; try++) {
		int status;

		if (now + last > start + PATIENCE_NS)
			break;
		status = take_view(subject, head, &view);
		if (status != CLI_OK)
			return status;
		last = now_ns() - now;
		now += last;
	}
	tell_view(subject, view);
	if (subject->has_registry)
		tell_registry(subject, view);
	return CLI_OK;
}

/* Why there is no registry to read, and what to do about it. */
static void tell_without(const struct subject *subject, int status)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", (int)subject->pid);
	if (status == -ENOENT)
		cli_note("process %s does not run under anonshim: showing "
			 "what smaps alone tells; start it with anonshim run",
			 pid);
	else if (status == -EAGAIN)
		cli_note("process %s has anonshim loaded but no registry: "
			 "showing what smaps alone tells; see "
			 "ANONSHIM_OPTIONS=enable,naming",
			 pid);
	else
		cli_fail("read the memory of process", pid, -status,
			 status == -EPERM
				 ? "showing what smaps alone tells; run as "
				   "root or set kernel.yama.ptrace_scope=0"
				 : "showing what smaps alone tells");
}

/* A program always has VMAs, until it ends. */
static int check_has_memory(const struct subject *subject)
{
	char pid[32];

	if (subject->vmas.count > 0)
		return CLI_OK;
	if (!procfs_is_kernel_thread(&subject->proc))
		return fail_read(subject, "smaps", -ESRCH);
	snprintf(pid, sizeof(pid), "%d", (int)subject->pid);
	return cli_fail_text("read memory of process", pid,
			     "it is a thread of the kernel",
			     "give the PID of a program");
}

static int find_registry(struct subject *subject, uint64_t *head)
{
	int status = read_vmas(subject, "maps");

	if (status == CLI_OK)
		status = check_has_memory(subject);
	if (status != CLI_OK)
		return status;
	status = shim_locate(&subject->vmas, subject->space, head);
	subject->has_registry = status == 0;
	subject->without = status;
	return CLI_OK;
}

/* Files that the registry knows as modules get the owner it gives them. */
static void own_files(struct subject *subject)
{
	const struct registry *reg = &subject->registry;

	for (uint64_t m = 1; m < reg->nmodules; m++) {
		const struct registry_module *module = &reg->modules[m];
		const char *owner = registry_string(reg, module->owner);
		struct vma_list *vmas = &subject->vmas;

		if (module->unloaded != 0 || owner[0] == '\0')
			continue;
		for (size_t i = vma_list_lower(vmas, module->start);
		     i < vmas->count && vmas->v[i].end <= module->end; i++)
			if (vmas->v[i].class == VMA_FILE)
				vmas->v[i].owner =
					strpool_add(&subject->pool, owner);
	}
}

static void claim_memory(struct subject *subject)
{
	struct claim_list found[2] = {{NULL, 0, 0}, {NULL, 0, 0}};
	const struct recognise r = {
		.vmas = &subject->vmas,
		.space = subject->space,
		.pagemap = &subject->pagemap,
		.proc = &subject->proc,
		.page_bytes = subject->page_bytes,
		.pool = &subject->pool,
	};

	if (subject->has_registry) {
		own_files(subject);
		claim_list_from_registry(&subject->claims, &subject->registry,
					 &subject->vmas, &subject->pool);
	}
	recognise_bss(&r, &found[0]);
	claim_list_merge(&subject->claims, &found[0]);
	recognise_malloc(&r, &subject->claims, &found[1]);
	claim_list_merge(&subject->claims, &found[1]);
	claim_list_destroy(&found[0]);
	claim_list_destroy(&found[1]);
	subject->names_from_kernel =
		!subject->has_registry ||
		(subject->registry.head.flags & REGISTRY_NAMES_KERNEL) != 0;
}

int subject_open_live(struct subject *subject, const char *proc, pid_t pid)
{
	uint64_t head = 0;
	int status;

	memset(subject, 0, sizeof(*subject));
	subject->pid = pid;
	subject->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	subject->space = &subject->mem.space;
	subject->counter = &subject->pagemap.counter;
	subject->pagemap.fd = -1;
	procmem_init(&subject->mem, pid);
	status = procfs_open(&subject->proc, proc, pid);
	if (status != 0)
		return fail_find(subject, status);
	read_names(subject);
	pagemap_init(&subject->pagemap, procfs_file(&subject->proc, "pagemap"),
		     subject->page_bytes);
	status = find_registry(subject, &head);
	if (status == CLI_OK)
		status = take_good_view(subject, head);
	if (status == CLI_OK)
		status = check_has_memory(subject);
	if (status != CLI_OK)
		return status;
	if (subject->without != 0)
		tell_without(subject, subject->without);
	claim_memory(subject);
	return CLI_OK;
}
