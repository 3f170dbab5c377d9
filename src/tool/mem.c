/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory of the tool itself, or the end of it. */
#include "tool/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tool/cli.h"

static _Noreturn void out_of_memory(void)
{
	cli_fail("get memory", NULL, ENOMEM, "free some and try again");
	exit(CLI_FAILED);
}

void *mem_realloc(void *old, size_t count, size_t bytes)
{
	void *now;

	if (bytes != 0 && count > SIZE_MAX / bytes)
		out_of_memory();
	now = realloc(old, count * bytes != 0 ? count * bytes : 1);
	if (now == NULL)
		out_of_memory();
	return now;
}

void *mem_alloc(size_t count, size_t bytes)
{
	return mem_realloc(NULL, count, bytes);
}

void *mem_zalloc(size_t count, size_t bytes)
{
	void *now = calloc(count != 0 ? count : 1, bytes != 0 ? bytes : 1);

	if (now == NULL)
		out_of_memory();
	return now;
}

void *mem_grow(void *array, size_t count, size_t *cap, size_t bytes)
{
	if (count < *cap)
		return array;
	*cap = *cap != 0 ? *cap * 2 : 16;
	return mem_realloc(array, *cap, bytes);
}

char *mem_strdup(const char *text)
{
	size_t bytes = strlen(text) + 1;

	return memcpy(mem_alloc(1, bytes), text, bytes);
}
