/* SPDX-License-Identifier: BSD-2-Clause */
/* A program with a global operator new of its own: it stays the one used. */
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <unistd.h>
#include <vector>

static int made, gone;

void *operator new(size_t n)
{
	auto *p = static_cast<char *>(malloc(n + 32));

	if (!p)
		throw std::bad_alloc();
	made++;
	return p + 32; /* nobody else may free this */
}

void operator delete(void *p) noexcept
{
	if (!p)
		return;
	gone++;
	free(static_cast<char *>(p) - 32);
}

void operator delete(void *p, size_t) noexcept
{
	operator delete(p);
}

int main()
{
	alarm(300);
	{
		std::vector<std::string> words;

		for (int i = 0; i < 1000; i++)
			words.emplace_back((size_t)i, 'y');
		delete[] new int[100]; /* operator new[] calls ours */
	}
	printf("%d %d\n", made > 1000, made - gone);
	return made > 1000 && made == gone ? 0 : 1;
}
