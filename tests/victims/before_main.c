/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps in a constructor (site_early) and in a preinit function
 * (site_preinit), before main.
 */
#include "victim.h"

static void *early, *first;

NOINLINE static void *site_early(void)
{
	void *p = touch(anon(PAGES), PAGES);

	NO_TAIL_CALL();
	return p;
}

NOINLINE static void *site_preinit(void)
{
	void *p = touch(anon(2 * PAGES), 2 * PAGES);

	NO_TAIL_CALL();
	return p;
}

static void preinit(void)
{
	first = site_preinit();
}

__attribute__((section(".preinit_array"),
	       used)) static void (*const hook)(void) = preinit;

__attribute__((constructor)) static void construct(void)
{
	early = site_early();
}

int main(void)
{
	victim_begin();
	CHECK(early && first);
	victim_wait();
	return 0;
}
