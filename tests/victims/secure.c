/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linked with the shim, so that it is there also where the loader ignores
 * LD_PRELOAD.  Prints whether the process is secure in the loader's sense.
 */
#include "victim.h"

#include <sys/auxv.h>

int main(void)
{
	printf("secure %lu shim %d\n", getauxval(AT_SECURE),
	       anonshim_available());
	return 0;
}
