/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking at a program before it is started.  What is found out here only
 * decides on a message and on whether to preload; the kernel finds it out
 * again by itself.
 */
#include "tool/target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tool/elf_sym.h"

/* The kernel follows four interpreters of interpreters. */
#define MOST_INTERPRETERS 5
#define LINE_BYTES 256 /* BINPRM_BUF_SIZE */

static int check_executable(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return access(path, X_OK) == 0 ? 0 : -errno;
}

/* One directory of PATH, an empty one being the current. */
static int try_dir(const char *dir, size_t len, const char *command, char *path)
{
	if (snprintf(path, PATH_MAX, "%.*s%s%s", (int)len, dir,
		     len > 0 ? "/" : "", command) >= PATH_MAX)
		return -ENAMETOOLONG;
	return check_executable(path);
}

/* As execvp: a file that must not be executed is passed over, but told. */
static int search_path(const char *command, char *path)
{
	const char *dirs = getenv("PATH");
	int result = -ENOENT;

	if (dirs == NULL)
		dirs = "/bin:/usr/bin";
	for (;;) {
		size_t len = strcspn(dirs, ":");
		int status = try_dir(dirs, len, command, path);

		if (status == 0)
			return 0;
		if (status == -EACCES)
			result = -EACCES;
		if (dirs[len] == '\0')
			return result;
		dirs += len + 1;
	}
}

static int find(const char *command, char *path)
{
	if (command[0] == '\0')
		return -ENOENT;
	if (strchr(command, '/') == NULL)
		return search_path(command, path);
	if (snprintf(path, PATH_MAX, "%s", command) >= PATH_MAX)
		return -ENAMETOOLONG;
	return check_executable(path);
}

/* The word after #!: false where there is none. */
static bool interpreter_of(const char *line, size_t len, char *path)
{
	char text[LINE_BYTES + 1];
	char *from = text + 2;

	memcpy(text, line, len);
	text[len] = '\0';
	if (strncmp(text, "#!", 2) != 0)
		return false;
	from += strspn(from, " \t");
	from[strcspn(from, " \t\n")] = '\0';
	snprintf(path, PATH_MAX, "%s", from);
	return from[0] != '\0';
}

static bool has_interpreter(int fd, const ElfW(Ehdr) * ehdr)
{
	for (size_t i = 0; i < ehdr->e_phnum; i++) {
		ElfW(Phdr) phdr;
		off_t at = (off_t)(ehdr->e_phoff + i * sizeof(phdr));

		if (pread(fd, &phdr, sizeof(phdr), at) != sizeof(phdr))
			return false;
		if (phdr.p_type == PT_INTERP)
			return true;
	}
	return false;
}

static uint16_t own_machine(void)
{
	ElfW(Ehdr) self;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	ssize_t got = fd >= 0 ? read(fd, &self, sizeof(self)) : -1;

	if (fd >= 0)
		close(fd);
	return got == sizeof(self) ? self.e_machine : EM_NONE;
}

static void look_at_elf(struct target *target, int fd, const ElfW(Ehdr) * ehdr)
{
	if (!elf_sym_is_native(ehdr) || ehdr->e_machine != own_machine()) {
		target->fit = TARGET_FOREIGN;
		target->why = "it is of another word size or architecture";
	} else if (!has_interpreter(fd, ehdr)) {
		target->fit = TARGET_STATIC;
		target->why = "it is statically linked, so that no loader "
			      "preloads anything";
	}
}

/* What the kernel makes AT_SECURE of, see capabilities(7) and ld.so(8). */
static void look_at_privileges(struct target *target)
{
	struct statvfs vfs;
	struct stat st;

	if (stat(target->path, &st) != 0 || statvfs(target->path, &vfs) != 0 ||
	    (vfs.f_flag & ST_NOSUID) != 0 ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return;
	if ((st.st_mode & S_ISUID) != 0 && st.st_uid != getuid())
		target->why = "it is set-user-ID, and the loader preloads "
			      "nothing into such programs";
	else if ((st.st_mode & S_ISGID) != 0 && (st.st_mode & S_IXGRP) != 0 &&
		 st.st_gid != getgid())
		target->why = "it is set-group-ID, and the loader preloads "
			      "nothing into such programs";
	else if (getuid() != 0 &&
		 getxattr(target->path, "security.capability", NULL, 0) > 0)
		target->why = "it has file capabilities, and the loader "
			      "preloads nothing into such programs";
	if (target->why != NULL)
		target->fit = TARGET_SECURE;
}

/* True: target->path is a script and `next` its interpreter. */
static bool look(struct target *target, char *next)
{
	union {
		char line[LINE_BYTES];
		ElfW(Ehdr) ehdr;
	} head;
	int fd = open(target->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t got = fd >= 0 ? read(fd, &head, sizeof(head)) : -1;
	bool script = got > 2 && interpreter_of(head.line, (size_t)got, next);

	if (!script) {
		look_at_privileges(target);
		if (target->fit == TARGET_FITS &&
		    got >= (ssize_t)sizeof(head.ehdr) &&
		    memcmp(head.ehdr.e_ident, ELFMAG, SELFMAG) == 0)
			look_at_elf(target, fd, &head.ehdr);
	}
	if (fd >= 0)
		close(fd);
	return script;
}

int target_find(struct target *target, const char *command)
{
	char next[PATH_MAX];
	int status;

	target->fit = TARGET_FITS;
	target->why = NULL;
	status = find(command, target->path);
	for (int i = 0; status == 0 && i < MOST_INTERPRETERS; i++) {
		if (!look(target, next))
			return 0;
		memcpy(target->path, next, sizeof(next));
		status = check_executable(target->path);
	}
	return status;
}
