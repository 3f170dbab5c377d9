/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * work ROUNDS: a program that maps nothing: sorts strings in small blocks of
 * malloc.  Prints nanoseconds of processor time a round.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STRINGS 2000

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_once(uint32_t seed)
{
	char *strings[STRINGS];

	for (int i = 0; i < STRINGS; i++) {
		seed = seed * 1664525 + 1013904223;
		strings[i] = malloc(16 + seed % 64);
		if (!strings[i])
			abort();
		sprintf(strings[i], "%08x", seed);
	}
	qsort(strings, STRINGS, sizeof(strings[0]), compare);
	for (int i = 0; i < STRINGS; i++)
		free(strings[i]);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;
	double start;

	sort_once(1);
	start = now_ns();
	for (int i = 0; i < rounds; i++)
		sort_once((uint32_t)i);
	printf("%.1f\n", (now_ns() - start) / rounds);
	return 0;
}
