/* SPDX-License-Identifier: BSD-2-Clause */
/* Making the copy of a registry what registry_read.h promises of it. */
#ifndef ANONSHIM_TOOL_REGISTRY_CHECK_H
#define ANONSHIM_TOOL_REGISTRY_CHECK_H

#include "tool/registry_read.h"

/* Checks the tables of a copy against each other; counts what is wrong. */
void registry_check(struct registry *reg);

#endif
