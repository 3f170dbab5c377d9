/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Core files: headers, PT_LOADs, and the memory they hold.  The notes are in
 * core_notes.c.
 */
#include "tool/elf_core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool/core_notes.h"
#include "tool/elf_sym.h"
#include "tool/mem.h"
#include "tool/registry_read.h"

#define MOST_PHDRS (1 << 24)
#define MOST_NOTES (UINT64_C(1) << 30)
#define PIECE_BYTES 65536

static int refuse(struct elf_core *core, const char *why)
{
	snprintf(core->why, sizeof(core->why), "%s", why);
	return -EBADMSG;
}

static int refuse_truncated(struct elf_core *core, uint64_t promised)
{
	snprintf(core->why, sizeof(core->why),
		 "it is truncated, with %llu of %llu bytes",
		 (unsigned long long)core->bytes, (unsigned long long)promised);
	return -EBADMSG;
}

/* Reads what the file must have at an offset. */
static int read_at(struct elf_core *core, uint64_t offset, void *to, size_t len)
{
	if (offset > core->bytes)
		return refuse_truncated(core, offset);
	while (len > 0) {
		ssize_t got = pread(core->fd, to, len, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			return refuse_truncated(core, offset + len);
		offset += (uint64_t)got;
		to = (char *)to + got;
		len -= (size_t)got;
	}
	return 0;
}

/* With 65,535 VMAs and more the count is in the first section header. */
static int count_phdrs(struct elf_core *core, const ElfW(Ehdr) * ehdr,
		       size_t *count)
{
	ElfW(Shdr) shdr;
	int status;

	*count = ehdr->e_phnum;
	if (ehdr->e_phnum != PN_XNUM)
		return 0;
	status = read_at(core, ehdr->e_shoff, &shdr, sizeof(shdr));
	if (status == 0 && shdr.sh_info > MOST_PHDRS)
		return refuse(core, "it counts more VMAs than any process has");
	*count = shdr.sh_info;
	return status;
}

static int add_load(struct elf_core *core, const ElfW(Phdr) * phdr)
{
	struct elf_core_load *load = &core->load[core->nloads];

	if (phdr->p_memsz == 0)
		return 0;
	load->start = phdr->p_vaddr;
	load->end = phdr->p_vaddr + phdr->p_memsz;
	load->offset = phdr->p_offset;
	load->file_bytes = phdr->p_filesz;
	load->flags = phdr->p_flags;
	if (load->end < load->start || phdr->p_filesz > phdr->p_memsz ||
	    (core->nloads > 0 && load->start < load[-1].end))
		return refuse(core, "its memory segments make no sense");
	if (load->file_bytes > 0 &&
	    (load->offset > core->bytes ||
	     load->file_bytes > core->bytes - load->offset))
		return refuse_truncated(core, load->offset + load->file_bytes);
	core->nloads++;
	return 0;
}

static int read_notes(struct elf_core *core, const ElfW(Phdr) * phdr)
{
	int status;

	if (core->notes != NULL || phdr->p_filesz == 0)
		return 0;
	if (phdr->p_filesz > MOST_NOTES)
		return refuse(core, "its notes are larger than any can be");
	if (phdr->p_offset > core->bytes ||
	    phdr->p_filesz > core->bytes - phdr->p_offset)
		return refuse_truncated(core, phdr->p_offset + phdr->p_filesz);
	core->notes = mem_alloc(phdr->p_filesz, 1);
	status = read_at(core, phdr->p_offset, core->notes, phdr->p_filesz);
	return status != 0 ? status : core_notes_parse(core, phdr->p_filesz);
}

static int take_phdrs(struct elf_core *core, const ElfW(Phdr) * phdr, size_t n)
{
	int status = 0;

	core->load = mem_alloc(n, sizeof(*core->load));
	for (size_t i = 0; i < n && status == 0; i++) {
		if (phdr[i].p_type == PT_NOTE)
			status = read_notes(core, &phdr[i]);
		else if (phdr[i].p_type == PT_LOAD)
			status = add_load(core, &phdr[i]);
	}
	if (status == 0 && core->nloads == 0)
		return refuse(core, "it holds no memory");
	return status;
}

static int read_phdrs(struct elf_core *core)
{
	ElfW(Ehdr) ehdr;
	ElfW(Phdr) * phdr;
	size_t n;
	int status;

	if (core->bytes < sizeof(ehdr))
		return refuse(core, "it is too short to be a core file");
	status = read_at(core, 0, &ehdr, sizeof(ehdr));
	if (status != 0)
		return status;
	if (!elf_sym_is_native(&ehdr) || ehdr.e_type != ET_CORE ||
	    ehdr.e_phentsize != sizeof(*phdr))
		return refuse(core, "it is no core file of this architecture");
	status = count_phdrs(core, &ehdr, &n);
	if (status != 0)
		return status;
	if (ehdr.e_phoff > core->bytes ||
	    n > (core->bytes - ehdr.e_phoff) / sizeof(*phdr))
		return refuse_truncated(core, ehdr.e_phoff + n * sizeof(*phdr));
	phdr = mem_alloc(n, sizeof(*phdr));
	status = read_at(core, ehdr.e_phoff, phdr, n * sizeof(*phdr));
	if (status == 0)
		status = take_phdrs(core, phdr, n);
	free(phdr);
	return status;
}

static const struct elf_core_load *load_at(const struct elf_core *core,
					   uint64_t addr)
{
	size_t low = 0, high = core->nloads;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (core->load[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == core->nloads || core->load[low].start > addr)
		return NULL;
	return &core->load[low];
}

static int core_read(struct space *space, uint64_t addr, void *to, size_t len)
{
	struct elf_core *core = (struct elf_core *)space;

	while (len > 0) {
		const struct elf_core_load *load = load_at(core, addr);
		uint64_t at, piece;
		int status;

		if (load == NULL)
			return -EFAULT;
		at = addr - load->start;
		if (at >= load->file_bytes)
			return -EFAULT;
		piece = load->file_bytes - at;
		if (piece > len)
			piece = len;
		status = read_at(core, load->offset + at, to, piece);
		if (status != 0)
			return status == -EBADMSG ? -EFAULT : status;
		addr += piece;
		to = (char *)to + piece;
		len -= piece;
	}
	return 0;
}

/*
 * The next bytes of the file that are no hole, from `offset` on and before
 * `end`: false if there are none.  A file system that knows no holes says that
 * all is data, which is right as well.
 */
static bool next_data(struct elf_core *core, uint64_t offset, uint64_t end,
		      uint64_t *from, uint64_t *to)
{
	off_t data = lseek(core->fd, (off_t)offset, SEEK_DATA);
	off_t hole;

	if (data < 0 && errno == ENXIO)
		return false;
	*from = data < 0 ? offset : (uint64_t)data;
	if (*from >= end)
		return false;
	hole = lseek(core->fd, (off_t)*from, SEEK_HOLE);
	*to = hole < 0 || (uint64_t)hole > end ? end : (uint64_t)hole;
	return true;
}

static bool is_zero(const char *bytes, size_t len)
{
	return len == 0 ||
	       (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

/* Pages with something in them among the file's bytes [offset, end). */
static int count_bytes(struct elf_core *core, uint64_t offset, uint64_t end,
		       uint64_t *pages)
{
	static char piece[PIECE_BYTES];

	while (offset < end) {
		size_t len = end - offset < sizeof(piece) ? end - offset
							  : sizeof(piece);
		int status = read_at(core, offset, piece, len);

		if (status != 0)
			return status;
		for (size_t at = 0; at < len; at += core->page_bytes) {
			size_t rest = len - at;

			if (rest > core->page_bytes)
				rest = core->page_bytes;
			*pages += !is_zero(piece + at, rest);
		}
		offset += len;
	}
	return 0;
}

/* The same, passing over holes; data starts on a block, not on our page. */
static int count_data(struct elf_core *core, uint64_t start, uint64_t end,
		      uint64_t *pages)
{
	uint64_t at = start, from, to;
	uint64_t page = core->page_bytes;

	while (at < end && next_data(core, at, end, &from, &to)) {
		int status;

		from -= (from - start) % page;
		to += (page - (to - start) % page) % page;
		if (from < at)
			from = at;
		if (to > end)
			to = end;
		status = count_bytes(core, from, to, pages);
		if (status != 0)
			return status;
		at = to;
	}
	return 0;
}

static int core_count(struct page_counter *counter, uint64_t start,
		      uint64_t end, struct page_count *to)
{
	struct elf_core *core =
		(struct elf_core *)((char *)counter -
				    offsetof(struct elf_core, counter));
	const struct elf_core_load *load = load_at(core, start);
	uint64_t from, upto;

	memset(to, 0, sizeof(*to));
	if (load == NULL || end > load->end)
		return -EFAULT;
	from = start - load->start;
	upto = end - load->start;
	if (upto > load->file_bytes)
		upto = load->file_bytes;
	if (from >= upto)
		return 0;
	return count_data(core, load->offset + from, load->offset + upto,
			  &to->exclusive);
}

int elf_core_open(struct elf_core *core, const char *path)
{
	struct stat st;

	memset(core, 0, sizeof(*core));
	core->space.read = core_read;
	core->counter.count = core_count;
	core->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	core->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (core->fd < 0)
		return -errno;
	if (fstat(core->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return refuse(core, "it is no regular file");
	core->bytes = (uint64_t)st.st_size;
	return read_phdrs(core);
}

void elf_core_close(struct elf_core *core)
{
	if (core->fd >= 0)
		close(core->fd);
	free(core->load);
	free(core->file);
	free(core->notes);
	memset(core, 0, sizeof(*core));
	core->fd = -1;
}

const struct elf_core_file *elf_core_file_at(const struct elf_core *core,
					     uint64_t addr)
{
	size_t low = 0, high = core->nfiles;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (core->file[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == core->nfiles || core->file[low].start > addr)
		return NULL;
	return &core->file[low];
}

static uint64_t find_in_load(struct elf_core *core,
			     const struct elf_core_load *load)
{
	uint64_t at = load->offset, end = load->offset + load->file_bytes;
	uint64_t page = core->page_bytes, from, to;
	char magic[REGISTRY_MAGIC_BYTES];

	while (at < end && next_data(core, at, end, &from, &to)) {
		from -= (from - load->offset) % page;
		for (at = from; at < to && end - at >= sizeof(magic);
		     at += page) {
			uint64_t addr = load->start + (at - load->offset);

			if (read_at(core, at, magic, sizeof(magic)) == 0 &&
			    memcmp(magic, REGISTRY_MAGIC, sizeof(magic)) == 0 &&
			    registry_is_head(&core->space, addr))
				return addr;
		}
		if (at < to)
			break;
	}
	return 0;
}

uint64_t elf_core_find_registry(struct elf_core *core)
{
	for (size_t i = 0; i < core->nloads; i++) {
		const struct elf_core_load *load = &core->load[i];
		uint64_t addr;

		if (load->file_bytes == 0 ||
		    elf_core_file_at(core, load->start) != NULL)
			continue;
		addr = find_in_load(core, load);
		if (addr != 0)
			return addr;
	}
	return 0;
}
