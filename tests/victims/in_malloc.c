/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stands still where malloc does for a moment: its thread's arena has a block
 * cut off the top chunk, whose new header is not written yet.
 */
#include "victim.h"

#include <pthread.h>
#include <stdint.h>

#define HEAP_BYTES (UINT64_C(64) << 20)
#define BYTES 4096
#define BLOCKS 256

static void *routine(void *arg)
{
	/* glibc 2.35's heap_info, then malloc_state */
	uint64_t base;
	uint64_t *top;

	for (int i = 0; i < BLOCKS; i++)
		arg = memset(malloc(BYTES), i, BYTES);
	base = (uint64_t)arg & ~(HEAP_BYTES - 1);
	if (*(uint64_t *)base != base + 0x30)
		SKIP("another malloc");
	top = *(uint64_t **)(base + 0x30 + 0x60);
	CHECK((uint64_t)top > (uint64_t)arg);
	CHECK((uint64_t)top < base + HEAP_BYTES);
	top[1] = 0;
	victim_wait();
	return NULL;
}

int main(void)
{
	pthread_t thread;

	victim_begin();
	CHECK(!pthread_create(&thread, NULL, routine, NULL));
	pthread_join(thread, NULL);
	return 1;
}
