/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of /proc/PID/smaps, smaps_rollup or maps, taken apart as it streams
 * by: memory is bounded by one line, whatever the size of the text.
 *
 * The parser takes any bytes: what is not such text is refused with -EBADMSG,
 * never read past its end.  Fields it does not know are passed over, so that
 * newer kernels are no surprise.
 */
#ifndef ANONSHIM_TOOL_SMAPS_H
#define ANONSHIM_TOOL_SMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest line kept: a path of 4,096 bytes and what stands before it. */
#define SMAPS_LINE_BYTES 8192

/* One VMA.  The name belongs to the parser and lasts until the call returns. */
struct smaps_vma {
	uint64_t start;
	uint64_t end;
	uint64_t offset;
	uint64_t inode;
	uint32_t dev_major;
	uint32_t dev_minor;
	char perms[5]; /* r w x, then p or s */
	const char *name;
	uint64_t rss_kib;
	uint64_t pss_kib;
	uint64_t swap_kib;
};

/* Takes one VMA; a result other than 0 ends the parse and is its result. */
typedef int smaps_fn(const struct smaps_vma *vma, void *arg);

struct smaps_parser {
	smaps_fn *fn;
	void *arg;
	struct smaps_vma vma;
	bool in_vma;
	int error;	  /* first error, which sticks */
	size_t line_used; /* bytes of a line that has not ended yet */
	char line[SMAPS_LINE_BYTES];
	char name[SMAPS_LINE_BYTES];
};

void smaps_init(struct smaps_parser *parser, smaps_fn *fn, void *arg);

/* The next piece of the text, cut anywhere: 0, fn's result or -EBADMSG. */
int smaps_feed(struct smaps_parser *parser, const char *text, size_t len);

/* No more text: hands the last VMA over.  0, fn's result or -EBADMSG. */
int smaps_end(struct smaps_parser *parser);

/* A whole text at once. */
int smaps_parse(const char *text, size_t len, smaps_fn *fn, void *arg);

/* A file, read to its end: 0, fn's result, -EBADMSG or read's -errno. */
int smaps_read(int fd, smaps_fn *fn, void *arg);

#endif
