/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table of symbols and its index; see symtab.h.
 *
 * Entries of the index are in rising order of their symbols' addresses.  Of
 * those that cover an address the last one counts, and usually that is the
 * last that begins below; where it is not, since it ends too early, those
 * before it matter only if one of them reaches past its beginning: it is
 * NESTED then.  The table itself has the addresses; where that is in a file,
 * every STEPth of them is kept, so that a search reads few.
 */
#include "track/symtab.h"

#include "base/mem.h"

#include <string.h>
#include <sys/mman.h>

/* Shorter tables are looked through: 1 us. */
#define SHORT 512
#define STEP 8
#define PIECE_SYMBOLS 170 /* a page of them */
/* Nested ones tried one by one; past them the whole table is cheaper. */
#define WALK_MAX 64
/* Of one address, each longer than the one before. */
#define ALIASES_MAX 8
#define DIGIT_BITS 11
#define DIGITS (1U << DIGIT_BITS)

#define NESTED (UINT32_C(1) << 31)
#define GLOBAL (UINT32_C(1) << 31) /* before its place is known */

/* A function on its way into the index; relative to the table's `low`. */
struct entry {
	uint32_t value;
	uint32_t size;
	uint32_t number;
};

/* Memory for the time of making an index. */
struct scratch {
	size_t bytes;
	struct entry *entry; /* two arrays, for sorting */
	struct entry *other;
	ElfW(Sym) * buffer;
	uint32_t count[DIGITS];
};

/* Memory of an index; what is given back waits for the next that fits. */
struct block {
	struct block *next;
	size_t bytes;
	uint32_t data[];
};

#define BUFFER_SYMBOLS (65536 / sizeof(ElfW(Sym)))
#define BUFFER_BYTES (BUFFER_SYMBOLS * sizeof(ElfW(Sym)))

static struct block *spare;

/* A symbol that may name code. */
static bool is_function(const ElfW(Sym) * s)
{
	unsigned type = ELF64_ST_TYPE(s->st_info);

	return s->st_shndx != SHN_UNDEF && s->st_size &&
	       (type == STT_FUNC || type == STT_GNU_IFUNC ||
		type == STT_NOTYPE);
}

static bool covers(const ElfW(Sym) * s, uintptr_t offset)
{
	return is_function(s) && s->st_value <= offset &&
	       offset - s->st_value < s->st_size;
}

static bool is_global(const ElfW(Sym) * s)
{
	return ELF64_ST_BIND(s->st_info) == STB_GLOBAL;
}

static bool better(const ElfW(Sym) * s, const ElfW(Sym) * best)
{
	if (s->st_value != best->st_value)
		return s->st_value > best->st_value;
	return is_global(s) && !is_global(best);
}

/* N symbols from FIRST on, in BUFFER if need be; NULL: they cannot be read. */
static const ElfW(Sym) * some(const struct symtab *t,
			      const struct module_file *file, uint32_t first,
			      uint32_t n, ElfW(Sym) * buffer)
{
	if (t->sym)
		return t->sym + first;
	return module_file_read(file, t->at + first * sizeof(*buffer), buffer,
				n * sizeof(*buffer))
		       ? buffer
		       : NULL;
}

/* Without an index. */
static bool scan(const struct symtab *t, const struct module_file *file,
		 uintptr_t offset, ElfW(Sym) * found)
{
	static ElfW(Sym) buffer[PIECE_SYMBOLS]; /* under registry_lock */
	bool any = false;
	uint32_t n;

	for (uint32_t first = 0; first < t->count; first += n) {
		const ElfW(Sym) * s;

		n = t->count - first;
		if (n > PIECE_SYMBOLS)
			n = PIECE_SYMBOLS;
		s = some(t, file, first, n, buffer);
		if (!s)
			return false;
		for (uint32_t i = 0; i < n; i++) {
			if (!covers(&s[i], offset) ||
			    (any && !better(&s[i], found)))
				continue;
			*found = s[i];
			any = true;
		}
	}
	return any;
}

/* Memory --------------------------------------------------------------- */

