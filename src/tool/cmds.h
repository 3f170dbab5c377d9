/* SPDX-License-Identifier: BSD-2-Clause */
/* The subcommands, one file each; main's table holds them. */
#ifndef ANONSHIM_TOOL_CMDS_H
#define ANONSHIM_TOOL_CMDS_H

#include "tool/cli.h"

extern const struct command cmd_run;
extern const struct command cmd_report;
extern const struct command cmd_explain;
extern const struct command cmd_doctor;

#endif
