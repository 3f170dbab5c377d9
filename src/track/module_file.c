/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file that a module was loaded from; see module_file.h.
 */
#include "track/module_file.h"

#include "env/caps.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PIECE_BYTES 4096
#define PIECE_SECTIONS (PIECE_BYTES / sizeof(ElfW(Shdr)))

static char piece[PIECE_BYTES]; /* under registry_lock */

bool module_file_open(struct module_file *file, const struct module *m)
{
	const char *path = module_path(m);
	long fd;

	if (!caps.files || path[0] != '/')
		return false;
	/* the path may lead to anything by now: a FIFO must not hold us */
	fd = sys_open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
	if (sys_failed(fd))
		return false;
	file->fd = (int)fd;
	if (!sys_failed(sys_file(file->fd, &file->now)))
		return true;
	sys_close(file->fd);
	return false;
}

void module_file_close(struct module_file *file)
{
	sys_close(file->fd);
}

bool module_file_read(const struct module_file *file, uint64_t offset, void *to,
		      size_t bytes)
{
	return sys_pread(file->fd, to, bytes, (off_t)offset) == (long)bytes;
}

/* Whether the BYTES at OFFSET are those in memory. */
static bool same(const struct module_file *file, uint64_t offset,
		 const void *memory, size_t bytes)
{
	const char *p = memory;

	while (bytes) {
		size_t n = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;

		if (!module_file_read(file, offset, piece, n) ||
		    memcmp(piece, p, n) != 0)
			return false;
		offset += n;
		p += n;
		bytes -= n;
	}
	return true;
}

/* Whether PH is of a segment that is loaded and not written to. */
static bool is_constant(const struct module *m, const ElfW(Phdr) * ph)
{
	for (uint32_t i = 0; i < m->phnum; i++) {
		const ElfW(Phdr) *load = &m->phdr[i];

		if (load->p_type == PT_LOAD && !(load->p_flags & PF_W) &&
		    ph->p_vaddr - load->p_vaddr < load->p_filesz &&
		    ph->p_filesz <=
			    load->p_filesz - (ph->p_vaddr - load->p_vaddr))
			return true;
	}
	return false;
}

/*
 * The program headers are the file's, and the first page of its notes, with
 * the build id, and of the table of its functions.
 */
static bool is_of(const struct module_file *file, const ElfW(Ehdr) * e,
		  const struct module *m)
{
	if (memcmp(e->e_ident, ELFMAG, SELFMAG) != 0 ||
	    e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_phnum != m->phnum ||
	    !same(file, e->e_phoff, m->phdr, m->phnum * sizeof(*m->phdr)))
		return false;
	for (uint32_t i = 0; i < m->phnum; i++) {
		const ElfW(Phdr) *ph = &m->phdr[i];
		size_t n =
			ph->p_filesz < PIECE_BYTES ? ph->p_filesz : PIECE_BYTES;

		if ((ph->p_type == PT_NOTE || ph->p_type == PT_GNU_EH_FRAME) &&
		    is_constant(m, ph) &&
		    !same(file, ph->p_offset,
			  (const void *)(m->bias + ph->p_vaddr), n))
			return false;
	}
	return true;
}

/* The BYTES at OFFSET are within the file. */
static bool within(const struct module_file *file, uint64_t offset,
		   uint64_t bytes)
{
	return offset <= file->now.size && bytes <= file->now.size - offset;
}

static int symbols_at(const struct module_file *file, const ElfW(Ehdr) * e,
		      const ElfW(Shdr) * table, struct module_symbols *out)
{
	ElfW(Shdr) names;
	uint64_t count = table->sh_size / sizeof(ElfW(Sym));

	if (table->sh_link >= e->e_shnum ||
	    !module_file_read(file, e->e_shoff + table->sh_link * sizeof(names),
			      &names, sizeof(names)) ||
	    !within(file, table->sh_offset, table->sh_size) ||
	    !within(file, names.sh_offset, names.sh_size) || count > INT32_MAX)
		return -EINVAL;
	*out = (struct module_symbols){
		.at = table->sh_offset,
		.count = (uint32_t)count,
		.names_at = names.sh_offset,
		.names_bytes = names.sh_size,
	};
	return 1;
}

int module_file_symbols(const struct module_file *file, const struct module *m,
			struct module_symbols *out)
{
	const ElfW(Shdr) *sh = (const void *)piece;
	ElfW(Ehdr) e;
	size_t n;

	if (!module_file_read(file, 0, &e, sizeof(e)) || !is_of(file, &e, m) ||
	    (e.e_shnum && e.e_shentsize != sizeof(*sh)))
		return -EINVAL;
	for (size_t first = 0; first < e.e_shnum; first += n) {
		n = e.e_shnum - first;
		if (n > PIECE_SECTIONS)
			n = PIECE_SECTIONS;
		if (!module_file_read(file, e.e_shoff + first * sizeof(*sh),
				      piece, n * sizeof(*sh)))
			return -EINVAL;
		for (size_t i = 0; i < n; i++)
			if (sh[i].sh_type == SHT_SYMTAB)
				return symbols_at(file, &e, &sh[i], out);
	}
	return 0;
}
