/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose frames are looked through; see skip.h.
 */
#include "track/skip.h"

#include "base/glob.h"
#include "env/config.h"

static const char modules[] = "libanonshim.so*:ld-linux*:ld64.so*:libc.so.*:"
			      "libpthread.so.*:librt.so.*:libstdc++.so.*:"
			      "libc++.so.*:libgcc_s.so.*:linux-vdso.so.*";

static const char functions[] =
	"mmap:mmap64:*_mmap:mmap_*:*xmmap*:mremap:*_mremap:xmalloc*:xcalloc*:"
	"xrealloc*:g_malloc*:g_slice_*:g_thread_new*:_Znw*:_Zna*:"
	"_PyObject_ArenaMmap:_PyMem_ArenaAlloc:uv_thread_create*:"
	"g_system_thread_new:"
	/* the page allocators of V8 and of the JVM */
	"_ZN2v84base*:_ZN2v88internal13AllocatePages*:"
	"_ZN2v88internal13VirtualMemory*:_ZN2os*reserve_memory*:"
	"_ZN2os*commit_memory*:_ZN2os*map_memory*:_ZN5Linux*:"
	"_ZN13ReservedSpace*:_ZN17ReservedHeapSpace*:_ZN12VirtualSpace*";

static const char allocator_modules[] =
	"libjemalloc.so*:libtcmalloc*.so*:libmimalloc*.so*:libsnmalloc*.so*:"
	"libscudo*.so*:libhoard*.so*:librpmalloc*.so*";

static const char allocator_functions[] =
	"je_*:_rjem_*:jemalloc_*:mi_*:_mi_*:TCMalloc_*:tc_malloc*:pages_map:"
	"os_pages_map:extent_alloc_mmap";

bool skip_frame(const char *owner, const char *symbol)
{
	const char *given = CONFIG_TEXT(skip);

	return glob_match_list(modules, owner) ||
	       glob_match_list(functions, symbol) ||
	       glob_match_list(given, owner) || glob_match_list(given, symbol);
}

bool skip_is_allocator(const char *owner, const char *symbol)
{
	return glob_match_list(allocator_modules, owner) ||
	       glob_match_list(allocator_functions, symbol);
}
