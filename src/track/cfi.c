/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frame rules out of call frame information; see cfi.h.
 *
 * Three steps: the search table gives the FDE of an address, the FDE and its
 * CIE give two programs, and running these up to the address gives the rules
 * of CFA and rbp, all that a walk on x86-64 needs.
 */
#include "track/cfi.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* DW_EH_PE_*: encodings of pointers */
#define PE_ABSPTR 0x00
#define PE_UDATA2 0x02
#define PE_UDATA4 0x03
#define PE_UDATA8 0x04
#define PE_SDATA4 0x0b
#define PE_SDATA8 0x0c
#define PE_PCREL 0x10
#define PE_DATAREL 0x30
#define PE_OMIT 0xff

#define REG_RBP 6
#define REG_RSP 7
#define REG_RA 16

#define OP_BREG0 0x70
#define OP_DEREF 0x06

#define STATES_MAX 8

/* A reader that stops at its end instead of passing it. */
struct cursor {
	const uint8_t *p;
	const uint8_t *end;
	bool bad;
};

/* What the programs compute. */
struct state {
	struct cfi_rule rule;
	bool ra_undefined;
};

struct unit {
	uint64_t code_align;
	int64_t data_align;
	uint8_t fde_encoding;
	bool signal;
	struct cursor initial; /* the CIE's program */
	struct cursor program; /* the FDE's */
	uintptr_t start;
	uintptr_t len;
};

static uint64_t read_bytes(struct cursor *c, size_t bytes)
{
	uint64_t value = 0;

	if ((size_t)(c->end - c->p) < bytes) {
		c->bad = true;
		c->p = c->end;
		return 0;
	}
	memcpy(&value, c->p, bytes);
	c->p += bytes;
	return value;
}

static uint64_t read_uleb(struct cursor *c)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)read_bytes(c, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	return value;
}

static int64_t read_sleb(struct cursor *c)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		byte = (uint8_t)read_bytes(c, 1);
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (shift < 64 && byte & 0x40)
		value |= ~UINT64_C(0) << shift;
	return (int64_t)value;
}

static uintptr_t read_pointer(struct cursor *c, uint8_t encoding,
			      uintptr_t data)
{
	uintptr_t place = (uintptr_t)c->p;
	uintptr_t value;

	switch (encoding & 0x0f) {
	case PE_UDATA2:
		value = read_bytes(c, 2);
		break;
	case PE_UDATA4:
		value = read_bytes(c, 4);
		break;
	case PE_SDATA4:
		value = (uintptr_t)(int32_t)read_bytes(c, 4);
		break;
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		value = read_bytes(c, 8);
		break;
	default:
		c->bad = true;
		return 0;
	}
	if ((encoding & 0x70) == PE_PCREL)
		value += place;
	else if ((encoding & 0x70) == PE_DATAREL)
		value += data;
	return value;
}

/* An entry's body, length word read, within IN; bad where it is not. */
static struct cursor entry_open(const uint8_t *p, const struct cfi_image *in)
{
	struct cursor c = {.p = p, .end = in->end};
	uint64_t len;

	if ((uintptr_t)p < (uintptr_t)in->start ||
	    (uintptr_t)p >= (uintptr_t)in->end) {
		c.end = p;
		c.bad = true;
		return c;
	}
	len = read_bytes(&c, 4);
	if (len == UINT32_MAX)
		len = read_bytes(&c, 8);
	if (len > (size_t)(c.end - c.p))
		c.bad = true;
	else
		c.end = c.p + len;
	return c;
}

/* The FDE that may hold PC, by the sorted table, or NULL. */
static const uint8_t *fde_search(const struct cfi_image *in, uintptr_t pc)
{
	const uint8_t *hdr = in->eh_frame_hdr;
	struct cursor c = {.p = hdr + 4, .end = in->end};
	int32_t want = (int32_t)(pc - (uintptr_t)hdr);
	struct entry {
		int32_t start;
		int32_t fde;
	} e;
	size_t low = 0;
	size_t high;

	if (hdr < in->start || in->end - hdr < 4 || hdr[0] != 1 ||
	    hdr[3] != (PE_DATAREL | PE_SDATA4) || hdr[2] == PE_OMIT)
		return NULL;
	read_pointer(&c, hdr[1], (uintptr_t)hdr);
	high = read_pointer(&c, hdr[2], (uintptr_t)hdr);
	if (c.bad || high > (size_t)(c.end - c.p) / sizeof(e))
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		memcpy(&e, c.p + middle * sizeof(e), sizeof(e));
		if (e.start <= want)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	memcpy(&e, c.p + (low - 1) * sizeof(e), sizeof(e));
	return (const uint8_t *)((uintptr_t)hdr + (uintptr_t)(intptr_t)e.fde);
}

static bool cie_read(const uint8_t *p, const struct cfi_image *in,
		     struct unit *u)
{
	struct cursor c = entry_open(p, in);
	const char *augmentation;
	uint8_t version;

