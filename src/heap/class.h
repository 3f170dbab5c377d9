/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Size classes that magazines hold: jemalloc's, from 16 bytes on, so that
 * every block is aligned for any type.
 *
 * Contract: class_init() once; class_of() is safe anywhere after.
 */
#ifndef ANONSHIM_HEAP_CLASS_H
#define ANONSHIM_HEAP_CLASS_H

#include "wire/registry_abi.h"

#include <stddef.h>
#include <stdint.h>

/* Of the largest class; what is larger has class 0 and no magazine. */
#define CLASS_MAX_BYTES 32768
#define CLASS_FINE_BYTES 1024
#define CLASS_FINE_STEP 16
#define CLASS_COARSE_STEP 256

extern uint8_t class_fine[CLASS_FINE_BYTES / CLASS_FINE_STEP + 1];
extern uint8_t class_coarse[CLASS_MAX_BYTES / CLASS_COARSE_STEP + 1];
extern uint32_t class_bytes[HEAP_CLASSES];

void class_init(void);

/* The class for SIZE bytes, at most CLASS_MAX_BYTES. */
static inline unsigned class_of(size_t size)
{
	if (__builtin_expect(size <= CLASS_FINE_BYTES, 1))
		return class_fine[(size + CLASS_FINE_STEP - 1) /
				  CLASS_FINE_STEP];
	return class_coarse[(size + CLASS_COARSE_STEP - 1) / CLASS_COARSE_STEP];
}

#endif
