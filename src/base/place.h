/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the shim's own memory is: apart from all else.
 *
 * A program may unmap a range in order to map it anew, as who makes a ring
 * buffer does, and knows that nobody takes it meanwhile.  The kernel would: it
 * puts what has no address into the highest hole.
 */
#ifndef ANONSHIM_BASE_PLACE_H
#define ANONSHIM_BASE_PLACE_H

#include <stddef.h>
#include <stdint.h>

/* An address for LEN bytes, where most likely nothing is: another each time.
 * 0: there is no such place.  Safe in any context. */
uintptr_t place_next(size_t len);

/* LEN bytes TO, by which addresses are chosen: random, or zeros where they are
 * to be the same each time (setarch -R). */
void place_draw(void *to, size_t len);

#endif
