/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose frames are looked through; see skip.h.
 *
 * Names are as in the symbol table: mangled, without suffixes such as .isra.0.
 * Stripped files have only those that they export.
 */
#include "track/skip.h"

#include "base/glob.h"
#include "env/config.h"

static const char modules[] = "libanonshim.so*:ld-linux*:ld64.so*:libc.so.*:"
			      "libpthread.so.*:librt.so.*:libstdc++.so.*:"
			      "libc++.so.*:libgcc_s.so.*:linux-vdso.so.*";

/* Of memory of any kind. */
static const char functions[] = "xmalloc*:xcalloc*:xrealloc*:g_malloc*:"
				"g_slice_*:_Znw*:_Zna*:_ZN2v84base*";

/* Of mappings and stacks of threads. */
static const char mapping_functions[] =
	"mmap:mmap64:*_mmap:mmap_*:*xmmap*:mremap:*_mremap:g_thread_new*:"
	"_PyObject_ArenaMmap:_PyMem_ArenaAlloc:uv_thread_create*:"
	"g_system_thread_new:"
	/* the page allocators of V8 and of the JVM */
	"_ZN2v88internal13AllocatePages*:"
	"_ZN2v88internal13VirtualMemory*:_ZN2os*reserve_memory*:"
	"_ZN2os*commit_memory*:_ZN2os*map_memory*:_ZN5Linux*:"
	"_ZN13ReservedSpace*:_ZN17ReservedHeapSpace*:_ZN12VirtualSpace*";

