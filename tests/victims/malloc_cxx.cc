/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every operator new and delete, as a program, or as a library whose cxx_run
 * somebody calls who has no C++ himself.
 */
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#define CHECK(true_one)                                                   \
	do {                                                              \
		if (!(true_one)) {                                        \
			dprintf(2, "%s:%d: %s does not hold\n", __FILE__, \
				__LINE__, #true_one);                     \
			_exit(1);                                         \
		}                                                         \
	} while (0)

/* libstdc++ 12 itself rounds SIZE_MAX up to the alignment, and so to none. */
static volatile size_t huge_sizes[] = {SIZE_MAX - 64, SIZE_MAX - 4096,
				       SIZE_MAX / 2 + 1, SIZE_MAX / 2};
static volatile size_t none;
static void *volatile sink; /* keeps calls from being left out */

static void *used(void *p, size_t size, size_t alignment = 16)
{
	sink = p;
	CHECK(p && (uintptr_t)p % alignment == 0);
	memset(p, 0x5a, size);
	return sink;
}

static void plain_forms()
{
	void *p = operator new(none), *q = operator new[](none);

	CHECK(p && q && p != q);
	operator delete(p);
	operator delete[](q);
	operator delete(nullptr);
	operator delete[](nullptr);
	for (size_t n = 1; n < 3000000; n += 1 + n / 3) {
		operator delete(used(operator new(n), n));
		operator delete[](used(operator new[](n), n));
		operator delete(used(operator new(n), n), n);
		operator delete[](used(operator new[](n), n), n);
		operator delete(used(operator new(n, std::nothrow), n),
				std::nothrow);
		operator delete[](used(operator new[](n, std::nothrow), n),
				  std::nothrow);
		free(used(operator new(n), n)); /* many programs do */
		operator delete(used(malloc(n), n));
	}
}

static void aligned_forms()
{
	for (size_t to = 1; to <= 1 << 22; to *= 2) {
		const auto a = (std::align_val_t)to;

		for (size_t n = 1; n < 100000; n = n * 5 + 1) {
			operator delete(used(operator new(n, a), n, to), a);
			operator delete[](used(operator new[](n, a), n, to), a);
			operator delete(used(operator new(n, a), n, to), n, a);
			operator delete[](used(operator new[](n, a), n, to), n,
					  a);
			operator delete(
				used(operator new(n, a, std::nothrow), n, to),
				a, std::nothrow);
			operator delete[](
				used(operator new[](n, a, std::nothrow), n, to),
				a, std::nothrow);
		}
		operator delete(operator new(none, a), a);
	}
}

template <typename F> static bool throws(F f)
{
	try {
		f();
	} catch (const std::bad_alloc &e) {
		return strstr(e.what(), "bad_alloc") != nullptr;
	}
	return false;
}

static int handled;

static void third_time_gone()
{
	if (++handled == 3)
		std::set_new_handler(nullptr);
}

struct Mine : std::bad_alloc {
};

static void throw_mine()
{
	throw Mine();
}

static void too_much()
{
	const auto a = (std::align_val_t)64;

	for (volatile size_t &size : huge_sizes) {
		size_t n = size;

		CHECK(throws([=] { sink = operator new(n); }));
		CHECK(throws([=] { sink = operator new[](n); }));
		CHECK(throws([=] { sink = operator new(n, a); }));
		CHECK(throws([=] { sink = operator new[](n, a); }));
		CHECK(!operator new(n, std::nothrow));
		CHECK(!operator new[](n, std::nothrow));
		CHECK(!operator new(n, a, std::nothrow));
		CHECK(!operator new[](n, a, std::nothrow));
	}
	CHECK(throws([] { std::vector<char> v(huge_sizes[3]); }));
	CHECK(throws([] { std::string s(huge_sizes[3] / 2 - 9, 'x'); }));
}

static void handlers()
{
	const size_t n = huge_sizes[2];

	for (int form = 0; form < 4; form++) {
		handled = 0;
		std::set_new_handler(third_time_gone);
		if (form == 0)
			CHECK(throws([=] { sink = operator new(n); }));
		else if (form == 1)
			CHECK(throws([=] {
				sink = operator new[](n, (std::align_val_t)128);
			}));
		else if (form == 2)
			CHECK(!operator new(n, std::nothrow));
		else
			CHECK(!operator new(n, (std::align_val_t)128,
					    std::nothrow));
		CHECK(handled == 3 && !std::get_new_handler());
	}
	std::set_new_handler(throw_mine);
	bool mine = false;
	try {
		sink = operator new(n);
	} catch (const Mine &) {
		mine = true;
	}
	CHECK(mine);
	CHECK(!operator new(n, std::nothrow));
	std::set_new_handler(nullptr);
}

/* ---- objects ---- */

static int alive;

struct Counted {
	char bytes[40];
	Counted()
	{
		alive++;
	}
	~Counted()
	{
		alive--;
	}
};

struct alignas(256) Wide {
	char bytes[300];
};

static int own_calls;

struct Own {
	char bytes[100];

	static void *operator new(size_t n)
	{
		own_calls++;
		return ::operator new(n + 8);
	}
	static void operator delete(void *p)
	{
		own_calls++;
		::operator delete(p);
	}
};

struct Fails {
	char bytes[1000];
	Fails()
	{
		throw 5;
	}
};

static void objects()
{
	auto *many = new Counted[100];

	sink = many;
	CHECK(alive == 100);
	delete[] many;
	CHECK(!alive);
	auto *wide = new Wide[3];
	CHECK((uintptr_t)wide % 256 == 0);
	delete[] wide;
	own_calls = 0;
	auto *own = new Own;
	sink = own;
	delete own;
	CHECK(own_calls == 2);
	for (int i = 0; i < 1000; i++) {
		try {
			delete new Fails; /* deleted when it throws */
			CHECK(false);
		} catch (int five) {
			CHECK(five == 5);
		}
	}
}

static void containers()
{
	std::map<std::string, std::vector<std::string>> map;

	for (int i = 0; i < 20000; i++)
		map["a key that is no short one " + std::to_string(i % 500)]
			.push_back(std::string((size_t)i % 300, 'x'));
	size_t sum = 0;
	for (const auto &[key, words] : map) {
		CHECK(key.size() > 26);
		for (const auto &word : words)
			sum += word.size();
	}
	CHECK(map.size() == 500 && sum == 2980000);
	auto shared = std::make_shared<std::vector<int>>(100000, 7);
	std::thread thread([shared] { shared->resize(200000, 8); });
	thread.join();
	CHECK(shared->at(99999) == 7 && shared->at(199999) == 8);
}

extern "C" int cxx_run(void);

extern "C" int cxx_run(void)
{
	plain_forms();
	aligned_forms();
	too_much();
	handlers();
	objects();
	containers();
	return 0;
}

int main()
{
	alarm(300);
	return cxx_run();
}
