/* SPDX-License-Identifier: BSD-2-Clause */
/* Executes itself as many times as the argument says; same PID at the end. */
#include "victim.h"

int main(int argc, char **argv)
{
	int left = argc > 1 ? atoi(argv[1]) : 0;
	char number[16];
	char pid[16];

	victim_begin();
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (argc > 2)
		CHECK(!strcmp(argv[2], pid));
	touch(anon(PAGES), PAGES);
	if (!left)
		return 0;
	snprintf(number, sizeof(number), "%d", left - 1);
	execv("/proc/self/exe", (char *[]){argv[0], number, pid, NULL});
	CHECK(0);
	return 1;
}
