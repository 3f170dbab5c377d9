/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Formatting into a fixed buffer; see fmt.h.
 */
#include "base/fmt.h"

#include <errno.h>
#include <string.h>

#define DIGITS_MAX 20

void fmt_init(struct fmt *f, char *buf, size_t capacity)
{
	f->text = buf;
	f->capacity = capacity;
	f->len = 0;
	f->truncated = false;
	buf[0] = '\0';
}

void fmt_mem(struct fmt *f, const char *text, size_t len)
{
	size_t room = f->capacity - 1 - f->len;

	if (len > room) {
		len = room;
		f->truncated = true;
	}
	memcpy(f->text + f->len, text, len);
	f->len += len;
	f->text[f->len] = '\0';
}

void fmt_char(struct fmt *f, char c)
{
	fmt_mem(f, &c, 1);
}

void fmt_str(struct fmt *f, const char *text)
{
	if (text)
		fmt_mem(f, text, strlen(text));
}

static void digits(struct fmt *f, uint64_t value, unsigned base)
{
	char buf[DIGITS_MAX];
	size_t i = sizeof(buf);

	do {
		buf[--i] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	fmt_mem(f, buf + i, sizeof(buf) - i);
}

void fmt_u64(struct fmt *f, uint64_t value)
{
	digits(f, value, 10);
}

void fmt_hex(struct fmt *f, uint64_t value)
{
	digits(f, value, 16);
}

/* strerror() may allocate and translate; these are all we ever print. */
static const char *errno_text(int err)
{
	switch (err) {
	case EPERM:
		return "operation not permitted";
	case ENOENT:
		return "no such file or directory";
	case EAGAIN:
		return "resource temporarily unavailable";
	case ENOMEM:
		return "out of memory";
	case EACCES:
		return "permission denied";
	case EINVAL:
		return "invalid argument";
	case EMFILE:
		return "too many open files";
	case ENOSYS:
		return "not implemented by this kernel";
	case EROFS:
		return "read-only file system";
	default:
		return NULL;
	}
}

void fmt_errno(struct fmt *f, int err)
{
	const char *text = errno_text(err);

	fmt_char(f, ' ');
	if (text) {
		fmt_str(f, text);
		return;
	}
	fmt_str(f, "errno ");
	fmt_u64(f, (uint64_t)err);
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

int fmt_parse_u64(const char **text, const char *end, unsigned base,
		  uint64_t *value)
{
	const char *p = *text;
	uint64_t v = 0;

	for (; p < end; p++) {
		unsigned d = (unsigned)digit_value(*p);

		if (d >= base)
			break;
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, d, &v))
			return -EINVAL;
	}
	if (p == *text)
		return -EINVAL;
	*text = p;
	*value = v;
	return 0;
}
