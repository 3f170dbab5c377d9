/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one place that orders what happens around fork.
 *
 * Contract: fork_init() once, at start-up, before any other handler is
 * registered: our prepare handler then runs last and the others first, so
 * that handlers of the program run with every lock of ours free.  Children of
 * _Fork() and of raw system calls run no handlers: track.c notices them.
 */
#ifndef ANONSHIM_SHIM_FORK_H
#define ANONSHIM_SHIM_FORK_H

void fork_init(void);

#endif
