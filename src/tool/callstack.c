/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call stacks.  A module's file may have been replaced since it was loaded, or
 * be another one on the machine where a core file is read; its symbols are
 * used only if it begins like what is in memory (the build ID is there too).
 */
#include "tool/callstack.h"

#include <stdlib.h>
#include <string.h>

#include "tool/demangle.h"
#include "tool/mem.h"
#include "tool/text.h"

#define SAMPLE_BYTES 1024

void callstack_init(struct callstack *stack, struct subject *subject)
{
	uint64_t modules = subject->registry.nmodules;

	stack->subject = subject;
	stack->symbols = mem_zalloc(modules, sizeof(*stack->symbols));
	stack->tried = mem_zalloc(modules, sizeof(*stack->tried));
}

void callstack_destroy(struct callstack *stack)
{
	for (uint64_t i = 0; i < stack->subject->registry.nmodules; i++)
		symbolise_close(&stack->symbols[i]);
	free(stack->symbols);
	free(stack->tried);
}

/* Memory that is not there any more or was not dumped proves nothing. */
static bool is_same_file(struct subject *subject, uint64_t start,
			 struct filespace *file)
{
	char memory[SAMPLE_BYTES], disk[SAMPLE_BYTES];

	if (space_read(&file->space, 0, disk, sizeof(disk)) != 0)
		return false;
	if (space_read(subject->space, start, memory, sizeof(memory)) != 0)
		return true;
	return memcmp(memory, disk, sizeof(disk)) == 0;
}

static const struct symbolise *symbols_of(struct callstack *stack,
					  uint32_t index)
{
	struct subject *subject = stack->subject;
	const struct registry_module *module =
		&subject->registry.modules[index];
	const char *path = registry_string(&subject->registry, module->path);
	const struct procfs *proc =
		subject->core == NULL ? &subject->proc : NULL;
	struct filespace file;

	if (stack->tried[index])
		return &stack->symbols[index];
	stack->tried[index] = true;
	if (filespace_open(&file, proc, path) != 0)
		return &stack->symbols[index];
	if (module->unloaded != 0 ||
	    is_same_file(subject, module->start, &file))
		symbolise_open(&stack->symbols[index], &file);
	filespace_close(&file);
	return &stack->symbols[index];
}

static void print_frame(struct callstack *stack, uint64_t frame, FILE *to)
{
	const struct registry *reg = &stack->subject->registry;
	uint32_t index = REGISTRY_FRAME_MODULE(frame);
	uint64_t offset = REGISTRY_FRAME_OFFSET(frame), into;
	const char *symbol;

	if (index == 0 || index >= reg->nmodules) {
		fprintf(to, "%#llx", (unsigned long long)offset);
		return;
	}
	text_put(to, registry_string(reg, reg->modules[index].owner));
	fprintf(to, "+%#llx", (unsigned long long)offset);
	/* A return address: the call is before it, maybe in another function */
	symbol = symbolise_find(symbols_of(stack, index), offset - 1, &into);
	if (symbol == NULL)
		return;
	fputs("  ", to);
	text_put(to, demangle_intern(&stack->subject->pool, symbol));
	fprintf(to, "+%#llx", (unsigned long long)into + 1);
}

void callstack_print(struct callstack *stack, const struct registry_site *site,
		     FILE *to)
{
	const struct registry *reg = &stack->subject->registry;

	for (unsigned i = 0; i < site->nframes; i++) {
		fprintf(to, "    #%-2u ", i);
		print_frame(stack, reg->frames[site->frames + i], to);
		if (i == site->picked && site->nframes > 1)
			fputs("  <- site", to);
		fputc('\n', to);
	}
}
