/* SPDX-License-Identifier: BSD-2-Clause */
/* Finding processes that have the shim mapped. */
#include "tool/shimmed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tool/procfs.h"
#include "tool/shim_locate.h"
#include "tool/smaps.h"

#define MOST_NAMED 8 /* PIDs in a message */

static int stop_at_shim(const struct smaps_vma *vma, void *arg)
{
	(void)arg;
	return shim_locate_is_shim(vma->name);
}

static bool has_shim(pid_t pid)
{
	struct procfs fs;
	int fd, found;

	if (procfs_open(&fs, "/proc", pid) != 0)
		return false;
	fd = procfs_file(&fs, "maps");
	found = fd >= 0 ? smaps_read(fd, stop_at_shim, NULL) : 0;
	if (fd >= 0)
		close(fd);
	procfs_close(&fs);
	return found == 1;
}

/* The number of such processes; the first of them go to pid[]. */
static int find_all(pid_t *pid, int most)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		pid_t candidate;

		if (!cli_parse_pid(entry->d_name, &candidate) ||
		    !has_shim(candidate))
			continue;
		if (found < most)
			pid[found] = candidate;
		found++;
	}
	closedir(dir);
	return found;
}

int shimmed_pick(const struct command *cmd, pid_t *pid)
{
	pid_t found[MOST_NAMED];
	int count = find_all(found, MOST_NAMED);
	char list[MOST_NAMED * 12] = "";

	if (count == 0)
		return cli_usage(cmd, "no process runs under anonshim: give a "
				      "PID, or start one with anonshim run");
	*pid = found[0];
	if (count == 1)
		return CLI_OK;
	for (int i = 0; i < count && i < MOST_NAMED; i++) {
		size_t used = strlen(list);

		snprintf(list + used, sizeof(list) - used, " %d",
			 (int)found[i]);
	}
	return cli_usage(cmd, "%d processes run under anonshim, give one:%s%s",
			 count, list, count > MOST_NAMED ? " ..." : "");
}
