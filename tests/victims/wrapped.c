/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps through two functions of its own, to be looked through on demand. */
#include "victim.h"

NOINLINE static void *inner_get(size_t pages)
{
	void *p = anon(pages);

	NO_TAIL_CALL();
	return p;
}

NOINLINE static void *outer_get(size_t pages)
{
	void *p = inner_get(pages);

	NO_TAIL_CALL();
	return p;
}

NOINLINE static void *customer(void)
{
	void *p = outer_get(PAGES);

	NO_TAIL_CALL();
	return p;
}

int main(void)
{
	victim_begin();
	touch(customer(), PAGES);
	victim_wait();
	return 0;
}
