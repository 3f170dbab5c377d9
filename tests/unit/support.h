/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the unit tests of the shim share: starting its core in the test's own
 * process, and failing system calls.
 *
 * Criterion runs every test in a process of its own, so each starts from
 * nothing.  libc's mmap is not interposed here: what the tests want recorded
 * they ask of track_mmap() and its kin.
 */
#ifndef ANONSHIM_TESTS_SUPPORT_H
#define ANONSHIM_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE ((uintptr_t)4096)

/* Options, capabilities and the track storey; OPTIONS as in the variable. */
void shim_start(const char *options);

/* Options and capabilities alone. */
void shim_configure(const char *options);

/*
 * From now on calls of system call NR give ERR (a negative errno, or a result)
 * after the first PASS of them, TIMES times; -1: for ever.  One fault at a
 * time; fault_none() ends it.  Returns from fault_count(): calls of NR seen.
 */
void fault_set(long nr, long err, unsigned pass, int times);
void fault_none(void);
unsigned fault_count(void);

/*
 * Where libc's own function NAME is: its address as C has it may be that of a
 * sanitizer's.
 */
uintptr_t libc_function(const char *name);

/* Repeatable pseudo-random numbers. */
uint64_t draw(uint64_t *state);

#endif
