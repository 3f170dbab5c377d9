/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program that replaces some of the operators, or malloc, and leaves the
 * others to the C++ library, which calls its own: REPLACES_PLAIN, _ARRAYS,
 * _ALIGNED, _DELETE, _MALLOC.  It prints what of its own was called.  A block
 * of its own is preceded by a mark, which nobody else gives back.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <new>
#include <unistd.h>

extern "C" void *__libc_malloc(size_t);
extern "C" void __libc_free(void *);

static const size_t room = 64; /* for the mark: blocks stay aligned */
static const long mark = 0x6d61726b;
static int made, gone;
static bool full;
static void *volatile sink;
static const auto at64 = (std::align_val_t)64;

__attribute__((unused)) static void *marked(void *p)
{
	if (!p)
		return nullptr;
	made++;
	*static_cast<long *>(p) = mark;
	return static_cast<char *>(p) + room;
}

__attribute__((unused)) static void *unmarked(void *p)
{
	auto *start = static_cast<char *>(p) - room;

	if (*reinterpret_cast<long *>(start) != mark) {
		dprintf(2, "a block of somebody else's is given back\n");
		_exit(1);
	}
	gone++;
	return start;
}

/* An allocator that has nothing throws. */
__attribute__((unused)) static void *or_throw(void *p)
{
	if (!p || full)
		throw std::bad_alloc();
	return p;
}

#ifdef REPLACES_PLAIN
void *operator new(size_t n)
{
	return marked(or_throw(malloc(n + room)));
}
void operator delete(void *p) noexcept
{
	if (p)
		free(unmarked(p));
}
#endif

#ifdef REPLACES_ARRAYS
void *operator new[](size_t n)
{
	return marked(or_throw(malloc(n + room)));
}
void operator delete[](void *p) noexcept
{
	if (p)
		free(unmarked(p));
}
#endif

#ifdef REPLACES_ALIGNED
void *operator new(size_t n, std::align_val_t a)
{
	return marked(or_throw(memalign((size_t)a, n + room)));
}
void operator delete(void *p, std::align_val_t) noexcept
{
	if (p)
		free(unmarked(p));
}
#endif

#ifdef REPLACES_DELETE
void operator delete(void *p) noexcept
{
	gone += p != nullptr;
	free(p);
}
#endif

#ifdef REPLACES_MALLOC
/* What is the C library's own it knows by its not being in the pool. */
alignas(64) static char pool[1 << 20];
static size_t used;

static bool in_pool(void *p)
{
	return p >= pool && p < pool + sizeof(pool);
}

extern "C" void *malloc(size_t n)
{
	size_t bytes = (n + room + 63) & ~(size_t)63;

	if (n > sizeof(pool) || bytes > sizeof(pool) - used)
		return nullptr;
	used += bytes;
	return marked(pool + used - bytes);
}

extern "C" void free(void *p)
{
	if (in_pool(p))
		unmarked(p);
	else
		__libc_free(p);
}

extern "C" void *realloc(void *p, size_t n)
{
	void *q = malloc(n);

	if (q && p)
		memcpy(q, p, n); /* what lies behind is the pool's too */
	free(p);
	return q;
}
#endif

static void say(const char *what)
{
	dprintf(1, "%s: %d %d\n", what, made, gone);
	made = gone = 0;
}

static void *kept(void *p)
{
	if (!p) {
		dprintf(2, "no memory\n");
		_exit(1);
	}
	memset(p, 0x5a, 40);
	sink = p;
	return sink;
}

static void forms()
{
	operator delete(kept(operator new(40)));
	say("plain");
	operator delete(kept(operator new(40)), (size_t)40);
	say("sized");
	operator delete(kept(operator new(40, std::nothrow)), std::nothrow);
	say("nothrow");
	operator delete(kept(operator new(40, std::nothrow)));
	say("nothrow, plain");
	operator delete[](kept(operator new[](40)));
	say("array");
	operator delete[](kept(operator new[](40)), (size_t)40);
	say("sized array");
	operator delete[](kept(operator new[](40, std::nothrow)), std::nothrow);
	say("nothrow array");
	operator delete(nullptr);
	operator delete[](nullptr);
	operator delete(nullptr, (size_t)40);
	operator delete(nullptr, at64);
	say("none");
}

static void aligned_forms()
{
	operator delete(kept(operator new(40, at64)), at64);
	say("aligned");
	operator delete(kept(operator new(40, at64)), (size_t)40, at64);
	say("sized aligned");
	operator delete(kept(operator new(40, at64, std::nothrow)), at64,
			std::nothrow);
	say("nothrow aligned");
	operator delete[](kept(operator new[](40, at64)), at64);
	say("aligned array");
	operator delete[](kept(operator new[](40, at64)), (size_t)40, at64);
	say("sized aligned array");
	operator delete[](kept(operator new[](40, at64, std::nothrow)), at64,
			  std::nothrow);
	say("nothrow aligned array");
}

template <typename F> static void outcome(const char *what, F f)
{
	try {
		sink = f();
		dprintf(1, "%s: %s\n", what, sink ? "memory" : "none");
	} catch (const std::bad_alloc &) {
		dprintf(1, "%s: thrown\n", what);
	}
}

static void failures()
{
	static volatile size_t huge = (size_t)1 << 61;

	full = true;
	outcome("huge", [] { return operator new(huge); });
	outcome("huge array", [] { return operator new[](huge); });
	outcome("huge nothrow",
		[] { return operator new(huge, std::nothrow); });
	outcome("huge nothrow array",
		[] { return operator new[](huge, std::nothrow); });
	outcome("huge aligned", [] { return operator new(huge, at64); });
	outcome("huge nothrow aligned",
		[] { return operator new(huge, at64, std::nothrow); });
	/* the program's own says no */
	outcome("full nothrow",
		[] { return operator new((size_t)40, std::nothrow); });
	full = false;
}

int main()
{
	alarm(300);
	made = gone = 0; /* whatever came before */
	forms();
	aligned_forms();
	failures();
	return 0;
}
