/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose frames are looked through.
 */
#include "support.h"
#include "track/skip.h"

#include <criterion/criterion.h>

static void configure(const char *options)
{
	shim_configure(options);
	cr_assert(skip_init());
}

static bool skips(const char *owner, const char *symbol)
{
	bool heap = skip_frame(KIND_HEAP, owner, symbol);

	cr_assert_eq(heap, skip_frame(KIND_MMAP, owner, symbol), "%s", symbol);
	return heap;
}

Test(skip, of_any_memory)
{
	configure("");
	cr_assert(skips("libc.so.6", "anything"));
	cr_assert(skips("ld-linux-x86-64.so.2", ""));
	cr_assert(skips("libanonshim.so", "mmap"));
	cr_assert(skips("libstdc++.so.6", "_Znwm"));
	cr_assert(skips("program", "xmalloc"));
	cr_assert(skips("libglib-2.0.so.0", "g_malloc0"));
	cr_assert(!skips("program", "main"));
	cr_assert(!skips("program", "+0x1a2"));
	cr_assert(!skips("", ""));
}

Test(skip, given)
{
	configure("skip=libmine.so*:my_alloc");
	cr_assert(skips("libmine.so.1", "f"));
	cr_assert(skips("program", "my_alloc"));
	cr_assert(!skips("program", "my_alloc2"));
	cr_assert(skips("libc.so.6", "f"), "beside the built-in ones");
}

/* What maps for itself, and cuts that up, speaks for nobody else. */
Test(skip, of_mappings)
{
	static const char *const wrappers[] = {
		"mmap",
		"sys_mmap",
		"_PyMem_ArenaAlloc",
		"g_thread_new",
	};

	configure("");
	for (size_t i = 0; i < sizeof(wrappers) / sizeof(*wrappers); i++) {
		cr_assert(skip_frame(KIND_MMAP, "p", wrappers[i]));
		cr_assert(skip_frame(KIND_STACK, "p", wrappers[i]));
		cr_assert(!skip_frame(KIND_HEAP, "p", wrappers[i]), "%s",
			  wrappers[i]);
	}
	cr_assert(!skip_frame(KIND_MMAP, "python3", "PyObject_Malloc"));
	cr_assert(!skip_frame(KIND_MMAP, "php", "_emalloc"));
	cr_assert(!skip_frame(KIND_MMAP, "libcrypto.so.3",
			      "CRYPTO_secure_malloc_init"));
}

