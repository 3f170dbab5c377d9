/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names its own memory with prctl (raw: with syscall; api: anonshim_name),
 * prints what came back, and waits.  unname: takes the name back again.
 */
#include "victim.h"

#include <sys/prctl.h>

#define SET_VMA 0x53564d41

NOINLINE static void *site_own(void)
{
	void *p = touch(anon(PAGES), PAGES);

	NO_TAIL_CALL();
	return p;
}

static int name(const char *how, void *p, const char *text)
{
	errno = 0;
	if (!strcmp(how, "raw"))
		return (int)syscall(SYS_prctl, SET_VMA, 0, p, PAGES * PAGE,
				    text);
	if (!strcmp(how, "api"))
		return anonshim_name(p, PAGES * PAGE, text);
	return prctl(SET_VMA, 0, p, PAGES * PAGE, text);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	char *p = site_own();
	int result;

	victim_begin();
	result = name(how, p, "mine: my own name");
	printf("name %d errno %d\n", result, errno);
	result = name(how, p, "bad [name]");
	printf("bad name %d errno %d\n", result, errno);
	if (!strcmp(how, "unname")) {
		result = name(how, p, NULL);
		printf("no name %d errno %d\n", result, errno);
	}
	result = name(how, p + 1, "unaligned");
	printf("unaligned %d errno %d\n", result, errno);
	result = name("", p, (const char *)8);
	printf("bad pointer %d errno %d\n", result, errno);
	fflush(stdout);
	victim_wait();
	return 0;
}
