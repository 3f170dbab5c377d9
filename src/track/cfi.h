/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frame rules out of call frame information (DWARF 5, section 6.4; the
 * .eh_frame form of the LSB): for one address, how to get from a frame to its
 * caller's.
 *
 * A rule is fixed for an address, so the walker (unwind.h) asks once, keeps
 * it, and a step costs a load or two.  No libunwind: its shared library
 * exports the _Unwind_* functions and would take over every C++ exception of
 * programs it is preloaded into, and its archive is not position-independent.
 * The tests hold these rules against libunwind's.
 *
 * Contract: reads the module's .eh_frame in memory only; no memory, no locks,
 * no system calls; safe in signal handlers.
 */
#ifndef ANONSHIM_TRACK_CFI_H
#define ANONSHIM_TRACK_CFI_H

#include <stdint.h>

enum cfi_base {
	CFI_NONE,   /* no caller is known: the outermost frame, or too odd */
	CFI_RSP,    /* CFA = rsp + offset */
	CFI_RBP,    /* CFA = rbp + offset */
	CFI_DEREF,  /* CFA = *(rbp + offset): a stack realigned */
	CFI_SIGNAL, /* a signal frame: rsp points to a struct ucontext */
};

/* The return address is at CFA - 8, as the ABI of x86-64 has it. */
struct cfi_rule {
	uint8_t base;	    /* enum cfi_base */
	uint8_t rbp_saved;  /* 1: at CFA + rbp_offset; 2: at rbp + rbp_offset */
	int16_t rbp_offset; /* bytes */
	int32_t offset;	    /* bytes */
};

/* The segment of a module that holds its call frame information. */
struct cfi_image {
	const uint8_t *eh_frame_hdr; /* the binary search table; NULL: none */
	const uint8_t *start;	     /* nothing outside is read */
	const uint8_t *end;
};

/* The rule for the code at PC; for a return address: that minus 1. */
struct cfi_rule cfi_rule_find(const struct cfi_image *image, uintptr_t pc);

#endif
