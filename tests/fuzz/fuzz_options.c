/* SPDX-License-Identifier: BSD-2-Clause */
/* libFuzzer: the value of ANONSHIM_OPTIONS. */
#include "env/config.h"
#include "track/name.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void complain(const char *message)
{
	for (; *message; message++)
		if (*message < 0x20 || *message > 0x7e)
			abort();
}

/* Names made with the template that came out must suit the kernel. */
static void use(const struct config *c)
{
	struct name_parts parts = {"libowner.so.1", "heap", "site", 1, 2};
	char name[NAME_BYTES];

	name_compose(c->value[CONFIG_name].text, &parts, name);
	if (!name_valid(name) || strlen(name) >= NAME_BYTES)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config c;
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	config_defaults(&c);
	config_parse(&c, text, complain);
	use(&c);
	free(text);
	return 0;
}
