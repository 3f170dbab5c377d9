/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that a module was loaded from, for what of it is not in memory.
 *
 * By now another file may be at its path, or other bytes in it: what is read
 * is held against what is mapped first.  Read piece by piece, for a mapping
 * of it could raise SIGBUS.
 *
 * Contract: busy, registry_lock held.  A descriptor is open from
 * module_file_open() to module_file_close(), which is within one call of the
 * program's.
 */
#ifndef ANONSHIM_TRACK_MODULE_FILE_H
#define ANONSHIM_TRACK_MODULE_FILE_H

#include "base/sys.h"
#include "track/module.h"

struct module_file {
	int fd;
	struct sys_file now;
};

/* Where a file has its symbols; in bytes from its start. */
struct module_symbols {
	uint64_t at;
	uint32_t count;
	uint64_t names_at;
	uint64_t names_bytes;
};

/* Open what is at MODULE's path, where files may be opened. */
bool module_file_open(struct module_file *file, const struct module *module);
void module_file_close(struct module_file *file);

/* Read BYTES at OFFSET to TO, all of them or fail. */
bool module_file_read(const struct module_file *file, uint64_t offset, void *to,
		      size_t bytes);

/*
 * Find the .symtab of MODULE's file.  Returns 1, 0 where it has none, or
 * -EINVAL where FILE is another or damaged.  Reads a few pieces.
 */
int module_file_symbols(const struct module_file *file,
			const struct module *module,
			struct module_symbols *symbols);

#endif
