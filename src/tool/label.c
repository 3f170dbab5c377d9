/* SPDX-License-Identifier: BSD-2-Clause */
/* Names to labels and VMAs to labels. */
#include "tool/label.h"

#include <string.h>

#include "tool/demangle.h"
#include "tool/registry_read.h"

#define MEMFD "/memfd:"

struct label label_make(struct strpool *pool, const char *owner,
			const char *kind, const char *site, const char *name)
{
	return (struct label){
		strpool_add(pool, owner),
		strpool_add(pool, kind),
		strpool_add(pool, site),
		strpool_add(pool, name),
	};
}

/* The kind that text[0..len) is the word for, KIND_NONE if for none. */
static unsigned kind_of_word(const char *text, size_t len)
{
	for (unsigned kind = KIND_NONE + 1; kind < KIND_COUNT; kind++) {
		const char *word = registry_kind_word(kind);

		if (strlen(word) == len && memcmp(word, text, len) == 0)
			return kind;
	}
	return KIND_NONE;
}

/* `owner: rest` or just `owner`, blanks around either dropped. */
static struct label parse_own(struct strpool *pool, const char *name)
{
	const char *from = name + strspn(name, " ");
	const char *colon = strchr(from, ':');
	size_t len = colon != NULL ? (size_t)(colon - from) : strlen(from);
	const char *rest = colon != NULL ? colon + 1 : "";
	struct label label = label_make(pool, "", "mmap", "", name);

	while (len > 0 && from[len - 1] == ' ')
		len--;
	if (len == 0) {
		label.owner = label.name;
		return label;
	}
	label.owner = strpool_intern(pool, from, len);
	label.site = strpool_add(pool, rest + strspn(rest, " "));
	return label;
}

struct label label_parse(struct strpool *pool, const char *name)
{
	const char *colon = strstr(name, ": ");
	const char *word = colon != NULL ? colon + 2 : "";
	size_t len = strcspn(word, " ");
	unsigned kind = kind_of_word(word, len);
	struct label label;

	if (kind == KIND_NONE || colon == name)
		return parse_own(pool, name);
	word += len;
	label = label_make(pool, "", registry_kind_word(kind), "", name);
	label.owner = strpool_intern(pool, name, (size_t)(colon - name));
	label.site = demangle_intern(pool, word + strspn(word, " "));
	return label;
}

static struct label label_of_file(struct strpool *pool, const struct vma *vma)
{
	const char *path = vma->name;
	struct label label = label_make(pool, "", "file", "", path);

	label.owner =
		vma->owner != NULL ? vma->owner : vma_basename(path, pool);
	if (strncmp(path, MEMFD, strlen(MEMFD)) == 0) {
		/* Its name may hold slashes, for it is no path. */
		size_t len = strlen(path);
		const char *tail = strstr(path, " (deleted)");

		if (tail != NULL && tail[strlen(" (deleted)")] == '\0')
			len = (size_t)(tail - path);
		label.owner = strpool_intern(pool, path + 1, len - 1);
	}
	return label;
}

struct label label_of_vma(struct strpool *pool, const struct vma *vma,
			  const char *exe)
{
	switch (vma->class) {
	case VMA_HEAP:
		return label_make(pool, "[heap]", "heap", "", "[heap]");
	case VMA_STACK:
		return label_make(pool, exe, "stack", "main", vma->name);
	case VMA_KERNEL:
		return label_make(pool, vma->name, "kernel", "", vma->name);
	case VMA_FILE:
		return label_of_file(pool, vma);
	case VMA_ANON:
		break;
	}
	if (vma->anon_name != NULL)
		return label_parse(pool, vma->anon_name);
	return label_make(pool, LABEL_UNATTRIBUTED, LABEL_UNATTRIBUTED, "", "");
}
