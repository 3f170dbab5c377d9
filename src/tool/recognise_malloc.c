/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * glibc's malloc (2.17 to 2.41, 64 bits), as it lies in memory.
 *
 * An arena's heap is 64 MiB, aligned to as much, and starts with a heap_info:
 * the arena, the heap before this one, how much is in use, how much is
 * writable.  The arena follows the heap_info of its first heap and points at
 * the top chunk, which ends where the used part of the newest heap ends: a
 * circle that nothing else closes.  Malloc itself opens it for a moment while
 * it cuts a block off; then the rest of the heap, reserved, has to show.
 *
 * A block that malloc maps by itself has two words before it: 0 and its size,
 * whole pages, with bit 1 set.
 */
#include "tool/recognise.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HEAP_BYTES (UINT64_C(64) << 20)
#define IS_MMAPPED UINT64_C(2)
#define CHUNK_FLAGS UINT64_C(7)
/* Smallest block malloc maps by itself, unless told otherwise. */
#define MMAP_THRESHOLD (UINT64_C(128) << 10)

struct heap_info {
	uint64_t arena;
	uint64_t previous;
	uint64_t used;
	uint64_t writable;
};

/* sizeof(heap_info) before 2.35 and since. */
static const uint64_t heap_info_bytes[] = {0x20, 0x30};
/* Of `top` in malloc_state, before 2.27 and since. */
static const uint64_t top_offset[] = {0x58, 0x60};

/* A range that nobody has claimed: a VMA or what claims leave of it. */
struct gap {
	uint64_t start;
	uint64_t end;
};

struct search {
	const struct recognise *r;
	struct claim_list *claims;
	struct label arena;
	struct label chunk;
	uint64_t chunk_end; /* of the block found last */
	unsigned patience;  /* pages that may still be looked at in vain */
};

static bool is_first_heap(uint64_t base, const struct heap_info *info)
{
	uint64_t after = info->arena - base;

	return info->previous == 0 &&
	       (after == heap_info_bytes[0] || after == heap_info_bytes[1]);
}

static bool read_heap_info(const struct recognise *r, uint64_t base,
			   struct heap_info *info)
{
	uint64_t mask = r->page_bytes - 1;

	if (recognise_read(r, base, info, sizeof(*info)) != 0)
		return false;
	return info->used > sizeof(*info) && (info->used & mask) == 0 &&
	       (info->writable & mask) == 0 && info->used <= info->writable &&
	       info->writable <= HEAP_BYTES;
}

/* The rest of the 64 MiB is reserved without access. */
static uint64_t heap_end(const struct recognise *r, uint64_t base,
			 uint64_t writable)
{
	const struct vma *vma = vma_list_find(r->vmas, base + writable);

	if (vma != NULL && vma->class == VMA_ANON &&
	    vma->start == base + writable && vma->end >= base + HEAP_BYTES &&
	    memcmp(vma->perms, "---p", 4) == 0)
		return base + HEAP_BYTES;
	return base + writable;
}

/*
 * Whether `top` closes the circle: it ends the used part of its own heap, or
 * at least lies in it, and the heap is mapped as heaps are.
 */
static bool top_fits(const struct recognise *r, uint64_t arena, uint64_t top)
{
	uint64_t base = top & ~(HEAP_BYTES - 1), size;
	struct heap_info info;

	if (top % 16 != 0 || !read_heap_info(r, base, &info) ||
	    info.arena != arena)
		return false;
	if (recognise_read(r, top + 8, &size, sizeof(size)) != 0)
		return false;
	if (top + (size & ~CHUNK_FLAGS) == base + info.used)
		return true;
	return top < base + info.used &&
	       heap_end(r, base, info.writable) == base + HEAP_BYTES;
}

/* Whether an arena is where a heap says it is: its first heap says so too. */
static bool arena_fits(const struct recognise *r, uint64_t arena)
{
	uint64_t base = arena & ~(HEAP_BYTES - 1), top;
	struct heap_info first;

	if (!read_heap_info(r, base, &first) || first.arena != arena ||
	    !is_first_heap(base, &first))
		return false;
	for (size_t i = 0; i < 2; i++)
		if (recognise_read(r, arena + top_offset[i], &top,
				   sizeof(top)) == 0 &&
		    top_fits(r, arena, top))
			return true;
	return false;
}

static bool try_heap(const struct search *s, const struct gap *gap,
		     uint64_t base, uint64_t *end)
{
	struct claim claim = {.start = base, .label = s->arena};
	struct heap_info info;

	if (!read_heap_info(s->r, base, &info) ||
	    info.writable > gap->end - base ||
	    (!is_first_heap(base, &info) && info.previous % HEAP_BYTES != 0) ||
	    !arena_fits(s->r, info.arena))
		return false;
	claim.end = heap_end(s->r, base, info.writable);
	claim_list_add(s->claims, &claim);
	*end = base + info.writable;
	return true;
}

