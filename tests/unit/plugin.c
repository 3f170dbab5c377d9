/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module that the tests load and unload: an exported function, a hidden one
 * that only .symtab knows, and a bss of whole pages.
 */
#include <stddef.h>

typedef void *plugin_mapper(void *arg);

char plugin_bss[8 * 4096];
void *plugin_call(plugin_mapper *map, void *arg);
void *plugin_hidden_address(void);

static void *plugin_hidden(plugin_mapper *map, void *arg)
{
	void *p = map(arg);

	__asm__ volatile("" ::: "memory"); /* no tail call */
	return p;
}

void *plugin_call(plugin_mapper *map, void *arg)
{
	void *p = plugin_hidden(map, arg);

	__asm__ volatile("" ::: "memory");
	return p;
}

void *plugin_hidden_address(void)
{
	return (void *)plugin_hidden;
}
