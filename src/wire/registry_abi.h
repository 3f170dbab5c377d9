/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layout of the registry: what the shim writes in the memory of a process
 * and the tool reads out of it, live or from a core file.
 *
 * The head is found through the exported symbol `anonshim_registry`, a pointer
 * to it, or by its magic at the start of a page (a core file).  Everything is
 * little data in native byte order; a reader of another architecture must
 * refuse (`version` reads wrong).
 *
 * Tables are arrays in chunks that double: chunk k of a table holds
 * `first_elems << k` elements, so that element i is found without a search and
 * never moves.  `count` is the number of elements ever used; chunk[k] is 0
 * where chunk k was never needed, chunk[0] too in a table that is empty (count
 * 1).  Element 0 of every table is a null element.
 *
 * Strings live in the table REGISTRY_STRINGS (elements of one byte), are
 * addressed by the index of their first byte, end in NUL and never straddle a
 * chunk.  Index 0 is the empty string.
 *
 * Consistency: strings, frames and sites are written once, before any region
 * refers to them; a module's record is written anew when the same file is
 * loaded again.  Regions change all the time: `generation` is odd while the
 * writer changes any and even at rest.  A reader takes it before and after and
 * retries.  A reader trusts nothing: a process may have scribbled over it.
 *
 * Everything shim and tool must agree on is here; a change of meaning or of
 * offsets increments REGISTRY_VERSION.
 */
#ifndef ANONSHIM_WIRE_REGISTRY_ABI_H
#define ANONSHIM_WIRE_REGISTRY_ABI_H

#include <stdint.h>

#define REGISTRY_MAGIC "anonshim\rregis\n" /* 15 characters and the NUL */
#define REGISTRY_MAGIC_BYTES 16
#define REGISTRY_VERSION 3
#define REGISTRY_SYMBOL "anonshim_registry"

#define REGISTRY_CHUNKS 20

enum registry_table_id {
	REGISTRY_STRINGS,
	REGISTRY_MODULES,
	REGISTRY_SITES,
	REGISTRY_FRAMES,
	REGISTRY_REGIONS,
	REGISTRY_ARENAS,
	REGISTRY_CACHES,
	REGISTRY_ACCOUNTS,
	REGISTRY_OBJECTS,
	REGISTRY_TABLES,
};

struct registry_table {
	uint32_t elem_bytes;
	uint32_t first_elems; /* a power of two */
	uint64_t count;
	uint64_t chunk[REGISTRY_CHUNKS]; /* addresses */
};

/* A module: the executable or a shared object, also after it was unloaded. */
struct registry_module {
	uint64_t bias;	/* load address minus link address */
	uint64_t start; /* lowest and one past the highest address mapped */
	uint64_t end;
	uint32_t path;	      /* string: file as the loader opened it */
	uint32_t owner;	      /* string: soname, else the last part of path */
	uint32_t unloaded;    /* 0: mapped now */
	uint32_t fingerprint; /* of its content, to tell a rebuilt one */
};

/* X(constant, the word in names) */
#define REGISTRY_KINDS(X)      \
	X(KIND_NONE, "")       \
	X(KIND_HEAP, "heap")   \
	X(KIND_MMAP, "mmap")   \
	X(KIND_STACK, "stack") \
	X(KIND_BSS, "bss")     \
	X(KIND_ALIAS, "alias") \
	X(KIND_SNAPSHOT, "snapshot")

enum registry_kind {
#define X(constant, word) constant,
	REGISTRY_KINDS(X)
#undef X
		KIND_COUNT
};

/*
 * A site: one call stack that maps memory (kinds heap, mmap), the start
 * routine of a thread (stack), or a module (bss).
 */
struct registry_site {
	uint32_t owner;	 /* string */
	uint32_t symbol; /* string: function as in the symbol table, or +0x1a2;
			    may be longer than what the name holds */
	uint32_t name;	 /* string: as given to the kernel, template applied;
			    per-thread parts (%t, %p) are left out */
	uint32_t frames; /* index of the first frame */
	uint8_t nframes;
	uint8_t picked; /* which frame gave owner and symbol */
	uint8_t kind;	/* enum registry_kind */
	uint8_t reserved;
	uint32_t reserved2;
};

/*
 * A frame: index of its module in the upper 16 bits and the offset from that
 * module's bias in the lower 48; module 0: the address itself.  All but
 * signal frames are return addresses.
 */
#define REGISTRY_FRAME_OFFSET_BITS 48
#define REGISTRY_FRAME_MODULE(f) ((uint32_t)((f) >> REGISTRY_FRAME_OFFSET_BITS))
#define REGISTRY_FRAME_OFFSET(f) \
	((f) & ((UINT64_C(1) << REGISTRY_FRAME_OFFSET_BITS) - 1))

/* region.flags */
#define REGION_SHARED 0x1 /* MAP_SHARED|MAP_ANONYMOUS */
#define REGION_EARLY 0x2  /* found at start-up, mapped before the shim */
#define REGION_OWN 0x4	  /* anonshim's own */
#define REGION_BRK 0x8	  /* the brk heap: its end is what the kernel says */
#define REGION_GROWSDOWN 0x10 /* its start is what the kernel says */