static uint32_t *block_take(size_t bytes)
{
	struct block **at = &spare;
	struct block *b;

	bytes = page_up(bytes + sizeof(*b));
	for (; (b = *at); at = &b->next) {
		if (b->bytes < bytes || b->bytes > bytes * 4)
			continue;
		*at = b->next;
		return b->data;
	}
	b = mem_map(bytes);
	if (!b)
		return NULL;
	b->bytes = bytes;
	return b->data;
}

/* Stays mapped, with nothing but its first page in it. */
static void block_drop(uint32_t *data)
{
	struct block *b = (void *)((char *)data - offsetof(struct block, data));

	if (b->bytes > PAGE_BYTES)
		sys_madvise((char *)b + PAGE_BYTES, b->bytes - PAGE_BYTES,
			    MADV_DONTNEED);
	b->next = spare;
	spare = b;
}

static struct scratch *scratch_make(uint32_t count)
{
	size_t half = count * sizeof(struct entry);
	size_t bytes = sizeof(struct scratch) + BUFFER_BYTES + 2 * half;
	long p = sys_mmap_private(bytes);
	struct scratch *x = (void *)p;

	if (sys_failed(p))
		return NULL;
	x->bytes = bytes;
	x->buffer = (void *)(x + 1);
	x->entry = (void *)((char *)x->buffer + BUFFER_BYTES);
	x->other = x->entry + count;
	return x;
}

/* Making an index ------------------------------------------------------ */

static uint32_t functions_of(const ElfW(Sym) * s, uint32_t first, uint32_t n,
			     const struct symtab *t, struct entry *out)
{
	uint32_t used = 0;

	for (uint32_t i = 0; i < n; i++) {
		uintptr_t value = s[i].st_value - t->low;
		uintptr_t size = s[i].st_size;

		if (!is_function(&s[i]) || value >= t->span)
			continue;
		if (size > t->span - value)
			size = t->span - value;
		out[used++] = (struct entry){
			.value = (uint32_t)value,
			.size = (uint32_t)size,
			.number = (first + i) | (is_global(&s[i]) ? GLOBAL : 0),
		};
	}
	return used;
}

/* All functions of the table, into X; their number, or -1. */
static int64_t collect(const struct symtab *t, const struct module_file *file,
		       struct scratch *x)
{
	uint32_t used = 0;
	uint32_t n;

	for (uint32_t first = 0; first < t->count; first += n) {
		const ElfW(Sym) * s;

		n = t->count - first;
		if (n > BUFFER_SYMBOLS)
			n = BUFFER_SYMBOLS;
		s = some(t, file, first, n, x->buffer);
		if (!s)
			return -1;
		used += functions_of(s, first, n, t, x->entry + used);
	}
	return used;
}

/* By their addresses, all below SPAN; equal ones stay in the table's order. */
static void sort(struct scratch *x, uint32_t n, uint32_t span)
{
	for (unsigned shift = 0; shift < 32 && span >> shift;
	     shift += DIGIT_BITS) {
		struct entry *from = x->entry;
		uint32_t sum = 0;

		memset(x->count, 0, sizeof(x->count));
		for (uint32_t i = 0; i < n; i++)
			x->count[from[i].value >> shift & (DIGITS - 1)]++;
		for (uint32_t d = 0; d < DIGITS; d++) {
			uint32_t here = x->count[d];

			x->count[d] = sum;
			sum += here;
		}
		for (uint32_t i = 0; i < n; i++) {
			uint32_t d = from[i].value >> shift & (DIGITS - 1);

			x->other[x->count[d]++] = from[i];
		}
		x->entry = x->other;
		x->other = from;
	}
}

/*
 * Of N at one address those that may be asked for, the best first: each longer
 * than those before.
 */
static unsigned pick(const struct entry *e, uint32_t n, struct entry *picked)
{
	uint32_t size = 0;
	unsigned k = 0;

	if (n == 1) {
		*picked = *e;
		return 1;
	}
	while (k < ALIASES_MAX) {
		const struct entry *best = NULL;

		for (uint32_t i = 0; i < n; i++)
			if (e[i].size > size &&
			    (!best || (e[i].number & ~best->number & GLOBAL)))
				best = &e[i];
		if (!best)
			break;
		size = best->size;
		picked[k++] = *best;
	}
	return k;
}

