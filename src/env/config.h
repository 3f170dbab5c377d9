/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of ANONSHIM_OPTIONS, parsed once at start-up.
 *
 * Contract: the rows are in wire/options.def.  A wrong key or value is
 * reported in one line and leaves the default in force; nothing here stops a
 * program.  Read-only after config_init(), hence safe anywhere.
 */
#ifndef ANONSHIM_ENV_CONFIG_H
#define ANONSHIM_ENV_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_TEXT_BYTES 1025

enum config_naming {
	NAMING_AUTO,
	NAMING_KERNEL,
	NAMING_REGISTRY,
	NAMING_OFF,
};

enum config_heap {
	HEAP_AUTO,
	HEAP_OWNER,
	HEAP_SITE,
	HEAP_OFF,
};

enum config_fork {
	FORK_AUTO,
	FORK_ALL,
	FORK_NONE,
};

enum config_copy {
	COPY_AUTO,
	COPY_EAGER,
	COPY_LAZY,
};

struct config_value {
	uint64_t number; /* BOOL, CHOICE (its index), NUMBER, PERCENT, SIZE */
	char text[CONFIG_TEXT_BYTES]; /* TEXT, LIST */
	bool given;		      /* by the variable, not the default */
};

enum config_option {
#define OPTION(field, key, type, value, low, high, choices, unit, text, cost) \
	CONFIG_##field,
#include "wire/options.def"
#undef OPTION
	CONFIG_OPTIONS
};

struct config {
	struct config_value value[CONFIG_OPTIONS];
};

extern struct config config;

#define CONFIG_NUMBER(field) (config.value[CONFIG_##field].number)
#define CONFIG_TEXT(field) ((const char *)config.value[CONFIG_##field].text)

/* Receives one message, without "anonshim: " and newline. */
typedef void config_complaint(const char *message);

/* Set every option of C to its default. */
void config_defaults(struct config *c);

/* Apply TEXT, "key=value,key=value", to C; COMPLAIN of what is wrong. */
void config_parse(struct config *c, const char *text,
		  config_complaint *complain);

/*
 * Fill `config` from ENVP.  Under AT_SECURE the variable is ignored.  Returns
 * the variable's text, "" where there is none.
 */
const char *config_init(char **envp);

/* Print every option with range, default and cost. */
void config_help(void);
/* Print effective values and where each came from. */
void config_print(void);

#endif
