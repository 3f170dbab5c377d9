/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starting the shim's core in a test, and failing system calls; see support.h.
 */
#include "support.h"

#include "base/sys.h"
#include "env/caps.h"
#include "env/config.h"
#include "env/real.h"
#include "track/life.h"
#include "track/namer.h"
#include "track/track.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>

static struct {
	long nr;
	long result;
	unsigned pass;
	int times;
	unsigned seen;
} fault;

static bool fault_hook(long nr, long *result)
{
	unsigned n;

	if (nr != fault.nr)
		return false;
	n = __atomic_fetch_add(&fault.seen, 1, __ATOMIC_RELAXED);
	if (n < fault.pass ||
	    (fault.times >= 0 && n >= fault.pass + (unsigned)fault.times))
		return false;
	*result = fault.result;
	return true;
}

void fault_set(long nr, long err, unsigned pass, int times)
{
	sys_hook = NULL;
	fault.nr = nr;
	fault.result = err;
	fault.pass = pass;
	fault.times = times;
	fault.seen = 0;
	sys_hook = fault_hook;
}

void fault_none(void)
{
	sys_hook = NULL;
}

unsigned fault_count(void)
{
	return fault.seen;
}

uintptr_t libc_function(const char *name)
{
	void *libc = dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);

	cr_assert_not_null(libc);
	return (uintptr_t)dlsym(libc, name);
}

uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void shim_configure(const char *options)
{
	static char variable[2048];
	char *envp[] = {variable, NULL};

	snprintf(variable, sizeof(variable), "ANONSHIM_OPTIONS=%s", options);
	config_init(envp);
	real_init();
	caps_init(namer_probe);
}

void shim_start(const char *options)
{
	shim_configure(options);
	cr_assert_eq(life_start("test", options), 0, "track_init");
}
