/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses for the shim's own memory; see place.h.
 */
#include "base/place.h"

#include "base/mem.h"
#include "base/sys.h"

#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>

/* Below what the kernel places, unless it randomises by more than 28 bits; the
 * thread sanitizer takes memory nowhere else for a program's. */
#define LOWEST UINT64_C(0x7e8000000000)
#define BYTES (UINT64_C(1) << 39)
#define MOST (BYTES / 8)
#define LARGE_BYTES ((uint64_t)2 << 20) /* and a multiple of it */

void place_draw(void *to, size_t len)
{
	long persona = sys_call(SYS_personality, 0xffffffff, 0, 0, 0, 0, 0);
	uint64_t now;

	memset(to, 0, len);
	if (!sys_failed(persona) && persona & ADDR_NO_RANDOMIZE)
		return;
	if (sys_call(SYS_getrandom, (long)to, (long)len, 0, 0, 0, 0) > 0)
		return;
	now = sys_now_ns() >> 4;
	memcpy(to, &now, len < sizeof(now) ? len : sizeof(now));
}

#ifdef __SANITIZE_THREAD__
uintptr_t place_next(size_t len)
{
	(void)len; /* windows of the heap are there (heap/window.c) */
	return 0;
}
#else
/* Where the next one begins; 0: not drawn yet. */
static uint64_t next;

static uint64_t draw(void)
{
	uint64_t drawn;

	place_draw(&drawn, sizeof(drawn));
	return LOWEST + drawn % (BYTES / PAGE_BYTES) * PAGE_BYTES;
}

uintptr_t place_next(size_t len)
{
	uint64_t bytes = page_up(len);
	uint64_t was = __atomic_load_n(&next, __ATOMIC_RELAXED);
	uint64_t start;

	if (bytes < len || bytes > MOST)
		return 0;
	do {
		start = was ? was : draw();
		if (bytes >= LARGE_BYTES)
			start = (start + LARGE_BYTES - 1) & -LARGE_BYTES;
		if (start + bytes > LOWEST + BYTES)
			start = LOWEST;
	} while (!__atomic_compare_exchange_n(&next, &was, start + bytes, false,
					      __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return start;
}
#endif
