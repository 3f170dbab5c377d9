/* SPDX-License-Identifier: BSD-2-Clause */
/* A library that only wraps malloc, in several manners of speech. */
#include "lib_heap.h"

#include "victim.h"

NOINLINE void *my_xmalloc(size_t size)
{
	void *p = keep(malloc(size));

	NO_TAIL_CALL();
	return p;
}

/* A wrapper inside a wrapper. */
NOINLINE void *my_xinner(size_t size)
{
	void *p = my_xmalloc(size);

	NO_TAIL_CALL();
	return p;
}

/* Large frame, many registers saved, no frame pointer. */
__attribute__((noipa, optimize("omit-frame-pointer"))) void *
my_xwide(size_t size)
{
	volatile char room[3000];
	size_t a = size + 1, b = size + 2, c = size + 3, d = size + 4;
	void *p;

	room[size] = 1;
	__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
	p = keep(malloc(size));
	__asm__ volatile("" : : "r"(a), "r"(b), "r"(c), "r"(d));
	return room[size] ? p : NULL;
}

/* A frame whose size is not known before it runs. */
NOINLINE void *my_xframe(size_t size)
{
	volatile char *room = __builtin_alloca(size * 3);
	void *p;

	room[0] = 1;
	p = keep(malloc(size));
	return room[0] ? p : NULL;
}

/* Gone from the stack when malloc runs. */
NOINLINE void *my_xtail(size_t size)
{
	return malloc(size);
}
