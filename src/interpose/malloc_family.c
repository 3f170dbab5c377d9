/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start-up of the family: whose functions the program calls, and whether the
 * heap is to be the shim's; see malloc.h.
 */
#include "base/log.h"
#include "env/config.h"
#include "env/real.h"
#include "heap/heap.h"
#include "interpose/interpose.h"
#include "interpose/malloc.h"

#include <stdint.h>

struct family family;

static bool all_ours(const char *const *names)
{
	for (; *names; names++)
		if (!real_is_ours(*names))
			return false;
	return true;
}

/* The other forms call these. */
static const char *const news[] = {"_Znwm", "_Znam", "_ZnwmSt11align_val_t",
				   "_ZnamSt11align_val_t", NULL};
static const char *const deletes[] = {"_ZdlPv", "_ZdaPv",
				      "_ZdlPvSt11align_val_t",
				      "_ZdaPvSt11align_val_t", NULL};

/*
 * Valgrind's client request RUNNING_ON_VALGRIND, which does nothing elsewhere:
 * these instructions are how it knows one.
 */
static bool is_in_valgrind(void)
{
	uint64_t request[6] = {0x1001};
	uint64_t result = 0;

	__asm__ volatile("rolq $3, %%rdi; rolq $13, %%rdi\n\t"
			 "rolq $61, %%rdi; rolq $51, %%rdi\n\t"
			 "xchgq %%rbx, %%rbx"
			 : "+d"(result)
			 : "a"(request)
			 : "cc", "memory");
	return result;
}

void malloc_meet(void)
{
	family.redirected = is_in_valgrind();
	family.malloc = real_is_ours("malloc");
	family.free = real_is_ours("free");
	family.realloc = real_is_ours("realloc");
	family.operator_new = all_ours(news);
	family.operator_delete = all_ours(deletes);
	if (!family.malloc) {
		family.calloc_strays = real_is_ours("calloc");
		family.memalign_strays = real_is_ours("memalign");
	}
	operators_meet();
}

static void say_left(const char *whose, const char *remedy)
{
	struct log_line line;

	if (!CONFIG_NUMBER(verbose))
		return;
	log_begin(&line);
	fmt_str(&line.f, "malloc is ");
	fmt_str(&line.f, whose);
	fmt_str(&line.f, "'s and left alone");
	fmt_str(&line.f, remedy);
	log_end(&line);
}

/*
 * Who defines some of the three alone may call libc's for the others by
 * another name, and would free there what is of the shim's heap.
 */
static bool divided(void)
{
	return family.malloc != family.free || family.malloc != family.realloc;
}

/* Functions that take a block and are not of the family: those of jemalloc,
 * tcmalloc and mimalloc; and sanitizers', to which each block is one of theirs.
 */
static const char strangers[] =
	"sallocx:dallocx:sdallocx:rallocx:xallocx:je_*:tc_*:mi_*:"
	"MallocExtension_*:_ZN15MallocExtension*:"
	"__tsan_*:__asan_*:__hwasan_*:__lsan_*";

/*
 * A heap that nobody calls is not begun: a sanitizer's run-time library that is
 * in the program itself is not ready for what jemalloc calls then.
 * Who links another malloc may give its blocks to functions that only that one
 * has; where nobody does, the shim's serves as well.
 */
static bool left_alone(void)
{
	const char *whose;

	if (!family.malloc && !family.free && !family.realloc) {
		say_left("the program", "");
		return true;
	}
	if (CONFIG_NUMBER(heap) != HEAP_AUTO)
		return false;
	whose = divided() ? "in part the program"
			  : real_other_library("malloc");
	if (whose && !divided() && !real_importer(strangers))
		return false;
	if (whose)
		say_left(whose, "; heap=owner takes its place");
	return whose;
}

int malloc_start(void)
{
	int result;

	if (left_alone()) {
		heap_leave();
		return 0;
	}
	result = heap_start();
	if (heap_state == HEAP_RUNS)
		operators_start();
	return result;
}
