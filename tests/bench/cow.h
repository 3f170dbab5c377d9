/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of cow share: see cow.c.  What fails ends the program.
 */
#ifndef BENCH_COW_H
#define BENCH_COW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 4096ul
#define ALIASES_MAX 8

enum cow_how {
	HOW_PLAIN,   /* private memory, and nothing is done to it */
	HOW_PRIVATE, /* private memory, or private mappings of a memfd */
	HOW_SHARED,  /* a memfd, or a region, at several addresses */
	HOW_COPY,    /* copied by memcpy() */
};

struct cow_asked {
	enum cow_how how;
	int aliases;
	size_t forks;
	size_t snapshots;
	size_t bytes;
	size_t pages;
};
extern struct cow_asked asked;

void fail(const char *what);
void wrong(const char *what);
double now_us(void);
uint64_t random_number(void);
double median(double *values, size_t n); /* sorts them */

/* Private memory, of 4 KiB pages, or BYTES of FD as FLAGS say. */
char *map(size_t bytes, int fd, int flags);
int new_memfd(size_t bytes);
/* The kernel has had as much memory from a machine's host. */
void warm(size_t bytes);
/* One store a page of what is at P. */
void touch(char *p, uint64_t value);

static inline volatile uint64_t *word_of(char *p, size_t page)
{
	return (volatile uint64_t *)(p + page * PAGE_BYTES);
}

void snapshots_run(void);
void snapshots_copy(void);
void snapshots_private(void);
/* Whether one can be taken here. */
bool snapshots_permitted(void);

#endif
