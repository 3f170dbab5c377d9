/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages to people; see log.h.
 */
#include "base/log.h"

#include "base/sys.h"

#include <fcntl.h>
#include <string.h>

#define STDERR 2
#define LOG_MODE 0640

static struct {
	const char *path;
	uint64_t dev;
	uint64_t ino;
	bool have_stderr;
	unsigned lines;
} logger;

void log_init(const char *path)
{
	uint64_t size;

	logger.path = path && *path ? path : NULL;
	logger.have_stderr =
		!sys_failed(sys_fstat(STDERR, &logger.dev, &logger.ino, &size));
}

static bool stderr_is_ours(void)
{
	uint64_t dev;
	uint64_t ino;
	uint64_t size;

	return logger.have_stderr &&
	       !sys_failed(sys_fstat(STDERR, &dev, &ino, &size)) &&
	       dev == logger.dev && ino == logger.ino;
}

void log_page(const char *text, size_t len)
{
	long fd;

	if (!logger.path) {
		/* nobody's mapping waits for a terminal or a full pipe */
		if (stderr_is_ours() && sys_writable(STDERR))
			sys_write_quietly(STDERR, text, len);
		return;
	}
	fd = sys_open(logger.path,
		      O_WRONLY | O_CREAT | O_APPEND | O_NOCTTY | O_NONBLOCK,
		      LOG_MODE);
	if (sys_failed(fd))
		return;
	sys_write_quietly((int)fd, text, len);
	sys_close((int)fd);
}

void log_begin(struct log_line *line)
{
	/* one byte stays free for the newline */
	fmt_init(&line->f, line->text, sizeof(line->text) - 1);
	fmt_str(&line->f, "anonshim: ");
}

void log_end(struct log_line *line)
{
	unsigned n = __atomic_fetch_add(&logger.lines, 1, __ATOMIC_RELAXED);

	if (n >= LOG_LINES_MAX)
		return;
	line->text[line->f.len] = '\n';
	log_page(line->text, line->f.len + 1);
}

_Noreturn void abort(void); /* without the header, which has malloc */

_Noreturn void log_die(struct log_line *line)
{
	log_end(line);
	abort();
}

void log_text(const char *text)
{
	struct log_line line;

	log_begin(&line);
	fmt_str(&line.f, text);
	log_end(&line);
}

void log_once(bool *said, const char *text)
{
	if (!__atomic_exchange_n(said, true, __ATOMIC_RELAXED))
		log_text(text);
}
