/* SPDX-License-Identifier: BSD-2-Clause */
/* A library with much zeroed data. */
#include "victim.h"

static char zeroed[PAGES * 16 * PAGE] __attribute__((aligned(4096)));

void bss_use(void);

void bss_use(void)
{
	touch(zeroed, PAGES * 16);
}
