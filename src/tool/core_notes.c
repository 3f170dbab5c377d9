/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Notes of a core file: NT_PRPSINFO, NT_PRSTATUS, NT_AUXV and NT_FILE.  Every
 * length is held against what is left of the notes.
 */
#include "tool/core_notes.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

#include "tool/mem.h"

struct desc {
	char *at;
	size_t bytes;
};

static int refuse(struct elf_core *core, const char *why)
{
	snprintf(core->why, sizeof(core->why), "%s", why);
	return -EBADMSG;
}

static int take_psinfo(struct elf_core *core, struct desc desc)
{
	struct elf_prpsinfo info;

	if (desc.bytes < sizeof(info))
		return refuse(core, "its NT_PRPSINFO is too short");
	memcpy(&info, desc.at, sizeof(info));
	core->pid = info.pr_pid;
	memcpy(core->comm, info.pr_fname, sizeof(info.pr_fname));
	core->comm[sizeof(info.pr_fname)] = '\0';
	return 0;
}

/* A thread; the process's number is in NT_PRPSINFO where there is one. */
static int take_status(struct elf_core *core, struct desc desc)
{
	struct elf_prstatus status;

	if (desc.bytes < sizeof(status))
		return refuse(core, "its NT_PRSTATUS is too short");
	memcpy(&status, desc.at, sizeof(status));
	if (core->pid == 0)
		core->pid = status.pr_pid;
	return 0;
}

static int take_auxv(struct elf_core *core, struct desc desc)
{
	for (; desc.bytes >= sizeof(ElfW(auxv_t));
	     desc.at += sizeof(ElfW(auxv_t)),
	     desc.bytes -= sizeof(ElfW(auxv_t))) {
		ElfW(auxv_t) aux;

		memcpy(&aux, desc.at, sizeof(aux));
		if (aux.a_type == AT_SYSINFO_EHDR)
			core->vdso = aux.a_un.a_val;
		else if (aux.a_type == AT_ENTRY)
			core->entry = aux.a_un.a_val;
		else if (aux.a_type == AT_EXECFN)
			core->execfn = aux.a_un.a_val;
		else if (aux.a_type == AT_NULL)
			break;
	}
	return 0;
}

static int by_start(const void *a, const void *b)
{
	const struct elf_core_file *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/*
 * count, page size, then count times start, end and offset in pages, then as
 * many paths, each ending in NUL; see fs/binfmt_elf.c, fill_files_note().
 */
static int take_files(struct elf_core *core, struct desc desc)
{
	ElfW(Addr) head[2], entry[3];
	char *path, *end = desc.at + desc.bytes;

	if (desc.bytes < sizeof(head) || core->file != NULL)
		return refuse(core, "its NT_FILE makes no sense");
	memcpy(head, desc.at, sizeof(head));
	if (head[0] > (desc.bytes - sizeof(head)) / sizeof(entry))
		return refuse(core, "its NT_FILE is too short");
	core->file = mem_zalloc(head[0], sizeof(*core->file));
	path = desc.at + sizeof(head) + head[0] * sizeof(entry);
	for (size_t i = 0; i < head[0]; i++) {
		struct elf_core_file *file = &core->file[i];
		size_t len = strnlen(path, (size_t)(end - path));

		if (path + len >= end)
			return refuse(core, "its NT_FILE is too short");
		memcpy(entry, desc.at + sizeof(head) + i * sizeof(entry),
		       sizeof(entry));
		file->start = entry[0];
		file->end = entry[1];
		file->offset = entry[2] * head[1];
		file->path = path;
		path += len + 1;
		core->nfiles++;
	}
	if (core->nfiles > 0)
		qsort(core->file, core->nfiles, sizeof(*core->file), by_start);
	return 0;
}

static int take_note(struct elf_core *core, uint32_t type, struct desc desc)
{
	switch (type) {
	case NT_PRPSINFO:
		return take_psinfo(core, desc);
	case NT_PRSTATUS:
		return take_status(core, desc);
	case NT_AUXV:
		return take_auxv(core, desc);
	case NT_FILE:
		return take_files(core, desc);
	}
	return 0;
}

static uint64_t padded(uint64_t bytes)
{
	return (bytes + 3) & ~UINT64_C(3);
}

int core_notes_parse(struct elf_core *core, uint64_t bytes)
{
	uint64_t at = 0;

	while (bytes - at >= sizeof(ElfW(Nhdr))) {
		ElfW(Nhdr) note;
		struct desc desc;
		const char *name = core->notes + at + sizeof(note);
		uint64_t whole;
		int status = 0;

		memcpy(&note, core->notes + at, sizeof(note));
		whole = sizeof(note) + padded(note.n_namesz);
		if (whole + note.n_descsz > bytes - at)
			return refuse(core, "its notes are cut off");
		desc.at = core->notes + at + whole;
		desc.bytes = note.n_descsz;
		if (note.n_namesz == 5 && memcmp(name, "CORE", 5) == 0)
			status = take_note(core, note.n_type, desc);
		if (status != 0)
			return status;
		whole += padded(note.n_descsz);
		at = whole < bytes - at ? at + whole : bytes;
	}
	return 0;
}
