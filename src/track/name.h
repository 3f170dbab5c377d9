/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Composing names, `owner: kind site`, within what the kernel takes.
 *
 * Contract: pure functions; safe anywhere.
 */
#ifndef ANONSHIM_TRACK_NAME_H
#define ANONSHIM_TRACK_NAME_H

#include <stdbool.h>
#include <stdint.h>

/* The kernel's ANON_VMA_NAME_MAX_LEN, the NUL included (mm/madvise.c). */
#define NAME_BYTES 80

struct name_parts {
	const char *owner;
	const char *kind;
	const char *site; /* a symbol, may be "" */
	uint32_t tid;	  /* 0: leave %t out */
	uint32_t pid;	  /* 0: leave %p out */
	bool keep_marks;  /* leave %t and %p as they are */
};

/* The word for KIND (enum registry_kind) in names. */
const char *name_kind(unsigned kind);

/*
 * Expand TEMPLATE (%o %k %s %t %p %%) into OUT; a C++ symbol is made readable
 * (see readable.h).  A name too long loses the beginning of its site, then the
 * end of its owner; characters that the kernel refuses become `!`; blanks at
 * the end are dropped.
 */
void name_compose(const char *template, const struct name_parts *parts,
		  char out[NAME_BYTES]);

/* Whether the kernel takes every character of NAME. */
bool name_valid(const char *name);

/* Whether TEMPLATE has a part that differs between threads or processes. */
bool name_is_per_thread(const char *template);

#endif
