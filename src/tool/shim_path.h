/* SPDX-License-Identifier: BSD-2-Clause */
/* Where libanonshim.so is, and how a child is made to load it. */
#ifndef ANONSHIM_TOOL_SHIM_PATH_H
#define ANONSHIM_TOOL_SHIM_PATH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The shim that belongs to this tool: beside it in a build tree, else where
 * both were installed.  The absolute path goes to `to`; 0 or -ENOENT.
 */
int shim_path_find(char *to, size_t bytes);

/* Whether LD_PRELOAD would take the path for several: a blank or a colon. */
bool shim_path_splits(const char *path);

/*
 * Puts the shim before what LD_PRELOAD holds, and options (a comma between
 * them) behind what ANONSHIM_OPTIONS holds, in this process's environment.
 */
void shim_path_preload(const char *path, const char *options);

#endif
