/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads lib_owner.so as many times as there shall be owners. */
#ifndef ANONSHIM_TESTS_OWNERS_LOAD_H
#define ANONSHIM_TESTS_OWNERS_LOAD_H

#include "lib_owner.h"
#include "victim.h"

#include <dlfcn.h>
#include <fcntl.h>

#define OWNERS_MAX 32

static const struct owner_calls *owners[OWNERS_MAX];
static char owner_name[OWNERS_MAX][32];
static unsigned nowners;

/* A copy of the library under the name NAME, its soname too. */
static void library_copy(const char *library, const char *name)
{
	static char text[1 << 20];
	size_t length = strlen(OWNER_SONAME);
	int fd = open(library, O_RDONLY | O_CLOEXEC);
	ssize_t size = read(fd, text, sizeof(text));
	unsigned found = 0;
	char *at = text;

	CHECK(size > 0 && (size_t)size < sizeof(text));
	CHECK(!close(fd) && strlen(name) == length);
	while ((at = memmem(at, (size_t)(text + size - at), OWNER_SONAME,
			    length))) {
		memcpy(at, name, length);
		found++;
	}
	CHECK(found);
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	CHECK(write(fd, text, (size_t)size) == size);
	CHECK(!close(fd));
}

static void owners_load(const char *library)
{
	char path[64];
	void *handle;

	for (unsigned i = 0; i < nowners; i++) {
		snprintf(owner_name[i], sizeof(owner_name[i]), "lib_own%02u.so",
			 i);
		library_copy(library, owner_name[i]);
		snprintf(path, sizeof(path), "./%s", owner_name[i]);
		handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		CHECK(handle);
		owners[i] = dlsym(handle, OWNER_SYMBOL);
		CHECK(owners[i] && (!i || owners[i] != owners[i - 1]));
	}
}

#endif