/* Of malloc, by who wrote them. */
static const char *const heap_functions[] = {
	/* libiberty, gnulib, and who copied their names: git, bash, systemd */
	"x2*alloc*:xzalloc*:xnmalloc*:xnrealloc*:xcharalloc*:xmemdup*:xstrdup*:"
	"xstrndup*:xasprintf*:xvasprintf*:do_xmalloc*:sh_xmalloc*:sh_xrealloc*:"
	"concat:reconcat:_obstack_begin*:_obstack_newchunk:"
	"mempool_obstack_chunk_alloc:memdup:memdup_suffix0:greedy_realloc*:"
	"strjoin_real:strextend*:free_and_strdup*",
	/* libc, where a program has its own */
	"malloc:calloc:realloc:reallocarray:aligned_alloc:posix_memalign:"
	"memalign:strdup:strndup:asprintf:vasprintf",
	/* classes' own operator new, in Itanium's mangling */
	"_ZN*nwEm:_ZN*nwEmRKSt9nothrow_t:_ZN*nwEmSt11align_val_t",
	/* the growth of std::vector, deque and string of either C++ library;
	 * what has a node an element is a site, lest each cost a frame more */
	"_ZNSt6vectorI*:_ZNSt12_Vector_baseI*:_ZNSt5dequeI*:"
	"_ZNSt11_Deque_baseI*:_ZNSt7__cxx1112basic_stringI*:_ZNSs*:"
	"_ZNSt15__new_allocatorI*:_ZN9__gnu_cxx13new_allocatorI*:"
	"_ZNSt16allocator_traitsI*:_ZNSaI*:_ZNSt3__16vectorI*:"
	"_ZNSt3__15dequeI*:_ZNSt3__114__split_bufferI*:"
	"_ZNSt3__112basic_stringI*:_ZNSt3__19allocatorI*:"
	"_ZNSt3__116allocator_traitsI*:_ZNSt3__117__libcpp_allocate*",
	/* glib: its malloc, strings and containers, and new objects */
	"g_try_malloc*:g_realloc*:g_try_realloc*:g_aligned_alloc*:g_memdup*:"
	"g_strdup*:g_strndup:g_strnfill:g_strconcat:g_strjoin*:g_vasprintf:"
	"g_rc_box_*:g_atomic_rc_box_*:g_array_*:g_byte_array_*:g_ptr_array_*:"
	"g_string_*:g_list_*:g_slist_*:g_queue_*:g_hash_table_*:"
	"g_type_create_instance:g_object_new*",
	/* CPython */
	"PyMem_Malloc:PyMem_Calloc:PyMem_Realloc:PyMem_Raw*alloc:"
	"PyObject_Malloc:PyObject_Calloc:PyObject_Realloc:_PyMem_Raw*:"
	"_PyMem_Debug*alloc:_PyMem_Strdup:_PyObject_Malloc:_PyObject_Calloc:"
	"_PyObject_Realloc:_PyObject_New*:_PyObject_GC_*:PyType_GenericAlloc:"
	"_PyType_AllocNoTrack",
	/* PHP's zend, with and without its own allocator */
	"_emalloc*:_ecalloc:_erealloc*:_estrdup:_estrndup:_safe_*alloc:"
	"__zend_*alloc:_zend_mm_*alloc*:zend_mm_*alloc*:smart_str_*alloc:"
	"_smart_string_alloc*",
	/* redis and valkey, their modules and clients, and Lua */
	"zmalloc*:zcalloc*:zrealloc*:zstrdup*:ztry*alloc*:valkey_*alloc*:"
	"RM_Alloc:RM_Calloc:RM_Realloc:RM_Strdup:RM_Try*alloc:hi_malloc:"
	"hi_calloc:hi_realloc:hi_strdup:hi_sds_*alloc:l_alloc:luaM_*alloc*:"
	"luaM_growaux_",
	/* SQLite */
	"sqlite3Mem*alloc:sqlite3Malloc*:sqlite3Realloc:sqlite3_malloc*:"
	"sqlite3_realloc*:sqlite3DbMalloc*:sqlite3DbRealloc*:sqlite3DbStr*Dup:"
	"sqlite3DbSpanDup:dbMallocRawFinish:dbReallocFinish:mallocWithAlarm:"
	"sqlite3MPrintf:sqlite3VMPrintf:sqlite3_mprintf:sqlite3_vmprintf:"
	"sqlite3StrAccum*:sqlite3_str_*:sqlite3PageMalloc:pcache1Alloc:"
	"sqlite3Fts*MallocZero",
	/* PostgreSQL */
	"palloc*:repalloc*:pstrdup:pnstrdup:psprintf:MemoryContextAlloc*:"
	"MemoryContextStrdup:AllocSetAlloc*:AllocSetRealloc:SlabAlloc*:"
	"AllocSetContextCreate*:SlabContextCreate:GenerationAlloc*:"
	"GenerationRealloc:GenerationContextCreate:SPI_palloc:SPI_repalloc:"
	"enlargeStringInfo:initStringInfo:makeStringInfo:pg_malloc*:"
	"pg_realloc:pg_strdup:guc_malloc:guc_realloc:guc_strdup",
	/* Perl, Ruby */
	"Perl_safesys*:Perl_savepv*:Perl_savesvpv*:Perl_sv_grow*:ruby_x*alloc*:"
	"ruby_strdup:objspace_x*alloc*:rb_x*alloc_mul_add*",
	/* OpenSSL and its forks; not CRYPTO_secure_malloc_init */
	"CRYPTO_malloc:CRYPTO_zalloc:CRYPTO_calloc:CRYPTO_realloc:"
	"CRYPTO_clear_realloc:CRYPTO_aligned_alloc*:CRYPTO_memdup:"
	"CRYPTO_strdup:CRYPTO_strndup:CRYPTO_secure_malloc:"
	"CRYPTO_secure_zalloc:OPENSSL_malloc:OPENSSL_zalloc:OPENSSL_calloc:"
	"OPENSSL_realloc:OPENSSL_memdup:OPENSSL_strdup:OPENSSL_sk_*:"
	"OPENSSL_LH_*:BUF_MEM_grow*",
	/* other libraries: gnutls, gcrypt, gmp, libxml2, ICU, c-ares, nghttp2,
	 * the compressors, ffmpeg, talloc */
	"gnutls_strdup:gcry_*alloc*:_gcry_*alloc*:__gmp_default_*allocate:"
	"__gmp_tmp_reentrant_alloc:xmlMem*alloc*:xmlMem*trdup*:xmlStr*dup:"
	"xmlCharStr*dup:uprv_*alloc*:uprv_strdup*:ares_malloc*:ares_realloc*:"
	"ares_strdup:nghttp2_mem_*alloc:default_malloc:default_calloc:"
	"default_realloc:zcalloc:BrotliAllocate:BrotliDefaultAllocFunc:"
	"lzma_alloc*:ZSTD_custom*alloc:ZSTD_malloc:ZSTD_calloc:"
	"default_bzalloc:av_*alloc*:av_strdup:av_strndup:av_memdup:talloc_*:"
	"_talloc_*",
	/* libuv, node, V8 */
	"uv__malloc:uv__calloc:uv__realloc*:uv__strdup:uv__strndup:"
	"_ZN4node6MallocI*:_ZN4node6CallocI*:_ZN4node7ReallocI*:"
	"_ZN4node15UncheckedMallocI*:_ZN4node15UncheckedCallocI*:"
	"_ZN4node16UncheckedReallocI*:_ZN4node*NgLibMemoryManager*:"
	"_ZN4node*AllocForZlib*:_ZN4node*AllocForBrotli*:"
	"_ZN4node6crypto13MallocOpenSSL*:_ZN2v88internal14AllocWithRetry*:"
	"_ZN2v88internal21Al*WithRetry*:_ZN2v88internal12AlignedAlloc*:"
	"_ZN2v88internal8NewArrayI*:_ZN2v88internal6StrDup*:"
	"_ZN2v88internal7StrNDup*:"
	"_ZN2v88internal19AccountingAllocator15AllocateSegment*",
	/* OpenJDK; its arenas take chunks */
	"_ZN2os6malloc*:_ZN2os7realloc*:_ZN2os*strdup*:_Z12AllocateHeap*:"
	"_Z14ReallocateHeap*:_ZN*CHeapObj*nwE*:_ZN11JfrCHeapObj*:"
	"_ZN14ArrayAllocatorI*:_ZN27GrowableArrayCHeapAllocator*:"
	"_ZN26GrowableArrayWithAllocatorI*:_ZN5ChunknwE*:_ZN9ChunkPool*",
	/* LLVM, Qt */
	"_ZN4llvm15allocate_buffer*:_ZN4llvm11safe_*alloc*:"
	"_ZN4llvm15SmallVectorBase*:_ZN4llvm23SmallVectorTemplateBase*:"
	"_ZN4llvm19SmallPtrSetImplBase*:_ZN4llvm13StringMapImpl*:"
	"_ZN4llvm4UsernwE*:_Z7qMallocm:_Z8qReallocPvm:_Z14qMallocAligned*:"
	"_Z15qReallocAligned*:_ZN10QArrayData*:_ZN9QListData*:"
	"_ZN9QHashData*:_ZN12QMapDataBase*:_ZN7QString*:_ZNK7QString*:"
	"_ZN10QByteArray*:_ZNK10QByteArray*",
	/* Rust, in the old mangling and in the new */
	"__rust_*alloc*:__rdl_*alloc*:__rg_*alloc*:_ZN5alloc*:"
	"_ZN*_$LT$alloc..vec..*:_ZN*_$LT$alloc..string..*:"
	"_ZN3std3sys*alloc*System*:_ZN*std..alloc..System*:"
	"_ZN9hashbrown3raw*:_RNvCs*_7___rustc*alloc*:_R*_5alloc7raw_vec*:"
	"_R*_5alloc5alloc5alloc:_R*_5alloc5alloc12alloc_zeroed:"
	"_R*_5alloc5alloc7realloc:_R*_5alloc5alloc15exchange_malloc:"
	"_RNvXs*_9allocator*6System*GlobalAlloc*:_RINvMs*_9hashbrown3rawINt*",
};

