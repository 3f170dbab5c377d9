/* SPDX-License-Identifier: BSD-2-Clause */
/* Exits with 0 where this kernel takes names of VMAs. */
#include "victim.h"

#include <sys/prctl.h>

int main(void)
{
	void *p = anon(1);

	return prctl(0x53564d41, 0, p, PAGE, "probe") != 0;
}
