/* SPDX-License-Identifier: BSD-2-Clause */
/* Text for people, scripts and JSON. */
#include "tool/text.h"

#include <stdbool.h>
#include <string.h>

const char *text_human(char to[TEXT_HUMAN_BYTES], uint64_t kib)
{
	static const char units[] = "KMGTPE";
	double value = (double)kib;
	size_t unit = 0;

	/* 1023.95 would round to 1024.0. */
	while (value >= 1023.95 && unit + 2 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		snprintf(to, TEXT_HUMAN_BYTES, "%lluK",
			 (unsigned long long)kib);
	else
		snprintf(to, TEXT_HUMAN_BYTES, "%.1f%c", value, units[unit]);
	return to;
}

double text_percent(uint64_t part, uint64_t whole)
{
	return whole != 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

/* The bytes of a sequence by its first, 0 if none starts so. */
static size_t sequence_bytes(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

/* Overlong forms, surrogates, past U+10FFFF, and the controls U+0080-9F. */
static bool is_barred(unsigned char first, unsigned char second)
{
	return (first == 0xc2 && second < 0xa0) ||
	       (first == 0xe0 && second < 0xa0) ||
	       (first == 0xed && second >= 0xa0) ||
	       (first == 0xf0 && second < 0x90) ||
	       (first == 0xf4 && second >= 0x90);
}

/*
 * The length of the UTF-8 sequence at text: 1 to 4; 0 for one that is broken
 * or stands for a control character.
 */
static size_t sequence(const char *text)
{
	unsigned char first = (unsigned char)text[0];
	size_t bytes = sequence_bytes(first);

	if (bytes == 1)
		return first >= 0x20 && first != 0x7f;
	for (size_t i = 1; i < bytes; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
	if (bytes > 1 && is_barred(first, (unsigned char)text[1]))
		return 0;
	return bytes;
}

size_t text_width(const char *text)
{
	size_t width = 0;

	while (*text != '\0') {
		size_t bytes = sequence(text);

		text += bytes != 0 ? bytes : 1;
		width++;
	}
	return width;
}

void text_put(FILE *to, const char *text)
{
	while (*text != '\0') {
		size_t bytes = sequence(text);

		if (bytes != 0)
			fwrite(text, 1, bytes, to);
		else
			fputc('?', to);
		text += bytes != 0 ? bytes : 1;
	}
}

void text_put_field(FILE *to, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\t')
			fputs("\\t", to);
		else if (*text == '\n')
			fputs("\\n", to);
		else if (*text == '\\')
			fputs("\\\\", to);
		else
			fputc(*text, to);
	}
}

void text_put_json(FILE *to, const char *text)
{
	fputc('"', to);
	while (*text != '\0') {
		size_t bytes = sequence(text);
		unsigned char byte = (unsigned char)*text;

		if (byte == '"' || byte == '\\')
			fprintf(to, "\\%c", byte);
		else if (bytes != 0)
			fwrite(text, 1, bytes, to);
		else if (byte < 0x80)
			fprintf(to, "\\u%04x", byte);
		else
			fputs("\\ufffd", to);
		text += bytes != 0 ? bytes : 1;
	}
	fputc('"', to);
}
