/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fork_jit [mdwe]: code in a memfd, written by one address and called by
 * another, as JITs and closure libraries have it where nothing may be both.
 * A child drops its privileges and patches the code: by its view, by a view
 * that it maps anew, and by the descriptor.  Its parent keeps calling its own.
 * "mdwe": where the kernel refuses to make anything executable later on.
 */
#include "fork_help.h"

#include <grp.h>
#include <sys/prctl.h>

#define NOBODY 65534
#define FUNCTIONS 8
#define SLOT_BYTES 64
#define CALLS 1000
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

static struct {
	int fd;
	char *write, *run;
} code;

/* A function that returns VALUE, below 65,536. */
static void emit(char *at, char *run, unsigned value)
{
#if defined(__x86_64__)
	unsigned char text[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax; ret */

	memcpy(text + 1, &value, sizeof(value));
#elif defined(__aarch64__)
	uint32_t text[] = {0x52800000 | value << 5, 0xd65f03c0}; /* mov; ret */
#else
	char text[1] = {0};

	SKIP("no code for this machine");
#endif
	memcpy(at, text, sizeof(text));
	__builtin___clear_cache(run, run + sizeof(text));
}

static void emit_all(char *view, unsigned base)
{
	for (unsigned i = 0; i < FUNCTIONS; i++)
		emit(view + i * SLOT_BYTES, code.run + i * SLOT_BYTES,
		     base + i);
}

static void call_all(unsigned base, const char *when)
{
	for (unsigned i = 0; i < FUNCTIONS; i++) {
		union {
			char *address;
			unsigned (*call)(void);
		} to = {code.run + i * SLOT_BYTES};
		unsigned got = to.call();

		if (got != base + i)
			wrong("function %u %s returns %u, not %u", i, when, got,
			      base + i);
	}
}

static void drop_privileges(void)
{
	if (geteuid())
		return;
	CHECK(!setgroups(0, NULL));
	CHECK(!setgid(NOBODY) && !setuid(NOBODY) && setuid(0));
}

/* Each of its three ways to the code, each seen by itself. */
static void child_run(struct talk *talk)
{
	static char copy[FUNCTIONS * SLOT_BYTES];
	char *view;

	call_all(100, "as forked");
	drop_privileges();
	emit_all(code.write, 200);
	call_all(200, "patched");
	talk_say(talk);
	talk_hear(talk);
	call_all(200, "after the parent patched its own");
	view = map_shared(code.fd, 1, 0, PROT_READ | PROT_WRITE);
	emit_all(view, 300);
	call_all(300, "patched by a new view");
	talk_say(talk);
	talk_hear(talk);
	emit_all(copy, 400);
	CHECK(pwrite(code.fd, copy, sizeof(copy), 0) == sizeof(copy));
	call_all(400, "patched by the descriptor");
	talk_say(talk);
	talk_hear(talk);
	talk_end(talk);
}

int main(int argc, char **argv)
{
	struct talk talk;

	victim_begin();
	if (argc > 1 && prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0))
		SKIP("this kernel has no PR_SET_MDWE");
	code.fd = memfd_of("code", 1, MFD_CLOEXEC);
	code.write = map_shared(code.fd, 1, 0, PROT_READ | PROT_WRITE);
	code.run = map_shared(code.fd, 1, 0, PROT_READ | PROT_EXEC);
	emit_all(code.write, 100);
	call_all(100, "as written");
	talk_open(&talk);
	talk_split(&talk, fork());
	if (!talk.child)
		child_run(&talk);
	for (unsigned turn = 0; turn < 3; turn++) {
		unsigned base = turn ? 500 : 100;

		talk_hear(&talk);
		for (unsigned i = 0; i < CALLS; i++)
			call_all(base, "of the parent");
		emit_all(code.write, 500);
		call_all(500, "patched by the parent");
		talk_say(&talk);
	}
	talk_end(&talk);
	call_all(500, "at last");
	return 0;
}