/* The size of the block whose header is at base, 0 if there is none. */
static uint64_t chunk_bytes(const struct recognise *r, uint64_t base,
			    uint64_t end)
{
	uint64_t word[2], bytes;

	if (recognise_read(r, base, word, sizeof(word)) != 0)
		return 0;
	bytes = word[1] & ~CHUNK_FLAGS;
	if (word[0] != 0 || (word[1] & CHUNK_FLAGS) != IS_MMAPPED ||
	    bytes % r->page_bytes != 0 || bytes > end - base)
		return 0;
	return bytes;
}

/* Whether blocks follow each other from base up to the very end. */
static bool fill_up(const struct recognise *r, uint64_t base, uint64_t end)
{
	while (base < end) {
		uint64_t bytes = chunk_bytes(r, base, end);

		if (bytes == 0)
			return false;
		base += bytes;
	}
	return true;
}

/*
 * Two words are little evidence: a block must also start where the gap does
 * and be as large as those malloc maps by itself, or its size must be just
 * what remains of the gap, alone or with blocks that follow it.
 */
static bool try_chunk(const struct search *s, const struct gap *gap,
		      uint64_t base, uint64_t *end)
{
	struct claim claim = {.start = base, .label = s->chunk};
	uint64_t bytes = chunk_bytes(s->r, base, gap->end);
	bool first = base == gap->start || base == s->chunk_end;

	if (bytes == 0)
		return false;
	if (!(first && bytes >= MMAP_THRESHOLD) &&
	    !fill_up(s->r, base + bytes, gap->end))
		return false;
	claim.end = base + bytes;
	claim_list_add(s->claims, &claim);
	*end = claim.end;
	return true;
}

/*
 * Blocks and heaps lie side by side in a VMA, and beside other memory.  Every
 * page may be the first of a block; looking at them all is limited.
 */
static void search_gap(struct search *s, const struct gap *gap)
{
	uint64_t at = gap->start;

	while (at < gap->end) {
		uint64_t next = (at + HEAP_BYTES) & ~(HEAP_BYTES - 1);

		if (at % HEAP_BYTES == 0 && try_heap(s, gap, at, &next)) {
			at = next;
		} else if (try_chunk(s, gap, at, &next)) {
			at = next;
			s->chunk_end = next;
		} else if (s->patience > 0) {
			s->patience--;
			at += s->r->page_bytes;
		} else {
			at = next;
		}
	}
}

static bool is_libc(const char *base)
{
	return strcmp(base, "libc.so.6") == 0 ||
	       (strncmp(base, "libc-2.", 7) == 0 && strstr(base, ".so"));
}

static const char *find_libc(const struct recognise *r)
{
	for (size_t i = 0; i < r->vmas->count; i++) {
		const struct vma *vma = &r->vmas->v[i];

		if (vma->class == VMA_FILE && vma->perms[2] == 'x' &&
		    is_libc(vma_basename(vma->name, r->pool)))
			return vma->owner != NULL
				       ? vma->owner
				       : vma_basename(vma->name, r->pool);
	}
	return NULL;
}

static struct label make_label(const struct recognise *r, const char *owner,
			       const char *site)
{
	char name[256];

	snprintf(name, sizeof(name), "%s: heap %s", owner, site);
	return label_make(r->pool, owner, "heap", site, name);
}

/* What of a VMA nobody has claimed. */
static void search_vma(struct search *s, const struct claim_list *taken,
		       const struct vma *vma)
{
	struct gap gap = {vma->start, vma->end};

	for (size_t i = claim_list_lower(taken, vma->start);
	     i < taken->count && taken->v[i].start < vma->end; i++) {
		gap.end = taken->v[i].start;
		search_gap(s, &gap);
		gap.start = taken->v[i].end;
	}
	gap.end = vma->end;
	search_gap(s, &gap);
}

void recognise_malloc(const struct recognise *r, const struct claim_list *taken,
		      struct claim_list *claims)
{
	const char *libc = find_libc(r);
	struct search s = {.r = r, .claims = claims};

	if (sizeof(void *) != 8 || libc == NULL)
		return;
	s.arena = make_label(r, libc, "malloc arena");
	s.chunk = make_label(r, libc, "malloc chunk");
	for (size_t i = 0; i < r->vmas->count; i++) {
		const struct vma *vma = &r->vmas->v[i];

		if (vma->class == VMA_ANON && vma->anon_name == NULL &&
		    vma->rss_kib > 0 && memcmp(vma->perms, "rw-p", 4) == 0)
			search_vma(&s, taken, vma);
	}
}
