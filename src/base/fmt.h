/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatting into a fixed buffer, for code that may use neither stdio nor
 * malloc.
 *
 * Contract: a struct fmt is a buffer on the caller's stack; text past its end
 * is dropped and `truncated` says so; the text is always NUL-terminated.
 * Safe anywhere: in signal handlers, after fork, before start-up.
 */
#ifndef ANONSHIM_BASE_FMT_H
#define ANONSHIM_BASE_FMT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fmt {
	char *text;
	size_t capacity; /* bytes, the NUL included; at least 1 */
	size_t len;	 /* bytes, without the NUL */
	bool truncated;
};

/* Start an empty text in BUF of CAPACITY bytes. */
void fmt_init(struct fmt *f, char *buf, size_t capacity);
void fmt_char(struct fmt *f, char c);
/* TEXT may be NULL, which adds nothing. */
void fmt_str(struct fmt *f, const char *text);
void fmt_mem(struct fmt *f, const char *text, size_t len);
void fmt_u64(struct fmt *f, uint64_t value);
/* Lower-case hexadecimal with no prefix. */
void fmt_hex(struct fmt *f, uint64_t value);
/* " <errno text>" for the errno values the shim meets, else " errno N". */
void fmt_errno(struct fmt *f, int err);

/*
 * Read an unsigned number from *TEXT, in BASE 10 or 16, and move *TEXT past
 * it.  Returns 0, or -EINVAL where there is no digit or it overflows.
 */
int fmt_parse_u64(const char **text, const char *end, unsigned base,
		  uint64_t *value);

#endif
