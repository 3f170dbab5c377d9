/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call stacks on x86-64; see unwind.h.
 *
 * Rules are cached in a small table that is never locked: a slot is two words,
 * the rule and the rule xor its key, so that words of two different writers
 * never look like a whole (Hyatt's lockless hashing).  The key holds the
 * number of unloads, which makes rules of a module that is gone unfindable.
 */
#include "track/unwind.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/procmaps.h"
#include "env/caps.h"
#include "env/guard.h"
#include "track/cfi.h"
#include "track/module.h"
#include "track/registry.h"

#include <string.h>
#include <sys/resource.h>
#include <ucontext.h>

#define SLOTS 4096
#define MAIN_STACK_BYTES (UINT64_C(8) << 20)
#define ADDRESS_BITS 47

static struct slot {
	uint64_t check; /* key ^ rule */
	uint64_t rule;
} cache[SLOTS];

union packed {
	struct cfi_rule rule;
	uint64_t word;
};

_Static_assert(sizeof(struct cfi_rule) == sizeof(uint64_t), "one word");

static uint64_t key_of(uintptr_t pc)
{
	uint64_t unloads = __atomic_load_n(&modules_unloads, __ATOMIC_RELAXED);

	return pc | (unloads + 1) << ADDRESS_BITS;
}

/* Registers of the frame that a step leads to. */
struct frame {
	uintptr_t pc;
	uintptr_t sp;
	uintptr_t fp;
};

static struct cfi_rule rule_compute(uintptr_t pc)
{
	struct cfi_rule rule = {.base = CFI_NONE};
	const struct module *m;

	guard_enter();
	if (lock_take(&registry_lock)) {
		m = module_find(pc);
		if (m)
			rule = cfi_rule_find(m->eh_frame_hdr, pc);
		lock_drop(&registry_lock);
	}
	guard_leave();
	return rule;
}

static struct cfi_rule rule_get(uintptr_t pc)
{
	uint64_t key = key_of(pc);
	struct slot *s = &cache[hash_mix(0, pc) >> 20 & (SLOTS - 1)];
	union packed p;

	p.word = __atomic_load_n(&s->rule, __ATOMIC_RELAXED);
	if ((__atomic_load_n(&s->check, __ATOMIC_RELAXED) ^ p.word) == key)
		return p.rule;
	p.rule = rule_compute(pc);
	__atomic_store_n(&s->rule, p.word, __ATOMIC_RELAXED);
	__atomic_store_n(&s->check, key ^ p.word, __ATOMIC_RELAXED);
	return p.rule;
}

/* Learn the bounds of the stack that holds SP. */
static bool stack_find(uintptr_t sp)
{
	struct procmap_vma vma;
	int result = -1;

	if (!caps.files)
		return false;
	guard_enter();
	if (caps.procmap)
		result = procmaps_query(sp, &vma);
	if (result && registry_maps_short())
		result = procmaps_find(sp, &vma);
	guard_leave();
	if (result || !vma.writable || sp < vma.start || sp >= vma.end)
		return false;
	guard.stack_low = vma.start;
	guard.stack_high = vma.end;
	/* the main stack grows down by itself */
	if (!strcmp(vma.name, "[stack]") &&
	    vma.end - vma.start < MAIN_STACK_BYTES)
		guard.stack_low = vma.end - MAIN_STACK_BYTES;
	return true;
}

static bool stack_holds(uintptr_t addr)
{
	return addr - guard.stack_low <
		       guard.stack_high - guard.stack_low - sizeof(addr) &&
	       !(addr & (sizeof(addr) - 1));
}

static uintptr_t load(uintptr_t addr)
{
	return *(const uintptr_t *)addr;
}

static bool step_signal(struct frame *f)
{
	const ucontext_t *uc = (const void *)f->sp;

	if (!stack_holds(f->sp) || !stack_holds(f->sp + sizeof(*uc)))
		return false;
	f->pc = (uintptr_t)uc->uc_mcontext.gregs[REG_RIP] + 1;
	f->fp = (uintptr_t)uc->uc_mcontext.gregs[REG_RBP];
	f->sp = (uintptr_t)uc->uc_mcontext.gregs[REG_RSP];
	/* a handler on an alternate stack ran over another one */
	return stack_holds(f->sp) || stack_find(f->sp);
}

static bool step(struct frame *f)
{
	struct cfi_rule rule = rule_get(f->pc - 1);
	uintptr_t cfa;
	uintptr_t saved;

	switch (rule.base) {
	case CFI_RSP:
		cfa = f->sp + (uintptr_t)(intptr_t)rule.offset;
		break;
	case CFI_RBP:
		cfa = f->fp + (uintptr_t)(intptr_t)rule.offset;
		break;
	case CFI_DEREF:
		cfa = f->fp + (uintptr_t)(intptr_t)rule.offset;
		if (!stack_holds(cfa))
			return false;
		cfa = load(cfa);
		break;
	case CFI_SIGNAL:
		return step_signal(f);
	default:
		return false;
	}
	if (cfa <= f->sp || !stack_holds(cfa - 8))
		return false;
	if (rule.rbp_saved) {
		saved = rule.rbp_saved == 1 ? cfa : f->fp;
		saved += (uintptr_t)(intptr_t)rule.rbp_offset;
		if (!stack_holds(saved))
			return false;
		f->fp = load(saved);
	}
	f->pc = load(cfa - 8);
	f->sp = cfa;
	return f->pc != 0;
}

unsigned unwind_capture(const struct unwind_start *start, uintptr_t *frames,
			unsigned depth)
{
	struct frame f = {.pc = start->pc, .sp = start->sp, .fp = start->fp};
	unsigned n = 1;

	frames[0] = f.pc;
	if (depth == 1 || (!stack_holds(f.sp) && !stack_find(f.sp)))
		return 1;
	while (n < depth && step(&f))
		frames[n++] = f.pc;
	return n;
}
