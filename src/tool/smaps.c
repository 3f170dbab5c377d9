/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The streaming parser of smaps, smaps_rollup and maps.  A line that starts
 * with a hexadecimal digit opens a VMA, one with a capital is a field of it;
 * the kernel writes addresses in lower case, so that no line is both.
 */
#include "tool/smaps.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 65536

/* A place in a line that is being read; NULL once something did not fit. */
struct cursor {
	const char *at;
	const char *end;
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static void fail(struct cursor *c)
{
	c->at = NULL;
}

/* At most `digits` of them, so that nothing overflows. */
static uint64_t take_hex(struct cursor *c, int digits)
{
	uint64_t value = 0;
	const char *from = c->at;

	if (c->at == NULL)
		return 0;
	while (c->at < c->end && hex_digit(*c->at) >= 0 && digits-- > 0)
		value = value << 4 | (uint64_t)hex_digit(*c->at++);
	if (c->at == from)
		fail(c);
	return value;
}

static uint64_t take_decimal(struct cursor *c)
{
	uint64_t value = 0;
	const char *from = c->at;

	if (c->at == NULL)
		return 0;
	while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
		if (value > (UINT64_MAX - 9) / 10) {
			fail(c);
			return 0;
		}
		value = value * 10 + (uint64_t)(*c->at++ - '0');
	}
	if (c->at == from)
		fail(c);
	return value;
}

static void take_char(struct cursor *c, char want)
{
	if (c->at == NULL || c->at == c->end || *c->at != want)
		fail(c);
	else
		c->at++;
}

static void take_perms(struct cursor *c, char perms[5])
{
	if (c->at == NULL || c->end - c->at < 4) {
		fail(c);
		return;
	}
	for (int i = 0; i < 4; i++)
		if (strchr("rwxps-", c->at[i]) == NULL || c->at[i] == '\0') {
			fail(c);
			return;
		}
	memcpy(perms, c->at, 4);
	perms[4] = '\0';
	c->at += 4;
}

static void skip_blanks(struct cursor *c)
{
	while (c->at != NULL && c->at < c->end && *c->at == ' ')
		c->at++;
}

/* Hands the VMA over that the lines so far were about. */
static int deliver(struct smaps_parser *parser)
{
	if (!parser->in_vma)
		return 0;
	parser->in_vma = false;
	return parser->fn(&parser->vma, parser->arg);
}

/*
 * 7f0000-7f1000 rw-p 00000000 00:00 0          name to the end of the line
 */
static int parse_header(struct smaps_parser *parser, struct cursor c)
{
	struct smaps_vma *vma = &parser->vma;
	int status = deliver(parser);

	if (status != 0)
		return status;
	memset(vma, 0, sizeof(*vma));
	vma->start = take_hex(&c, 16);
	take_char(&c, '-');
	vma->end = take_hex(&c, 16);
	take_char(&c, ' ');
	take_perms(&c, vma->perms);
	take_char(&c, ' ');
	vma->offset = take_hex(&c, 16);
	take_char(&c, ' ');
	vma->dev_major = (uint32_t)take_hex(&c, 8);
	take_char(&c, ':');
	vma->dev_minor = (uint32_t)take_hex(&c, 8);
	take_char(&c, ' ');
	vma->inode = take_decimal(&c);
	skip_blanks(&c);
	if (c.at == NULL || vma->end <= vma->start)
		return -EBADMSG;
	memcpy(parser->name, c.at, (size_t)(c.end - c.at));
	parser->name[c.end - c.at] = '\0';
	vma->name = parser->name;
	parser->in_vma = true;
	return 0;
}

static bool is_key(const char *line, const char *colon, const char *key)
{
	size_t len = strlen(key);

	return (size_t)(colon - line) == len && memcmp(line, key, len) == 0;
}

/* Key:   number kB; only the three that are wanted are looked at. */
static int parse_field(struct smaps_parser *parser, struct cursor c)
{
	const char *line = c.at;
	const char *colon = memchr(line, ':', (size_t)(c.end - line));
	uint64_t *to = NULL;

	if (colon == NULL || !parser->in_vma)
		return -EBADMSG;
	if (is_key(line, colon, "Rss"))
		to = &parser->vma.rss_kib;
	else if (is_key(line, colon, "Pss"))
		to = &parser->vma.pss_kib;
	else if (is_key(line, colon, "Swap"))
		to = &parser->vma.swap_kib;
	if (to == NULL)
		return 0;
	c.at = colon + 1;
	skip_blanks(&c);
	*to = take_decimal(&c);
	/* Sums of rows must not overflow, whatever the text says. */
	return c.at == NULL || *to > UINT64_MAX >> 16 ? -EBADMSG : 0;
}

static int parse_line(struct smaps_parser *parser, const char *line, size_t len)
{
	struct cursor c = {line, line + len};

	if (len == 0)
		return -EBADMSG;
	if (hex_digit(line[0]) >= 0)
		return parse_header(parser, c);
	if (line[0] >= 'A' && line[0] <= 'Z')
		return parse_field(parser, c);
	return -EBADMSG;
}

void smaps_init(struct smaps_parser *parser, smaps_fn *fn, void *arg)
{
	parser->fn = fn;
	parser->arg = arg;
	parser->in_vma = false;
	parser->error = 0;
	parser->line_used = 0;
}

/*
 * Adds to the line that has not ended.  No line of the kernel's is too long
 * to keep; one that is ends the parse rather than lose its tail unseen.
 */
static int keep(struct smaps_parser *parser, const char *text, size_t len)
{
	if (len >= sizeof(parser->line) - parser->line_used)
		return -EBADMSG;
	memcpy(parser->line + parser->line_used, text, len);
	parser->line_used += len;
	return 0;
}

/* The line that ends with text[0..len): parsed where it is if it is whole. */
static int finish_line(struct smaps_parser *parser, const char *text,
		       size_t len)
{
	int status;

	if (parser->line_used == 0 && len < sizeof(parser->line))
		return parse_line(parser, text, len);
	status = keep(parser, text, len);
	if (status == 0)
		status = parse_line(parser, parser->line, parser->line_used);
	parser->line_used = 0;
	return status;
}

int smaps_feed(struct smaps_parser *parser, const char *text, size_t len)
{
	while (len > 0 && parser->error == 0) {
		const char *newline = memchr(text, '\n', len);
		size_t used;

		if (newline == NULL) {
			parser->error = keep(parser, text, len);
			break;
		}
		used = (size_t)(newline - text);
		parser->error = finish_line(parser, text, used);
		text += used + 1;
		len -= used + 1;
	}
	return parser->error;
}

int smaps_end(struct smaps_parser *parser)
{
	if (parser->error == 0 && parser->line_used > 0)
		parser->error = finish_line(parser, "", 0);
	if (parser->error == 0)
		parser->error = deliver(parser);
	return parser->error;
}

int smaps_parse(const char *text, size_t len, smaps_fn *fn, void *arg)
{
	struct smaps_parser parser;

	smaps_init(&parser, fn, arg);
	smaps_feed(&parser, text, len);
	return smaps_end(&parser);
}

int smaps_read(int fd, smaps_fn *fn, void *arg)
{
	static char buffer[READ_BYTES];
	struct smaps_parser parser;
	int status;

	smaps_init(&parser, fn, arg);
	for (;;) {
		ssize_t got = read(fd, buffer, sizeof(buffer));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return smaps_end(&parser);
		status = smaps_feed(&parser, buffer, (size_t)got);
		if (status != 0)
			return status;
	}
}
