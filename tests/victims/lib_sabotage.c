/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a bad shim would do, preloaded in its place, so that the tests show
 * that they would see it.  SABOTAGE says what: fd, mask, env, errno, result,
 * stdout, status.
 */
#include "victim.h"

#include <fcntl.h>
#include <signal.h>

static char sabotage[16];

static int is(const char *word)
{
	return !strcmp(sabotage, word);
}

__attribute__((constructor)) static void sabotage_start(void)
{
	const char *word = getenv("SABOTAGE");
	sigset_t set;

	snprintf(sabotage, sizeof(sabotage), "%s", word ? word : "");
	if (is("fd"))
		CHECK(open("/dev/null", O_RDONLY) >= 0);
	if (is("env"))
		setenv("SABOTAGED", "1", 1);
	if (is("stdout"))
		dprintf(1, "sabotaged\n");
	if (is("mask")) {
		sigemptyset(&set);
		sigaddset(&set, SIGUSR2);
		sigprocmask(SIG_BLOCK, &set, NULL);
	}
}

__attribute__((destructor)) static void sabotage_end(void)
{
	if (is("status"))
		_exit(42);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	long (*call)(long, ...) = syscall;
	int err = errno;
	long result = call(SYS_mmap, addr, len, prot, flags, fd, offset);

	if (result == -1 && is("result"))
		return NULL;
	if (is("errno"))
		errno = EDOM;
	else if (result != -1)
		errno = err;
	return (void *)result;
}