	read_bytes(&c, 4); /* the CIE's id */
	version = (uint8_t)read_bytes(&c, 1);
	augmentation = (const char *)c.p;
	while (read_bytes(&c, 1))
		;
	if (c.bad)
		return false;
	u->code_align = read_uleb(&c);
	u->data_align = read_sleb(&c);
	if ((version == 1 ? read_bytes(&c, 1) : read_uleb(&c)) != REG_RA)
		return false;
	u->fde_encoding = PE_ABSPTR;
	if (*augmentation == 'z') {
		uint64_t len = read_uleb(&c);

		if (len > (size_t)(c.end - c.p))
			return false;
		u->initial = (struct cursor){.p = c.p + len, .end = c.end};
	} else {
		return false; /* nothing but old toolchains' */
	}
	while (*++augmentation) {
		if (*augmentation == 'R')
			u->fde_encoding = (uint8_t)read_bytes(&c, 1);
		else if (*augmentation == 'P')
			read_pointer(&c, (uint8_t)read_bytes(&c, 1) & 0x7f, 0);
		else if (*augmentation == 'L')
			read_bytes(&c, 1);
		else if (*augmentation == 'S')
			u->signal = true;
	}
	return !c.bad && u->initial.p <= u->initial.end;
}

static bool fde_read(const uint8_t *p, const struct cfi_image *in,
		     struct unit *u)
{
	struct cursor c = entry_open(p, in);
	const uint8_t *place = c.p;
	uint32_t back = (uint32_t)read_bytes(&c, 4);
	uint64_t len;

	*u = (struct unit){0};
	if (c.bad || !back ||
	    !cie_read((const uint8_t *)((uintptr_t)place - back), in, u))
		return false;
	u->start = read_pointer(&c, u->fde_encoding, 0);
	u->len = read_pointer(&c, u->fde_encoding & 0x0f, 0);
	len = read_uleb(&c);
	if (len > (size_t)(c.end - c.p))
		return false;
	c.p += len;
	u->program = c;
	return !c.bad;
}

static void cfa_set(struct state *s, uint64_t reg, int64_t offset)
{
	s->rule.base = reg == REG_RSP ? CFI_RSP : CFI_NONE;
	if (reg == REG_RBP)
		s->rule.base = CFI_RBP;
	if (offset < INT32_MIN || offset > INT32_MAX)
		s->rule.base = CFI_NONE;
	else
		s->rule.offset = (int32_t)offset;
}

static void saved_at(struct state *s, uint64_t reg, int64_t offset)
{
	if (reg == REG_RA && offset != -8)
		s->rule.base = CFI_NONE;
	if (reg != REG_RBP)
		return;
	s->rule.rbp_saved = 1;
	s->rule.rbp_offset = (int16_t)offset;
	if (offset < INT16_MIN || offset > INT16_MAX)
		s->rule.base = CFI_NONE;
}

/* `breg N, offset` and nothing more, or followed by `deref`. */
static bool expression_read(struct cursor *c, uint64_t *reg, int64_t *offset,
			    bool *deref)
{
	uint64_t len = read_uleb(c);
	struct cursor e = {.p = c->p, .end = c->p + len};
	uint8_t op;

	if (len > (size_t)(c->end - c->p)) {
		c->bad = true;
		return false;
	}
	c->p += len;
	op = (uint8_t)read_bytes(&e, 1);
	if (op < OP_BREG0 || op > OP_BREG0 + 31)
		return false;
	*reg = (uint64_t)(op - OP_BREG0);
	*offset = read_sleb(&e);
	*deref = e.p < e.end && read_bytes(&e, 1) == OP_DEREF;
	return !e.bad && e.p == e.end;
}

static void cfa_expression(struct state *s, struct cursor *c)
{
	uint64_t reg = 0;
	int64_t offset = 0;
	bool deref = false;

	s->rule.base = CFI_NONE;
	if (!expression_read(c, &reg, &offset, &deref))
		return;
	cfa_set(s, reg, offset);
	if (deref)
		s->rule.base = s->rule.base == CFI_RBP ? CFI_DEREF : CFI_NONE;
}

static void saved_by_expression(struct state *s, struct cursor *c, bool value)
{
	uint64_t of = read_uleb(c);
	uint64_t reg = 0;
	int64_t offset = 0;
	bool deref = false;
	bool plain = expression_read(c, &reg, &offset, &deref) && !deref &&
		     !value && reg == REG_RBP && offset >= INT16_MIN &&
		     offset <= INT16_MAX;

	if (of == REG_RA)
		s->rule.base = CFI_NONE;
	if (of != REG_RBP)
		return;
	s->rule.rbp_saved = 2;
	s->rule.rbp_offset = (int16_t)offset;
	if (!plain)
		s->rule.base = CFI_NONE;
}

