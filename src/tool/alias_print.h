/* SPDX-License-Identifier: BSD-2-Clause */
/* Alias groups for people and as JSON. */
#ifndef ANONSHIM_TOOL_ALIAS_PRINT_H
#define ANONSHIM_TOOL_ALIAS_PRINT_H

#include <stdio.h>

#include "tool/alias_group.h"

/* All of them and what they come to; nothing where there is none. */
void alias_print(const struct alias_groups *groups, FILE *to);

/* Two lines on one of them. */
void alias_print_group(const struct alias_group *group, FILE *to);

/* The members `fork_copy` and `alias_groups` of an object, no comma behind. */
void alias_print_json(const struct alias_groups *groups, FILE *to);

#endif
