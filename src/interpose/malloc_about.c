/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What malloc says of itself, and what it can be asked to do, exported.
 */
#include "base/fmt.h"
#include "base/sys.h"
#include "env/real.h"
#include "heap/heap.h"
#include "interpose/interpose.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#define TEXT_BYTES 512

/* Whether FUNCTION is libc's to answer, as the blocks are libc's. */
#define IS_LIBCS(function) (heap_state == HEAP_IS_OFF && real.function)

EXPORT int malloc_trim(size_t pad)
{
	if (IS_LIBCS(malloc_trim))
		return real.malloc_trim(pad);
	heap_trim();
	return 1;
}

/* What it would set does not exist here; 1: as if it were set. */
EXPORT int mallopt(int what, int value)
{
	return IS_LIBCS(mallopt) ? real.mallopt(what, value) : 1;
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct heap_totals totals = heap_totals();
	struct mallinfo2 info = {
		.arena = totals.mapped,
		.uordblks = totals.held,
		.fordblks = totals.mapped > totals.held
				    ? totals.mapped - totals.held
				    : 0,
	};

	return IS_LIBCS(mallinfo2) ? real.mallinfo2() : info;
}

EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 wide = mallinfo2();
	struct mallinfo info = {
		.arena = (int)wide.arena,
		.uordblks = (int)wide.uordblks,
		.fordblks = (int)wide.fordblks,
	};

	return IS_LIBCS(mallinfo) ? real.mallinfo() : info;
}

EXPORT int malloc_info(int options, FILE *to)
{
	struct heap_totals totals = heap_totals();
	char text[TEXT_BYTES];
	struct fmt f;

	if (IS_LIBCS(malloc_info))
		return real.malloc_info(options, to);
	if (options)
		return EINVAL;
	fmt_init(&f, text, sizeof(text));
	fmt_str(&f, "<malloc version=\"1\">\n<total type=\"held\" size=\"");
	fmt_u64(&f, totals.held);
	fmt_str(&f, "\"/>\n<system type=\"current\" size=\"");
	fmt_u64(&f, totals.mapped);
	fmt_str(&f, "\"/>\n</malloc>\n");
	return fputs(f.text, to) < 0 ? -1 : 0;
}

EXPORT void malloc_stats(void)
{
	struct heap_totals totals = heap_totals();
	char text[TEXT_BYTES];
	struct fmt f;

	if (IS_LIBCS(malloc_stats)) {
		real.malloc_stats();
		return;
	}
	fmt_init(&f, text, sizeof(text));
	fmt_str(&f, "anonshim: malloc holds ");
	fmt_u64(&f, totals.held);
	fmt_str(&f, " bytes of ");
	fmt_u64(&f, totals.mapped);
	fmt_str(&f, " mapped\n");
	sys_write_quietly(STDERR_FILENO, f.text, f.len);
}
