/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes that run under anonshim. */
#ifndef ANONSHIM_TOOL_SHIMMED_H
#define ANONSHIM_TOOL_SHIMMED_H

#include <sys/types.h>

#include "tool/cli.h"

/*
 * The PID of the only process under anonshim that this user can see.  CLI_OK,
 * or CLI_USAGE after a line that says there are none or names several.
 */
int shimmed_pick(const struct command *cmd, pid_t *pid);

#endif
