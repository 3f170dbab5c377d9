/* SPDX-License-Identifier: BSD-2-Clause */
/* A library that maps memory when it is loaded, before main. */
#include "victim.h"

static void *mine;

__attribute__((constructor)) static void ctor_grab(void)
{
	mine = touch(anon(PAGES), PAGES);
}

void *ctor_mine(void);

void *ctor_mine(void)
{
	return mine;
}
