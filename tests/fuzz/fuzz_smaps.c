/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: the text of smaps.  Cut in pieces anywhere it must give what it
 * gives in one.
 */
#include "tool/smaps.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int add(const struct smaps_vma *vma, void *arg)
{
	uint64_t *sum = arg;

	if (vma->start >= vma->end || strlen(vma->perms) != 4)
		abort();
	*sum = *sum * 31 + vma->start + vma->end + vma->rss_kib + vma->pss_kib +
	       vma->swap_kib + strlen(vma->name);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct smaps_parser parser;
	uint64_t whole = 0;
	uint64_t pieces = 0;
	int a = smaps_parse((const char *)data, size, add, &whole);
	int b;

	smaps_init(&parser, add, &pieces);
	for (size_t at = 0; at < size;) {
		size_t len = 1 + data[at] % 37;

		if (len > size - at)
			len = size - at;
		smaps_feed(&parser, (const char *)data + at, len);
		at += len;
	}
	b = smaps_end(&parser);
	if (a != b || (!a && whole != pieces))
		abort();
	return 0;
}
