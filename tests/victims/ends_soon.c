/* SPDX-License-Identifier: BSD-2-Clause */
/* Makes VMAs and ends after as many milliseconds as the argument says. */
#include "victim.h"

int main(int argc, char **argv)
{
	victim_begin();
	for (int i = 0; i < 5000; i++)
		if (mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			 0) == MAP_FAILED)
			break;
	dprintf(1, "ready\n");
	usleep((unsigned)(argc > 1 ? atoi(argv[1]) : 1) * 1000);
	return 0;
}
