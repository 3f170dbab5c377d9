/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints its PID and user, and exits as the argument says: a number, or
 * "signal N".
 */
#include "victim.h"

#include <signal.h>

int main(int argc, char **argv)
{
	victim_begin();
	printf("pid %d user %d shim %d\n", (int)getpid(), (int)geteuid(),
	       anonshim_available());
	fflush(stdout);
	touch(anon(1), 1);
	if (argc > 2)
		raise(atoi(argv[2]));
	return argc > 1 ? atoi(argv[1]) : 0;
}
