/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frame rules, held against libunwind's: for places in every function of the
 * modules at hand libunwind takes one step from a frame whose registers and
 * stack are made up, so that each value of the caller's tells where it came
 * from.  And damaged call frame information, which must not be read past its
 * end.
 */
#include "support.h"
#include "track/cfi.h"

#include <criterion/criterion.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#ifdef HAVE_LIBUNWIND
#include <libunwind-x86_64.h>

/* exported for debuggers, in no header */
int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t as, unw_word_t ip,
				       unw_dyn_info_t *di, unw_proc_info_t *pi,
				       int need, void *arg);
#endif

struct entry {
	int32_t start;
	int32_t fde;
};

struct target {
	const uint8_t *hdr;
	uintptr_t bias;
	uintptr_t start;
	uintptr_t end;
	const struct entry *table;
	uint32_t count;
	const char *name;
};

static bool target_read(struct target *t, const struct dl_phdr_info *info)
{
	*t = (struct target){.name = info->dlpi_name,
			     .bias = info->dlpi_addr,
			     .start = UINTPTR_MAX};
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t start = t->bias + ph->p_vaddr;

		if (ph->p_type == PT_GNU_EH_FRAME)
			t->hdr = (const void *)start;
		if (ph->p_type == PT_LOAD && start < t->start)
			t->start = start;
		if (ph->p_type == PT_LOAD && start + ph->p_memsz > t->end)
			t->end = start + ph->p_memsz;
	}
	/* version 1, pcrel sdata4, udata4, datarel sdata4: what ld writes */
	if (!t->hdr || memcmp(t->hdr, "\x01\x1b\x03\x3b", 4) != 0)
		return false;
	memcpy(&t->count, t->hdr + 8, sizeof(t->count));
	t->table = (const void *)(t->hdr + 12);
	return true;
}

static struct cfi_rule rule_of(const struct target *t, uintptr_t pc)
{
	struct cfi_image image = {t->hdr, (const uint8_t *)t->start,
				  (const uint8_t *)t->end};

	return cfi_rule_find(&image, pc);
}

/* The code that the FDE of table entry I covers. */
static void entry_range(const struct target *t, uint32_t i, uintptr_t *start,
			uintptr_t *len)
{
	const uint8_t *fde = t->hdr + t->table[i].fde;
	uint32_t bytes;

	*start = (uintptr_t)t->hdr + (intptr_t)t->table[i].start;
	memcpy(&bytes, fde + 12, sizeof(bytes)); /* pcrel sdata4 */
	*len = bytes;
}

#ifdef HAVE_LIBUNWIND

/* Registers of the made-up frame; far from anything mapped. */
#define SP UINT64_C(0x100000000000)
#define FP UINT64_C(0x180000000000)

/* What made-up memory holds: another value at each address. */
static uint64_t content(uint64_t addr)
{
	return (addr * 8 + 0x200000000000) & 0x7ffffffffff8;
}

static struct target target;
static uintptr_t frame_pc;

static int find_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi,
		     int need, void *arg)
{
	unw_dyn_info_t di = {
		.start_ip = target.start,
		.end_ip = target.end,
		.format = UNW_INFO_FORMAT_REMOTE_TABLE,
		.u.rti = {.segbase = (unw_word_t)target.hdr,
			  .table_data = (unw_word_t)target.table,
			  .table_len = target.count * sizeof(struct entry) /
				       sizeof(unw_word_t)},
	};

	return unw_get_accessors(as) &&
			       ip - target.start < target.end - target.start
		       ? _Ux86_64_dwarf_search_unwind_table(as, ip, &di, pi,
							    need, arg)
		       : -UNW_ENOINFO;
}

static void put_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
	(void)as;
	(void)pi;
	(void)arg;
}

static int no_list(unw_addr_space_t as, unw_word_t *list, void *arg)
{
	(void)as;
	(void)list;
	(void)arg;
	return -UNW_ENOINFO;
}

static int access_mem(unw_addr_space_t as, unw_word_t addr, unw_word_t *value,
		      int write, void *arg)
{
	(void)as;
	(void)arg;
	if (write)
		return -UNW_EINVAL;
	if (addr - target.start < target.end - target.start)
		memcpy(value, (const void *)addr, sizeof(*value));
	else
		*value = content(addr);
	return 0;
}

static int access_reg(unw_addr_space_t as, unw_regnum_t reg, unw_word_t *value,
		      int write, void *arg)
{
	(void)as;
	(void)arg;
	if (write)
		return -UNW_EINVAL;
	switch (reg) {
	case UNW_X86_64_RIP:
		*value = frame_pc;
		return 0;
	case UNW_X86_64_RSP:
		*value = SP;
		return 0;
	case UNW_X86_64_RBP:
		*value = FP;
		return 0;
	default:
		*value = 0x1234560;
		return 0;
	}
}

