/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * unprotected COMMAND...: runs it where userfaultfd protects no memory, though
 * the kernel says that it does.
 */
#include "victim.h"

#include <err.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#define WORD(field) \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skipped) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), 0, skipped)
#define DOES_NOTHING BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 0)

/* That it is there is not to be seen. */
static struct sock_filter filter[] = {
	WORD(nr),
	UNLESS(SYS_ioctl, 3),
	WORD(args[1]),
	UNLESS(UFFDIO_WRITEPROTECT, 1),
	DOES_NOTHING,
	WORD(nr),
	UNLESS(SYS_prctl, 3),
	WORD(args[0]),
	UNLESS(PR_GET_SECCOMP, 1),
	DOES_NOTHING,
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

int main(int argc, char **argv)
{
	if (argc < 2)
		errx(2, "usage: unprotected COMMAND...");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		err(2, "prctl");
	execv(argv[1], argv + 1);
	err(2, "%s", argv[1]);
}
