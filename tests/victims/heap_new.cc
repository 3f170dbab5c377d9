/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes three times 20 MiB as C++ programs do, and waits.  TAKES_ADDRESSES: of
 * some of the functions that it calls.
 */
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <string>
#include <unistd.h>
#include <vector>

static const size_t blocks = 187250, block = 112;
static std::vector<char *> made;
static std::list<std::array<char, block - 16>>
	nodes; /* two pointers and this */
static std::vector<std::string> strings;

__attribute__((noinline)) static void fill_new()
{
	made.reserve(blocks);
	for (size_t i = 0; i < blocks; i++) {
		made.push_back(new char[block]);
		memset(made.back(), 1, block);
	}
}

__attribute__((noinline)) static void fill_nodes()
{
	for (size_t i = 0; i < blocks; i++)
		nodes.emplace_back().fill(1);
}

/* libstdc++ itself asks for these */
__attribute__((noinline)) static void fill_strings()
{
	strings.reserve(blocks);
	for (size_t i = 0; i < blocks; i++)
		strings.emplace_back(block - 1, 'x');
}

#ifdef TAKES_ADDRESSES
static void *(*volatile address)(size_t);

static void take_addresses()
{
	address = malloc;
	free(address(1));
	address = operator new;
	free(address(1));
	address = operator new[];
	free(address(1));
}
#endif

int main()
{
#ifdef TAKES_ADDRESSES
	take_addresses();
#endif
	alarm(300);
	fill_new();
	fill_nodes();
	fill_strings();
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
