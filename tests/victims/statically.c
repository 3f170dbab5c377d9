/* SPDX-License-Identifier: BSD-2-Clause */
/* Linked statically: nothing can be preloaded.  Exits with 5. */
#include <stdio.h>

int main(void)
{
	puts("static");
	return 5;
}