static const char allocator_modules[] =
	"libjemalloc.so*:libtcmalloc*.so*:libmimalloc*.so*:libsnmalloc*.so*:"
	"libscudo*.so*:libhoard*.so*:librpmalloc*.so*";

static const char allocator_functions[] =
	"je_*:_rjem_*:jemalloc_*:mi_*:_mi_*:TCMalloc_*:tc_malloc*:pages_map:"
	"os_pages_map:extent_alloc_mmap";

/* Of what memory a function is a wrapper, or is an allocator. */
enum mark { ANY = 1, MAPPINGS = 2, HEAP = 4, ALLOCATOR = 8 };

static struct glob_set set;

bool skip_init(void)
{
	bool fits = true;

	set = (struct glob_set){0};
	fits &= glob_set_add(&set, functions, ANY);
	fits &= glob_set_add(&set, mapping_functions, MAPPINGS);
	for (size_t i = 0; i < sizeof(heap_functions) / sizeof(*heap_functions);
	     i++)
		fits &= glob_set_add(&set, heap_functions[i], HEAP);
	return fits & glob_set_add(&set, allocator_functions, ALLOCATOR);
}

bool skip_frame(enum registry_kind kind, const char *owner, const char *symbol)
{
	const char *given = CONFIG_TEXT(skip);
	uint8_t wanted = ANY | (kind == KIND_HEAP ? HEAP : MAPPINGS);

	return glob_match_list(modules, owner) ||
	       glob_set_marks(&set, symbol) & wanted ||
	       glob_match_list(given, owner) || glob_match_list(given, symbol);
}

bool skip_is_allocator(const char *owner, const char *symbol)
{
	return glob_match_list(allocator_modules, owner) ||
	       glob_set_marks(&set, symbol) & ALLOCATOR;
}
