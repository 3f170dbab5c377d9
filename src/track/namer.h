/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Giving names to the kernel: the only caller of PR_SET_VMA.
 *
 * Contract: a name the kernel refuses costs the name and nothing else.  Every
 * name may split a VMA off its neighbours, and a process has vm.max_map_count
 * of them; so past the share of the option max-vmas names fall back to the
 * owner's, half way from there to the limit nothing is named any more, and
 * namer_retreat() takes all names back when the program itself runs out.
 * namer_apply() is called with the region map's lock held.
 */
#ifndef ANONSHIM_TRACK_NAMER_H
#define ANONSHIM_TRACK_NAMER_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the kernel takes names: tries one on a page of our own. */
bool namer_probe(void);

/* After config_init() and caps_init(). */
void namer_init(void);

/* Name pages [START, END) for SITE, thread TID (0: none). */
void namer_apply(uintptr_t start, uintptr_t end, uint32_t site, uint32_t tid);

/* Take the name of pages [START, END) back. */
void namer_remove(uintptr_t start, uintptr_t end);

/*
 * A call of the program failed with ENOMEM: if names may be the reason, take
 * them all back, let VMAs merge, and name no more.  Returns whether the call
 * is worth another try.
 */
bool namer_retreat(void);

/*
 * Name pages [START, END) TEXT, as they were where they come from.  Returns
 * whether the kernel took it.
 */
bool namer_label(uintptr_t start, uintptr_t end, const char *text);

/* In a fork child: names with %p or %t are given anew. */
void namer_after_fork(void);

#endif
