/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Call stacks on x86-64; see unwind.h.
 *
 * Rules are cached in a small table that is never locked: a slot is two words,
 * the rule and the rule xor its key, so that words of two different writers
 * never look like a whole (Hyatt's lockless hashing).  The key holds the
 * modules' generation, so that rules of a module that is gone are not found.
 */
#include "track/unwind.h"

#include "base/index.h"
#include "base/sys.h"
#include "env/caps.h"
#include "env/guard.h"
#include "env/real.h"
#include "track/cfi.h"
#include "track/module.h"

#include <string.h>
#include <ucontext.h>

#define SLOTS 4096
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
	uint64_t now = __atomic_load_n(&modules_generation, __ATOMIC_ACQUIRE);

	return pc | (now + 1) << ADDRESS_BITS;
}

/* The segment that O's call frame information lies in; empty: none. */
static struct cfi_image image_of(const struct dl_find_object *o)
{
	const uint8_t *hdr = o->dlfo_eh_frame;
	unsigned n;
	const ElfW(Phdr) *ph = module_headers(o, &n);
	uintptr_t bias = o->dlfo_link_map->l_addr;

	for (unsigned i = 0; ph && i < n; i++) {
		const uint8_t *start = (const void *)(bias + ph[i].p_vaddr);

		if (ph[i].p_type == PT_LOAD && hdr >= start &&
		    hdr < start + ph[i].p_filesz)
			return (struct cfi_image){hdr, start,
						  start + ph[i].p_filesz};
	}
	return (struct cfi_image){NULL, NULL, NULL};
}

static struct cfi_rule rule_compute(uintptr_t pc)
{
	struct dl_find_object o;
	struct cfi_image image = {NULL, NULL, NULL};

	if (real.dl_find_object && !real.dl_find_object((void *)pc, &o))
		image = image_of(&o);
	return cfi_rule_find(&image, pc);
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

static bool on_own_stack(uintptr_t addr)
{
	/* stack_high is a page's end: a word that starts below it fits */
	return addr >= guard.stack_low && addr < guard.stack_high;
}

/*
 * Read a word of a stack.  The thread's own is mapped from here to its end;
 * of another (a signal's, a coroutine's) nothing is known, so the kernel reads
 * it, where it may be asked: not in a sandbox.
 */
static inline __attribute__((always_inline)) bool read_stack(uintptr_t addr,
							     uintptr_t *to)
{
	if (__builtin_expect(on_own_stack(addr) && !(addr & 7), 1)) {
		*to = *(const uintptr_t *)addr;
		return true;
	}
	return !(addr & 7) && caps.files && guard_ready &&
	       sys_peek((const void *)addr, to, sizeof(*to)) == sizeof(*to);
}

static bool step_signal(struct unwind_start *f)
{
	const greg_t *regs = ((ucontext_t *)f->sp)->uc_mcontext.gregs;

	if (!read_stack((uintptr_t)&regs[REG_RIP], &f->pc) ||
	    !read_stack((uintptr_t)&regs[REG_RBP], &f->fp) ||
	    !read_stack((uintptr_t)&regs[REG_RSP], &f->sp))
		return false;
	f->pc++;
	return true;
}

struct cfi_rule unwind_rule(uintptr_t pc)
{
	return rule_get(pc - 1);
}

bool unwind_step(struct unwind_start *f)
{
	struct cfi_rule rule = unwind_rule(f->pc);
	uintptr_t cfa;
	uintptr_t saved;
	uintptr_t pc;

	switch (rule.base) {
	case CFI_RSP:
		cfa = f->sp + (uintptr_t)(intptr_t)rule.offset;
		break;
	case CFI_RBP:
		cfa = f->fp + (uintptr_t)(intptr_t)rule.offset;
		break;
	case CFI_DEREF:
		cfa = f->fp + (uintptr_t)(intptr_t)rule.offset;
		if (!read_stack(cfa, &cfa))
			return false;
		break;
	case CFI_SIGNAL:
		return step_signal(f);
	default:
		return false;
	}
	/* frames lie upwards, on the stack they began on */
	if (cfa <= f->sp || on_own_stack(cfa - 8) != on_own_stack(f->sp))
		return false;
	if (!read_stack(cfa - 8, &pc))
		return false;
	if (rule.rbp_saved) {
		saved = rule.rbp_saved == 1 ? cfa : f->fp;
		saved += (uintptr_t)(intptr_t)rule.rbp_offset;
		if (!read_stack(saved, &f->fp))
			return false;
	}
	f->pc = pc;
	f->sp = cfa;
	return f->pc != 0;
}

unsigned unwind_capture(const struct unwind_start *start, uintptr_t *frames,
			unsigned depth)
{
	struct unwind_start f = *start;
	unsigned n = 1;

	frames[0] = f.pc;
	while (n < depth && unwind_step(&f))
		frames[n++] = f.pc;
	return n;
}
