/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Capabilities: probed, assumed.
 */
#include "env/caps.h"
#include "env/config.h"
#include "support.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>

static bool answer;

static bool probe(void)
{
	return answer;
}

static void configure(const char *options)
{
	static char variable[256];
	char *envp[] = {variable, NULL};

	snprintf(variable, sizeof(variable), "ANONSHIM_OPTIONS=%s", options);
	config_init(envp);
	caps_init(probe);
}

Test(caps, names_are_what_the_probe_says)
{
	answer = true;
	configure("");
	cr_assert(caps.names && caps.files);
	answer = false;
	configure("");
	cr_assert(!caps.names);
}

Test(caps, assume_overrides_each)
{
	answer = true;
	configure("assume=names=0");
	cr_assert(!caps.names && caps.files);
	answer = false;
	configure("assume=procmap=0:names=1:files=0");
	cr_assert(caps.names && !caps.procmap && !caps.files);
	configure("assume=procmap=1");
	cr_assert(caps.procmap);
}

Test(caps, assume_of_what_is_no_capability_changes_nothing)
{
	answer = true;
	configure("assume=name=0:namesx=0:x:=:");
	cr_assert(caps.names && caps.files);
}

Test(caps, max_map_count_is_the_kernels_or_its_default)
{
	unsigned long want = 0;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");

	cr_assert(f && fscanf(f, "%lu", &want) == 1);
	fclose(f);
	configure("");
	cr_assert_eq(caps.max_map_count, want);
	fault_set(SYS_openat, -EACCES, 0, -1);
	configure("");
	cr_assert_eq(caps.max_map_count, 65530);
	cr_assert(!caps.procmap, "no /proc, no query");
	fault_set(SYS_read, -EIO, 0, -1);
	configure("");
	cr_assert_eq(caps.max_map_count, 65530);
}
