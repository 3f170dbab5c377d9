/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps PAGES pages in a function called site_dump, a thread, and aborts. */
#include "victim.h"

#include <sys/prctl.h>

NOINLINE static void *site_dump(void)
{
	void *p = touch(anon(PAGES), PAGES);

	NO_TAIL_CALL();
	return p;
}

int main(void)
{
	victim_begin();
	CHECK(site_dump());
	prctl(PR_SET_DUMPABLE, 1);
	abort();
}
