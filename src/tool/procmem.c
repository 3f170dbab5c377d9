/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a live process with process_vm_readv. */
#include "tool/procmem.h"

#include <errno.h>
#include <sys/uio.h>

/* The kernel moves at most MAX_RW_COUNT bytes a call; stay well below. */
#define PIECE_BYTES (UINT64_C(1) << 30)

static int read_piece(pid_t pid, uint64_t addr, void *to, size_t len)
{
	struct iovec local = {to, len};
	struct iovec remote = {(void *)(uintptr_t)addr, len};
	ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	if (got < 0)
		return -errno;
	return (size_t)got == len ? 0 : -EFAULT;
}

static int procmem_read(struct space *space, uint64_t addr, void *to,
			size_t len)
{
	struct procmem *mem = (struct procmem *)space;

	while (len > 0) {
		size_t piece = len < PIECE_BYTES ? len : PIECE_BYTES;
		int status = read_piece(mem->pid, addr, to, piece);

		if (status != 0)
			return status;
		addr += piece;
		to = (char *)to + piece;
		len -= piece;
	}
	return 0;
}

void procmem_init(struct procmem *mem, pid_t pid)
{
	mem->space.read = procmem_read;
	mem->pid = pid;
}
