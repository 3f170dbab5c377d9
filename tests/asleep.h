/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What tests and victims share that want another thread to wait before they go
 * on: /proc says when it does.
 */
#ifndef ANONSHIM_TESTS_ASLEEP_H
#define ANONSHIM_TESTS_ASLEEP_H

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* Whether TID, a thread or a process, waits for something, or is gone. */
static inline bool is_asleep(pid_t tid)
{
	char path[32], line[128] = "";
	const char *name_end;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, line, sizeof(line) - 1) < 0)
		line[0] = '\0';
	close(fd);
	name_end = strrchr(line, ')');
	return !name_end || name_end[2] == 'S';
}

static inline void await_asleep(pid_t tid)
{
	while (!is_asleep(tid))
		sched_yield();
}

#endif