static int access_fpreg(unw_addr_space_t as, unw_regnum_t reg,
			unw_fpreg_t *value, int write, void *arg)
{
	(void)as;
	(void)reg;
	(void)value;
	(void)write;
	(void)arg;
	return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t as, unw_cursor_t *c, void *arg)
{
	(void)as;
	(void)c;
	(void)arg;
	return -UNW_EINVAL;
}

static int no_name(unw_addr_space_t as, unw_word_t ip, char *buf, size_t len,
		   unw_word_t *offset, void *arg)
{
	(void)as;
	(void)ip;
	(void)buf;
	(void)len;
	(void)offset;
	(void)arg;
	return -UNW_ENOINFO;
}

static unw_addr_space_t space;

static void oracle_open(void)
{
	static unw_accessors_t accessors = {
		.find_proc_info = find_info,
		.put_unwind_info = put_info,
		.get_dyn_info_list_addr = no_list,
		.access_mem = access_mem,
		.access_reg = access_reg,
		.access_fpreg = access_fpreg,
		.resume = no_resume,
		.get_proc_name = no_name,
	};

	space = unw_create_addr_space(&accessors, 0);
	cr_assert_not_null(space);
	unw_set_caching_policy(space, UNW_CACHE_NONE);
}

struct caller {
	unw_word_t pc;
	unw_word_t sp;
	unw_word_t fp;
};

/* libunwind's result: positive, 0: the outermost frame, or an error. */
static int oracle_step(uintptr_t pc, struct caller *to)
{
	unw_cursor_t cursor;
	int result;

	frame_pc = pc;
	result = unw_init_remote(&cursor, space, NULL);
	if (!result)
		result = unw_step(&cursor);
	if (result <= 0)
		return result;
	unw_get_reg(&cursor, UNW_X86_64_RIP, &to->pc);
	unw_get_reg(&cursor, UNW_X86_64_RSP, &to->sp);
	unw_get_reg(&cursor, UNW_X86_64_RBP, &to->fp);
	return result;
}

static bool our_step(const struct cfi_rule *rule, struct caller *to)
{
	uint64_t base = rule->base == CFI_RSP ? SP : FP;

	if (rule->base == CFI_NONE || rule->base == CFI_SIGNAL)
		return false;
	to->sp = base + (uint64_t)(int64_t)rule->offset;
	if (rule->base == CFI_DEREF)
		to->sp = content(to->sp);
	to->pc = content(to->sp - 8);
	to->fp = FP;
	if (rule->rbp_saved)
		to->fp = content((rule->rbp_saved == 1 ? to->sp : FP) +
				 (uint64_t)(int64_t)rule->rbp_offset);
	return true;
}

static struct {
	unsigned places;
	unsigned odd;	 /* we know no rule, libunwind does */
	unsigned failed; /* the reverse */
	unsigned signal;
	unsigned modules;
} tally;

static void compare_at(uintptr_t pc)
{
	struct cfi_rule rule = rule_of(&target, pc);
	struct caller theirs = {0};
	struct caller ours = {0};
	int known = oracle_step(pc, &theirs);

	tally.places++;
	if (rule.base == CFI_SIGNAL) {
		tally.signal++;
		return;
	}
	if (!our_step(&rule, &ours)) {
		tally.odd += known > 0;
		return;
	}
	cr_assert(known, "%s %#lx: the outermost frame to libunwind",
		  target.name, pc - target.bias);
	if (known < 0) {
		tally.failed++;
		return;
	}
	cr_assert(ours.sp == theirs.sp && ours.pc == theirs.pc &&
			  ours.fp == theirs.fp,
		  "%s %#lx: CFA %#lx %#lx, rbp %#lx %#lx", target.name,
		  pc - target.bias, ours.sp, theirs.sp, ours.fp, theirs.fp);
}

static int compare_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	uint64_t *state = arg;

	(void)size;
	if (!target_read(&target, info))
		return 0;
	tally.modules++;
	for (uint32_t i = 0; i < target.count; i++) {
		uintptr_t start;
		uintptr_t len;

		entry_range(&target, i, &start, &len);
		if (!len || start + len > target.end)
			continue;
		compare_at(start);
		compare_at(start + len - 1);
		for (unsigned n = 0; n < 3; n++)
			compare_at(start + draw(state) % len);
	}
	return 0;
}

