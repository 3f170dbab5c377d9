/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading the region map back from the kernel: at start-up, for what was
 * mapped before the shim, and when a call could not be recorded.
 *
 * Contract: called busy with the region map's lock held; needs /proc, without
 * which nothing changes and -errno is returned.
 */
#ifndef ANONSHIM_TRACK_SYNC_H
#define ANONSHIM_TRACK_SYNC_H

#include "track/region.h"

#include <stdint.h>

/*
 * Make the map equal to the kernel's between START and END: ranges that are
 * anonymous memory no more go, ranges that are not in the map enter it as
 * FRESH, if its site is not 0.  Returns 0 or -errno.
 */
int sync_range(uintptr_t start, uintptr_t end, const struct region_tag *fresh);

/*
 * Make all of the map equal to the kernel's: ranges that are anonymous memory
 * no more go, ranges that are not in the map enter it as SITE's, if that is not
 * 0. Returns 0 or -errno.
 */
int sync_from_kernel(uint32_t site);

/*
 * Where, from START on and below END, the first VMA lies that is not anonymous
 * memory; END if there is none or /proc is not to be had.
 */
uintptr_t sync_anonymous_end(uintptr_t start, uintptr_t end);

/* The brk heap starts at START; the first call counts. */
void sync_heap_start(uintptr_t start);

/* Follow the end of the brk heap, which libc moves unseen. */
void sync_brk(void);

#endif
