/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maps in site_two and prints how many calls another interposer of mmap, if
 * one is preloaded, saw of the hundred, and before main() of the clock.
 */
#include "victim.h"

#include <dlfcn.h>

NOINLINE static void *site_two(void)
{
	void *p = touch(anon(PAGES), PAGES);

	NO_TAIL_CALL();
	return p;
}

int main(void)
{
	unsigned long (*count)(void) =
		(unsigned long (*)(void))dlsym(RTLD_DEFAULT, "mmap_next_count");
	unsigned long (*clocks)(void) = (unsigned long (*)(void))dlsym(
		RTLD_DEFAULT, "clock_next_count");
	unsigned long early = clocks ? clocks() : 0;
	unsigned long before = count ? count() : 0;

	victim_begin();
	CHECK(site_two());
	for (int i = 1; i < 100; i++)
		munmap(anon(2), 2 * PAGE);
	printf("other saw %lu\n", count ? count() - before : 0);
	printf("of the clock %lu\n", early);
	fflush(stdout);
	victim_wait();
	return 0;
}