Test(cfi, rules_are_libunwinds, .timeout = 300)
{
	uint64_t state = 1;

	oracle_open();
	dl_iterate_phdr(compare_module, &state);
	cr_log_info("%u places in %u modules: %u odd, %u libunwind's errors, "
		    "%u in signal frames",
		    tally.places, tally.modules, tally.odd, tally.failed,
		    tally.signal);
	cr_assert_gt(tally.modules, 4);
	cr_assert_gt(tally.places, 20000);
	cr_assert_gt(tally.signal, 0, "libc's __restore_rt");
	/* PLT entries have an expression of their own, and libc odd asm */
	cr_assert_lt(tally.odd, tally.places / 100);
	cr_assert_lt(tally.failed, tally.places / 100);
}

#endif

static int find_libc(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	return strstr(info->dlpi_name, "/libc.so") && target_read(arg, info);
}

static int find_libcriterion(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	return strstr(info->dlpi_name, "libcriterion") &&
	       target_read(arg, info);
}

Test(cfi, no_rule_outside_of_functions)
{
	struct target t;

	cr_assert(dl_iterate_phdr(find_libc, &t));
	cr_assert_eq(rule_of(&t, 0).base, CFI_NONE);
	cr_assert_eq(rule_of(&t, 16).base, CFI_NONE);
	cr_assert_eq(rule_of(&t, t.end + (UINT64_C(1) << 32)).base, CFI_NONE);
	cr_assert_eq(rule_of(&t, UINTPTR_MAX).base, CFI_NONE);
	t.hdr = NULL;
	cr_assert_eq(rule_of(&t, t.start).base, CFI_NONE);
}

/* Where .eh_frame_hdr and .eh_frame of T lie, hdr first or last. */
static void sections(const struct target *t, uintptr_t *low, uintptr_t *high)
{
	int32_t eh_frame;
	uintptr_t start;

	memcpy(&eh_frame, t->hdr + 4, sizeof(eh_frame));
	start = (uintptr_t)t->hdr + 4 + (intptr_t)eh_frame;
	*low = start < (uintptr_t)t->hdr ? start : (uintptr_t)t->hdr;
	*high = (uintptr_t)t->hdr + 12 + t->count * sizeof(struct entry);
	for (uint32_t i = 0; i < t->count; i++) {
		const uint8_t *fde = t->hdr + t->table[i].fde;
		uint32_t len;

		memcpy(&len, fde, sizeof(len));
		if ((uintptr_t)fde + 4 + len > *high)
			*high = (uintptr_t)fde + 4 + len;
	}
}

/*
 * The sections in a copy, with bytes changed, and nothing mapped around them
 * but the pages they lie in: whatever the bytes say, nothing is read outside.
 * The table's own offsets are left alone in the first rounds.
 */
static void damage(bool table_too, unsigned rounds)
{
	struct target t;
	uintptr_t low;
	uintptr_t high;
	size_t bytes;
	size_t guard = 64 << 20;
	uint64_t state = 3;
	uint8_t *area;
	uint8_t *copy;
	const uint8_t *hdr;
	struct cfi_image image;

	cr_assert(dl_iterate_phdr(find_libcriterion, &t));
	sections(&t, &low, &high);
	low &= ~(PAGE - 1);
	high = (high + PAGE - 1) & ~(PAGE - 1);
	bytes = high - low;
	area = mmap(NULL, bytes + 2 * guard, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	cr_assert_neq(area, MAP_FAILED);
	copy = area + guard;
	mprotect(copy, bytes, PROT_READ | PROT_WRITE);
	hdr = copy + ((uintptr_t)t.hdr - low);
	image = (struct cfi_image){hdr, copy, copy + bytes};
	for (unsigned round = 0; round < rounds; round++) {
		size_t safe = (size_t)((const uint8_t *)t.table - t.hdr) +
			      t.count * sizeof(struct entry);

		memcpy(copy, (const void *)low, bytes);
		for (unsigned n = 0; n < 2000; n++) {
			size_t at = draw(&state) % bytes;

			if (!table_too && copy + at - hdr < (ptrdiff_t)safe &&
			    copy + at >= hdr)
				continue;
			copy[at] = (uint8_t)draw(&state);
		}
		for (uint32_t i = 0; i < t.count; i++)
			cfi_rule_find(&image,
				      (uintptr_t)hdr +
					      (intptr_t)t.table[i].start +
					      draw(&state) % 64);
	}
}

Test(cfi, damaged_frames_are_not_read_past_their_end, .timeout = 120)
{
	damage(false, 30);
}

Test(cfi, a_damaged_table_is_not_followed_out_of_the_section, .timeout = 120)
{
	damage(true, 30);
}
