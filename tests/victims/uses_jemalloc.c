/* SPDX-License-Identifier: BSD-2-Clause */
/* 48 MiB through malloc, in pieces, so that jemalloc maps for it. */
#include "victim.h"

#define PIECES 3000
#define PIECE 16384

int main(void)
{
	static char *piece[PIECES];

	victim_begin();
	for (int i = 0; i < PIECES; i++) {
		piece[i] = malloc(PIECE);
		CHECK(piece[i]);
		memset(piece[i], i, PIECE);
	}
	for (int i = 0; i < PIECES; i++)
		CHECK(piece[i][PIECE - 1] == (char)i);
	victim_wait();
	return 0;
}
