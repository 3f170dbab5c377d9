/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The calls of process.c.
 */
#ifndef ANONSHIM_INTERPOSE_PROCESS_H
#define ANONSHIM_INTERPOSE_PROCESS_H

/* X(name, parameters, arguments) */
#define PROCESS_CALLS(X)                                              \
	X(unshare, (int flags), (flags))                              \
	X(setns, (int fd, int type), (fd, type))                      \
	X(setuid, (uid_t id), (id))                                   \
	X(setgid, (gid_t id), (id))                                   \
	X(seteuid, (uid_t id), (id))                                  \
	X(setegid, (gid_t id), (id))                                  \
	X(setreuid, (uid_t real_id, uid_t id), (real_id, id))         \
	X(setregid, (gid_t real_id, gid_t id), (real_id, id))         \
	X(setresuid, (uid_t real_id, uid_t id, uid_t saved),          \
	  (real_id, id, saved))                                       \
	X(setresgid, (gid_t real_id, gid_t id, gid_t saved),          \
	  (real_id, id, saved))                                       \
	X(setgroups, (size_t n, const gid_t *list), (n, list))        \
	X(initgroups, (const char *user, gid_t group), (user, group)) \
	X(capset, (void *header, const void *data), (header, data))   \
	X(chroot, (const char *path), (path))

#endif
