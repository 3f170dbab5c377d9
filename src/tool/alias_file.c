/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of shared objects, seen through /proc; see alias_file.h. */
#include "tool/alias_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FLAGS (O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
#define MEMFD "/memfd:"
#define BLOCK_BYTES 512 /* of st_blocks, whatever the file system's are */

static bool is_same(const struct stat *st, const struct alias_file *file)
{
	return file->ino == st->st_ino && file->dev == st->st_dev;
}

static void take_stat(struct alias_file *file, const struct stat *st)
{
	file->has_stat = true;
	file->size_bytes = (uint64_t)st->st_size;
	file->held_bytes = (uint64_t)st->st_blocks * BLOCK_BYTES;
}

/* Only memfds can be sealed; what NAME leads to may have changed meanwhile. */
static void read_seals(int dir, const char *name, struct alias_file *file)
{
	struct stat st;
	int fd, seals;

	if (strncmp(file->path, MEMFD, strlen(MEMFD)) != 0) {
		file->has_seals = file->path[0] != '\0';
		return;
	}
	fd = openat(dir, name, OPEN_FLAGS);
	if (fd < 0)
		return;
	seals = fcntl(fd, F_GET_SEALS);
	if (seals >= 0 && fstat(fd, &st) == 0 && is_same(&st, file)) {
		file->has_seals = true;
		file->seals = (unsigned)seals;
	}
	close(fd);
}

static void read_descriptor(int dir, const char *name, const struct stat *st,
			    struct alias_file *file)
{
	ssize_t len = readlinkat(dir, name, file->path, sizeof(file->path) - 1);

	file->path[len > 0 ? len : 0] = '\0';
	file->has_fd = true;
	file->is_linked = st->st_nlink != 0;
	take_stat(file, st);
	read_seals(dir, name, file);
}

static void look_at(int dir, const char *name, struct alias_file *files,
		    size_t n)
{
	struct stat st;

	if (fstatat(dir, name, &st, 0) != 0 || !S_ISREG(st.st_mode))
		return;
	for (size_t i = 0; i < n; i++) {
		if (!is_same(&st, &files[i]))
			continue;
		if (!files[i].has_seals)
			read_descriptor(dir, name, &st, &files[i]);
		return;
	}
}

int alias_files_read(const struct procfs *proc, struct alias_file *files,
		     size_t n)
{
	int fd = openat(proc->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int error = errno;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return -error;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			look_at(dirfd(dir), entry->d_name, files, n);
	closedir(dir);
	return 0;
}

void alias_file_by_mapping(const struct procfs *proc, const struct vma *vma,
			   struct alias_file *file)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "map_files/%llx-%llx",
		 (unsigned long long)vma->start, (unsigned long long)vma->end);
	if (fstatat(proc->dir, path, &st, 0) == 0 && st.st_ino == vma->inode)
		take_stat(file, &st);
}