/*
 * A region: pages of one site.  Neighbours of the same site, name and flags
 * are one region.  start == end: the slot is free.  left and right are the
 * writer's search tree and no business of a reader.
 */
struct registry_region {
	uint64_t start;
	uint64_t end;
	uint32_t site;
	uint32_t own_name; /* string: name given by the program, 0: none */
	uint32_t left;
	uint32_t right;
	uint32_t tid; /* kind stack: the thread, else 0 */
	uint32_t flags;
};

/*
 * The heap.  Arenas, caches and accounts change all the time and have no
 * generation: their numbers are of one moment each.  The live bytes of an
 * arena, blocks that the program holds as their size classes, are
 *
 *	arena.direct + the sum over its caches of
 *		net - the sum over c of magazine[c].n * head.class_bytes[c]
 */

/* arena.flags */
#define ARENA_SHARED 0x1 /* small owners', told apart by the accounts */

/* An arena: the memory of one owner or site, in regions of this site. */
struct registry_arena {
	uint32_t site;
	uint32_t flags;
	int64_t direct; /* live bytes that went through no cache */
};

#define HEAP_CLASSES 42 /* size classes that magazines hold, 0 is none */

/* Free blocks of one size class. */
struct registry_magazine {
	uint64_t items; /* address of their addresses */
	uint32_t n;
	uint32_t cap;
};

/* What one thread keeps of one arena. */
struct registry_cache {
	int64_t net; /* bytes taken from the arena less bytes given back */
	uint32_t arena;
	uint32_t reserved;
	struct registry_magazine magazine[HEAP_CLASSES];
};

/* Live bytes of one site in the shared arena. */
struct registry_account {
	int64_t live;
	uint32_t site;
	uint32_t reserved;
};

/* object.flags; 0: the slot is free */
#define OBJECT_USED 0x1
#define OBJECT_SEEN 0x2		/* the writer's */
#define OBJECT_ALIASED 0x4	/* was mapped at two addresses at once */
#define OBJECT_FOREIGN 0x8	/* came from another process */
#define OBJECT_SEALED 0x10	/* against writing: meant to be shared */
#define OBJECT_SHARE 0x20	/* the program wants it shared with children */
#define OBJECT_PRIVATE 0x40	/* and private to them */
#define OBJECT_REGION 0x80	/* of anonshim_region_create() */
#define OBJECT_ADVISED 0x100	/* madvise() said something of its mappings */
#define OBJECT_NAMED 0x200	/* a file that had a name when mapped last */
#define OBJECT_HUGE 0x400	/* pages of hugetlbfs */
#define OBJECT_WATCHED 0x800	/* snapshots see it, or it is a view of one */
#define OBJECT_ELSEWHERE 0x1000 /* a FILE or another process has it open */

/*
 * What shared mappings show.  Changes as the regions do, under the same
 * generation.
 */
struct registry_object {
	uint64_t dev; /* as stat(2) has them; 0, 0: anonymous memory */
	uint64_t ino;
	int64_t born_ns; /* 0: not known */
	uint64_t at;	 /* address of one mapping, if that is still there */
	uint64_t low;	 /* offsets that were ever mapped */
	uint64_t high;	 /* 0: none */
	uint64_t size;	 /* bytes, when it was mapped or cut last */
	uint32_t flags;
	uint32_t site; /* that mapped it first */
	int32_t fd;    /* OBJECT_REGION: its descriptor */
	uint32_t mappings;
};

/* X(field, what it counts) */
#define REGISTRY_COUNTERS(X)                                             \
	X(regions, "regions now")                                        \
	X(maps, "mapping calls recorded")                                \
	X(unmaps, "unmapping calls recorded")                            \
	X(remaps, "mremap calls recorded")                               \
	X(named, "regions named in the kernel")                          \
	X(name_failures, "names the kernel refused")                     \
	X(owner_names, "names cut to the owner's, see max-vmas")         \
	X(unnamed, "regions left without a kernel name, see max-vmas")   \
	X(sites_lost, "call stacks recorded by caller only, table full") \
	X(lost, "mapping calls not recorded; resyncs mend them")         \
	X(resyncs, "times the map was read back from the kernel")

struct registry_counters {
#define X(field, text) uint64_t field;
	REGISTRY_COUNTERS(X)
#undef X
};

/* head.flags */
#define REGISTRY_NAMES_KERNEL 0x1 /* names are given to the kernel */
#define REGISTRY_READY 0x2	  /* start-up is done */
#define REGISTRY_INEXACT 0x4	  /* something was lost, or recording ended */

struct registry_head {
	char magic[REGISTRY_MAGIC_BYTES];
	uint32_t version;
	uint32_t head_bytes;
	uint64_t self;	     /* address of this head */
	uint64_t generation; /* see above */
	uint32_t pid;	     /* as the process itself sees it */
	uint32_t flags;
	uint64_t page_bytes;
	uint64_t brk_start;
	uint64_t shim_version; /* string index */
	uint64_t options;      /* string index: ANONSHIM_OPTIONS as found */
	uint32_t class_bytes[HEAP_CLASSES]; /* of a block; 0: no such class */
	struct registry_counters counters;
	struct registry_table table[REGISTRY_TABLES];
};

#endif