/* Of N in order those that belong into the index; their number. */
static uint32_t settle(struct entry *e, uint32_t n)
{
	struct entry picked[ALIASES_MAX];
	uint32_t used = 0;
	uint32_t end = 0; /* of all up to here */
	uint32_t next;

	for (uint32_t i = 0; i < n; i = next) {
		unsigned k;

		for (next = i + 1; next < n && e[next].value == e[i].value;)
			next++;
		k = pick(&e[i], next - i, picked);
		while (k-- > 0) {
			struct entry p = picked[k];

			p.number &= ~GLOBAL;
			if (p.value < end)
				p.number |= NESTED;
			if (p.value + p.size > end)
				end = p.value + p.size;
			e[used++] = p;
		}
	}
	return used;
}

static void publish(struct symtab *t, const struct entry *e, uint32_t n)
{
	uint32_t marks = t->sym ? 0 : (n + STEP - 1) / STEP;
	uint32_t *number = block_take((n + marks) * sizeof(*number));

	if (!number)
		return;
	t->number = number;
	t->mark = t->sym ? NULL : number + n;
	t->entries = n;
	for (uint32_t i = 0; i < n; i++) {
		number[i] = e[i].number;
		if (t->mark && i % STEP == 0)
			t->mark[i / STEP] = e[i].value;
	}
}

static void index_make(struct symtab *t, const struct module_file *file)
{
	struct scratch *x = scratch_make(t->count);
	int64_t n;

	if (!x)
		return;
	n = collect(t, file, x);
	if (n >= 0) {
		sort(x, (uint32_t)n, t->span);
		n = settle(x->entry, (uint32_t)n);
		publish(t, x->entry, (uint32_t)n);
	}
	sys_munmap(x, x->bytes);
}

/* Asking it ------------------------------------------------------------ */

/* How many of COUNT rising marks are at or below VALUE. */
static uint32_t marks_to(const uint32_t *mark, uint32_t count, uintptr_t value)
{
	uint32_t low = 0;

	while (low < count) {
		uint32_t middle = low + (count - low) / 2;

		if (mark[middle] <= value)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

/* How many entries begin at or below OFFSET; 0 too where they are unreadable.*/
static uint32_t entries_to(const struct symtab *t,
			   const struct module_file *file, uintptr_t offset)
{
	uint32_t low = 0;
	uint32_t high = t->entries;

	if (t->mark) {
		uint32_t marks = marks_to(t->mark, (high + STEP - 1) / STEP,
					  offset - t->low);

		if (!marks)
			return 0;
		low = (marks - 1) * STEP + 1;
		if (high > marks * STEP)
			high = marks * STEP;
	}
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		ElfW(Sym) buffer;
		const ElfW(Sym) *s =
			some(t, file, t->number[middle] & ~NESTED, 1, &buffer);

		if (!s)
			return 0;
		if (s->st_value <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool index_search(const struct symtab *t, const struct module_file *file,
			 uintptr_t offset, ElfW(Sym) * found)
{
	uint32_t i = entries_to(t, file, offset);

	for (unsigned walk = 0; i > 0 && walk < WALK_MAX; walk++) {
		uint32_t number = t->number[--i];
		const ElfW(Sym) *s = some(t, file, number & ~NESTED, 1, found);

		if (!s)
			return false;
		if (covers(s, offset)) {
			*found = *s;
			return true;
		}
		if (!(number & NESTED))
			return false;
	}
	return i > 0 && scan(t, file, offset, found);
}

bool symtab_find(struct symtab *t, const struct module_file *file,
		 uintptr_t offset, ElfW(Sym) * found)
{
	if (offset - t->low >= t->span)
		return false;
	if (!t->number && t->count > SHORT)
		index_make(t, file);
	if (!t->number)
		return scan(t, file, offset, found);
	return index_search(t, file, offset, found);
}

void symtab_clear(struct symtab *t)
{
	if (t->number)
		block_drop(t->number);
	*t = (struct symtab){0};
}
