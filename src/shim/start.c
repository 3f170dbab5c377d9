/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start-up: the order in which the storeys come to life.
 *
 * Runs before every other constructor of the process (the library is linked
 * with -z initfirst), when libc's own has not run: no stdio, no getenv, the
 * environment comes as an argument.  Whatever fails leaves the shim switched
 * off and the program as it is without.
 */
#include "base/log.h"
#include "cow/cow.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/guard.h"
#include "env/real.h"
#include "heap/heap.h"
#include "interpose/fork.h"
#include "interpose/interpose.h"
#include "track/life.h"
#include "track/namer.h"
#include "track/track.h"

#include <errno.h>

static void start(char **envp)
{
	const char *options = config_init(envp);
	int result;

	if (CONFIG_NUMBER(help))
		config_help();
	real_init();
	malloc_meet();
	if (!CONFIG_NUMBER(enable) || CONFIG_NUMBER(naming) == NAMING_OFF) {
		heap_leave();
		return;
	}
	caps_init(namer_probe);
	if (CONFIG_NUMBER(verbose)) {
		config_print();
		caps_print();
	}
	result = life_start(PACKAGE_VERSION, options);
	if (result) {
		log_text("start-up: out of memory; going on without names");
		heap_leave();
		return;
	}
	cow_start();
	guard_ready = true;
	if (malloc_start())
		log_text("no room for a heap by owner; malloc is libc's");
	fork_init();
}

__attribute__((constructor(101))) static void construct(int argc, char **argv,
							char **envp)
{
	int err = errno;

	(void)argc;
	(void)argv;
	start(envp);
	guard_early = false;
	errno = err;
}
