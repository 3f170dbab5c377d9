/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose frames are looked through.
 */
#include "support.h"
#include "track/skip.h"

#include <criterion/criterion.h>

Test(skip, built_in)
{
	shim_configure("");
	cr_assert(skip_frame("libc.so.6", "anything"));
	cr_assert(skip_frame("ld-linux-x86-64.so.2", ""));
	cr_assert(skip_frame("libanonshim.so", "mmap"));
	cr_assert(skip_frame("libstdc++.so.6", "_Znwm"));
	cr_assert(skip_frame("program", "xmalloc"));
	cr_assert(skip_frame("libglib-2.0.so.0", "g_malloc0"));
	cr_assert(!skip_frame("program", "main"));
	cr_assert(!skip_frame("libcrypto.so.3", "CRYPTO_malloc"));
	cr_assert(!skip_frame("program", "+0x1a2"));
	cr_assert(!skip_frame("", ""));
}

Test(skip, given)
{
	shim_configure("skip=libmine.so*:my_alloc");
	cr_assert(skip_frame("libmine.so.1", "f"));
	cr_assert(skip_frame("program", "my_alloc"));
	cr_assert(!skip_frame("program", "my_alloc2"));
	cr_assert(skip_frame("libc.so.6", "f"), "beside the built-in ones");
}

Test(skip, allocators)
{
	shim_configure("");
	cr_assert(skip_is_allocator("libjemalloc.so.2", "+0x1"));
	cr_assert(skip_is_allocator("program", "je_pages_map"));
	cr_assert(!skip_is_allocator("libc.so.6", "malloc"));
	cr_assert(!skip_is_allocator("program", "main"));
}