/* Names as the symbol tables of real programs have them. */
static const char *const of_heap[] = {
	"xstrdup",
	"x2nrealloc",
	"xzalloc",
	"_obstack_newchunk",
	"g_strdup_printf",
	"g_array_append_vals",
	"g_hash_table_insert",
	"g_try_realloc_n",
	"PyMem_RawMalloc",
	"PyObject_Calloc",
	"_PyObject_GC_NewVar",
	"PyType_GenericAlloc",
	"_emalloc_1280",
	"_estrndup",
	"__zend_realloc",
	"_safe_emalloc",
	"zend_mm_chunk_alloc",
	"smart_str_erealloc",
	"zmalloc_usable",
	"ztryrealloc",
	"zstrdup",
	"RM_Strdup",
	"sqlite3MemMalloc",
	"sqlite3DbMallocRawNN",
	"sqlite3_malloc64",
	"sqlite3DbStrDup",
	"sqlite3DbStrNDup",
	"palloc0",
	"MemoryContextAllocZeroAligned",
	"AllocSetAllocLarge",
	"AllocSetContextCreateInternal",
	"pstrdup",
	"Perl_safesysmalloc",
	"CRYPTO_zalloc",
	"CRYPTO_secure_malloc",
	"OPENSSL_sk_push",
	"xmlStrndup",
	"uprv_malloc_72",
	"uv__calloc",
	"_ZN4node15UncheckedMallocIcEEPT_m",
	"_ZN4node12_GLOBAL__N_117CompressionStreamINS0_11ZlibContextEE12"
	"AllocForZlibEPvjj",
	"_ZN2v88internal14AllocWithRetryEmPFPvmE",
	"_ZN2v88internal21AllocAtLeastWithRetryEm",
	"_ZN2v88internal8MallocednwEm",
	"_ZN6icu_727UMemorynwEm",
	"_ZN11ResourceObjnwEmRKSt9nothrow_t",
	"_ZN2os6mallocEm8MEMFLAGS",
	"_Z12AllocateHeapm8MEMFLAGSN17AllocFailStrategy13AllocFailEnumE",
	"_ZN26GrowableArrayWithAllocatorIj18GrowableArrayCHeapIjL8MEMFLAGS24E"
	"EE4growEi",
	"_ZNSt6vectorIiSaIiEE17_M_realloc_insertIJiEEEvN9__gnu_cxx17__normal_"
	"iteratorIPiS1_EEDpOT_",
	"_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE9_M_createERmm",
	"_ZNSt3__16vectorIiNS_9allocatorIiEEE6appendEm",
	"_ZN4llvm15allocate_bufferEmm",
	"_ZN4llvm15SmallVectorBaseIjE8grow_podEPvmm",
	"_ZN10QArrayData8allocateEmmm6QFlagsINS_16AllocationOptionEE",
	"_ZN9QListData12realloc_growEi",
	"_ZN7QString15fromUtf8_helperEPKci",
	"__rust_alloc_zeroed",
	"__rdl_realloc",
	"_ZN5alloc7raw_vec11finish_grow17h0123456789abcdefE",
	"_ZN60_$LT$alloc..string..String$u20$as$u20$core..clone..Clone$GT$5"
	"clone17h0123456789abcdefE",
	"_ZN9hashbrown3raw21RawTable$LT$T$C$A$GT$14reserve_rehash17h0E",
	"_RNvCsfLfy6EI15iL_7___rustc11___rdl_alloc",
	"_RNvCsfLfy6EI15iL_7___rustc19___rust_alloc_zeroed",
	"_RNvMs4_NtCslNYArtu3iFV_5alloc7raw_vecINtB5_11RawVecInnerNtNtCsjrHSEG"
	"nQ3l9_3std5alloc6SystemE11finish_growBW_",
};

static const char *const of_nobody[] = {
	"PyList_New",
	"PyUnicode_New",
	"PyThread_allocate_lock",
	"zend_hash_add",
	"sdsnewlen",
	"sqlite3BtreeInsert",
	"CRYPTO_secure_malloc_init",
	"CRYPTO_alloc_ex_data",
	"ExecInitNode",
	"SSL_CTX_new",
	"deflateInit2_",
	"_Z18ggc_internal_allocmPFvPvEmm",
	"g_main_context_new",
	"g_variant_new",
	"_ZN4node11Environment23allocate_managed_bufferEm",
	"_ZN2v88internal4Zone6ExpandEm",
	"_ZN3foo6rewindEm",
	"_ZN11QStringList6appendEi",
	"_ZNSt17_Function_handlerIFvvEZ4mainEUlvE_E9_M_invokeERKSt9_Any_data",
	"_ZN1a4maps17haf143b3358a85e0dE",
	/* types of another crate's are in it */
	"_RNvCs6xxl1lAjzDf_1a5keeps",
	"_RINvCs6xxl1lAjzDf_1a4keepINtNtCslNYArtu3iFV_5alloc3vec3VechEEB2_",
};

Test(skip, of_the_heap)
{
	configure("");
	for (size_t i = 0; i < sizeof(of_heap) / sizeof(*of_heap); i++)
		cr_assert(skip_frame(KIND_HEAP, "p", of_heap[i]), "%s",
			  of_heap[i]);
	for (size_t i = 0; i < sizeof(of_nobody) / sizeof(*of_nobody); i++)
		cr_assert(!skip_frame(KIND_HEAP, "p", of_nobody[i]), "%s",
			  of_nobody[i]);
}

Test(skip, allocators)
{
	configure("");
	cr_assert(skip_is_allocator("libjemalloc.so.2", "+0x1"));
	cr_assert(skip_is_allocator("program", "je_pages_map"));
	cr_assert(!skip_is_allocator("libc.so.6", "malloc"));
	cr_assert(!skip_is_allocator("program", "main"));
}