/* The instructions that name registers but rbp's and the return address's */
static void register_rule(struct state *s, uint8_t op, struct cursor *c,
			  const struct unit *u, const struct state *first)
{
	uint64_t reg = read_uleb(c);

	switch (op) {
	case 0x05: /* offset_extended */
		saved_at(s, reg, (int64_t)read_uleb(c) * u->data_align);
		break;
	case 0x11: /* offset_extended_sf */
		saved_at(s, reg, read_sleb(c) * u->data_align);
		break;
	case 0x07: /* undefined */
		if (reg == REG_RA)
			s->ra_undefined = true;
		break;
	case 0x06: /* restore_extended */
	case 0x08: /* same_value */
		if (reg == REG_RBP) {
			s->rule.rbp_saved = first->rule.rbp_saved;
			s->rule.rbp_offset = first->rule.rbp_offset;
		}
		break;
	case 0x09: /* register */
		read_uleb(c);
		if (reg == REG_RBP || reg == REG_RA)
			s->rule.base = CFI_NONE;
		break;
	default: /* val_offset, val_offset_sf */
		read_uleb(c);
		if (reg == REG_RBP || reg == REG_RA)
			s->rule.base = CFI_NONE;
		break;
	}
}

static void cfa_rule(struct state *s, uint8_t op, struct cursor *c,
		     const struct unit *u)
{
	uint64_t reg;

	switch (op) {
	case 0x0c: /* def_cfa */
		reg = read_uleb(c);
		cfa_set(s, reg, (int64_t)read_uleb(c));
		break;
	case 0x12: /* def_cfa_sf */
		reg = read_uleb(c);
		cfa_set(s, reg, read_sleb(c) * u->data_align);
		break;
	case 0x0d: /* def_cfa_register */
		cfa_set(s, read_uleb(c), s->rule.offset);
		break;
	case 0x0e: /* def_cfa_offset */
		s->rule.offset = (int32_t)read_uleb(c);
		break;
	case 0x13: /* def_cfa_offset_sf */
		s->rule.offset = (int32_t)(read_sleb(c) * u->data_align);
		break;
	default: /* def_cfa_expression */
		cfa_expression(s, c);
		break;
	}
}

struct run {
	struct state s;
	struct state stack[STATES_MAX];
	unsigned depth;
	uintptr_t at;
};

/* One instruction with the operation in its lower six bits. */
static void step_extended(struct run *r, uint8_t op, struct cursor *c,
			  const struct unit *u, const struct state *first)
{
	switch (op) {
	case 0x00: /* nop */
		break;
	case 0x01: /* set_loc */
		r->at = read_pointer(c, u->fde_encoding, 0);
		break;
	case 0x02: /* advance_loc1, 2, 4 */
	case 0x03:
	case 0x04:
		r->at += read_bytes(c, (size_t)1 << (op - 2)) * u->code_align;
		break;
	case 0x0a: /* remember_state */
		if (r->depth < STATES_MAX)
			r->stack[r->depth++] = r->s;
		else
			c->bad = true;
		break;
	case 0x0b: /* restore_state */
		if (r->depth)
			r->s = r->stack[--r->depth];
		else
			c->bad = true;
		break;
	case 0x0c:
	case 0x0d:
	case 0x0e:
	case 0x0f:
	case 0x12:
	case 0x13:
		cfa_rule(&r->s, op, c, u);
		break;
	case 0x10: /* expression, val_expression */
	case 0x16:
		saved_by_expression(&r->s, c, op == 0x16);
		break;
	case 0x2e: /* GNU_args_size */
		read_uleb(c);
		break;
	default:
		if ((op >= 0x05 && op <= 0x09) || op == 0x11 || op == 0x14 ||
		    op == 0x15)
			register_rule(&r->s, op, c, u, first);
		else
			c->bad = true;
		break;
	}
}

/* Run PROGRAM until the address passes PC. */
static bool run_until(struct run *r, struct cursor program,
		      const struct unit *u, const struct state *first,
		      uintptr_t pc)
{
	struct cursor *c = &program;

	while (c->p < c->end && r->at <= pc && !c->bad) {
		uint8_t op = (uint8_t)read_bytes(c, 1);
		uint8_t low = op & 0x3f;

		switch (op >> 6) {
		case 1: /* advance_loc */
			r->at += low * u->code_align;
			break;
		case 2: /* offset */
			saved_at(&r->s, low,
				 (int64_t)read_uleb(c) * u->data_align);
			break;
		case 3: /* restore */
			if (low == REG_RBP) {
				r->s.rule.rbp_saved = first->rule.rbp_saved;
				r->s.rule.rbp_offset = first->rule.rbp_offset;
			}
			break;
		default:
			step_extended(r, low, c, u, first);
			break;
		}
	}
	return !c->bad;
}

struct cfi_rule cfi_rule_find(const struct cfi_image *image, uintptr_t pc)
{
	const struct cfi_rule none = {.base = CFI_NONE};
	const uint8_t *fde = image->eh_frame_hdr ? fde_search(image, pc) : NULL;
	struct run r = {0};
	struct state first;
	struct unit u;

	if (!fde || !fde_read(fde, image, &u) || pc - u.start >= u.len)
		return none;
	if (u.signal)
		return (struct cfi_rule){.base = CFI_SIGNAL};
	if (!run_until(&r, u.initial, &u, &r.s, pc))
		return none;
	first = r.s;
	r.at = u.start;
	if (!run_until(&r, u.program, &u, &first, pc) || r.s.ra_undefined)
		return none;
	return r.s.rule;
}
