/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding libanonshim.so, and the environment that loads it. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "tool/shim_path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool/mem.h"
#include "tool/shim_locate.h"

#ifndef ANONSHIM_LIBDIR
#define ANONSHIM_LIBDIR "/usr/local/lib"
#endif

/* Relative to the directory the tool is in, in the order they are tried. */
static const char *const beside[] = {
	".",
	".libs",
	"../lib",
	"../lib64",
#if defined(__x86_64__)
	"../lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
	"../lib/aarch64-linux-gnu",
#endif
};

/* Takes dir/libanonshim.so if it can be read. */
static int try_dir(const char *dir, char *to, size_t bytes)
{
	char path[PATH_MAX], whole[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", dir, SHIM_FILE) >=
	    (int)sizeof(path))
		return -ENOENT;
	if (access(path, R_OK) != 0 || realpath(path, whole) == NULL)
		return -ENOENT;
	return snprintf(to, bytes, "%s", whole) < (int)bytes ? 0 : -ENOENT;
}

static int try_beside(const char *tool_dir, char *to, size_t bytes)
{
	char dir[PATH_MAX];

	for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
		if (snprintf(dir, sizeof(dir), "%s/%s", tool_dir, beside[i]) <
			    (int)sizeof(dir) &&
		    try_dir(dir, to, bytes) == 0)
			return 0;
	return -ENOENT;
}

int shim_path_find(char *to, size_t bytes)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[len > 0 ? len : 0] = '\0';
	slash = strrchr(self, '/');
	if (slash != NULL) {
		*slash = '\0';
		if (try_beside(self, to, bytes) == 0)
			return 0;
	}
	return try_dir(ANONSHIM_LIBDIR, to, bytes);
}

bool shim_path_splits(const char *path)
{
	return strpbrk(path, " :") != NULL;
}

static bool is_listed(const char *list, const char *path)
{
	size_t len = strlen(path);

	while (*list != '\0') {
		size_t word = strcspn(list, " :");

		if (word == len && memcmp(list, path, len) == 0)
			return true;
		list += word;
		list += strspn(list, " :");
	}
	return false;
}

/* Sets key to first, separator and second; to one of them if one is empty. */
static void set_joined(const char *key, const char *first, char separator,
		       const char *second)
{
	char middle[2] = {separator, '\0'};
	size_t bytes = strlen(first) + strlen(second) + 2;
	char *value = mem_alloc(bytes, 1);

	if (first[0] == '\0' || second[0] == '\0')
		middle[0] = '\0';
	snprintf(value, bytes, "%s%s%s", first, middle, second);
	setenv(key, value, 1);
	free(value);
}

static const char *environment(const char *key)
{
	const char *value = getenv(key);

	return value != NULL ? value : "";
}

void shim_path_preload(const char *path, const char *options)
{
	const char *preloaded = environment("LD_PRELOAD");

	if (!is_listed(preloaded, path))
		set_joined("LD_PRELOAD", path, ':', preloaded);
	if (options[0] != '\0')
		set_joined("ANONSHIM_OPTIONS", environment("ANONSHIM_OPTIONS"),
			   ',', options);
}
