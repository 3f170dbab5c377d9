/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions through frames that map memory and out of a thread's routine
 * (caught in it); memory mapped in a method with a readable name.
 */
#include <cstdio>
#include <cstdlib>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace warehouse
{
struct Shelf {
	template <typename T> __attribute__((noipa)) T *fill(size_t bytes);
};

template <typename T> T *Shelf::fill(size_t bytes)
{
	void *p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		throw std::bad_alloc();
	for (size_t i = 0; i < bytes; i += 4096)
		static_cast<volatile char *>(p)[i] = 1;
	return static_cast<T *>(p);
}
} // namespace warehouse

__attribute__((noinline)) static void deep(int n)
{
	void *p = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
		       -1, 0);

	munmap(p, 4096);
	if (!n)
		throw std::runtime_error("bottom");
	deep(n - 1);
	asm volatile("" ::: "memory");
}

static int caught;

static void once(int depth)
{
	try {
		deep(depth);
	} catch (const std::exception &e) {
		if (std::string(e.what()) == "bottom")
			__atomic_fetch_add(&caught, 1, __ATOMIC_RELAXED);
	}
}

int main()
{
	alarm(300);
	for (int i = 0; i < 200; i++)
		once(i % 30);
	std::thread thread([] { once(5); });
	thread.join();
	if (caught != 201)
		return 1;
	warehouse::Shelf shelf;
	shelf.fill<unsigned>(37 * 4096);
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}
