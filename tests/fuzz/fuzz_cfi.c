/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libFuzzer: the frame rules' programs.  The input is the program of one FDE,
 * with an eight-byte head: alignments, encodings and how far to run; table,
 * CIE and FDE around it are well formed and lie at the end of a page, so that
 * a byte read past the FDE is a fault.
 */
#include "track/cfi.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((size_t)4096)
#define AREA (16 * PAGE)
#define HEAD 8
#define CODE_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *area;

static uint8_t *put32(uint8_t *p, uint32_t value)
{
	memcpy(p, &value, sizeof(value));
	return p + sizeof(value);
}

/* The CIE, with the input's alignments; returns what follows it. */
static uint8_t *put_cie(uint8_t *p, const uint8_t *head)
{
	static const uint8_t program[] = {0x0c, 7, 8, 0x90, 1, 0, 0, 0, 0};
	uint8_t *body = p + 4;

	p = put32(body, 0);
	*p++ = 1;
	memcpy(p, head[6] & 1 ? "zRS" : "zR\0", 4);
	p += head[6] & 1 ? 4 : 3;
	*p++ = 1 + (head[0] & 7);	/* code alignment */
	*p++ = 0x40 | (head[1] & 0x3f); /* data alignment, negative */
	*p++ = 16;
	*p++ = 1;
	*p++ = 0x1b; /* pcrel sdata4 */
	memcpy(p, program, sizeof(program));
	p += sizeof(program);
	put32(body - 4, (uint32_t)(p - body));
	return p;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *hdr;
	uint8_t *cie;
	uint8_t *p;
	uint8_t *fde;
	size_t program;
	struct cfi_image image;

	if (size < HEAD || size > AREA / 2)
		return 0;
	if (!area) {
		area = mmap(NULL, AREA + PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		mprotect(area + AREA, PAGE, PROT_NONE);
	}
	program = size - HEAD;
	/* header 20, CIE at most 40, FDE 17 and the program */
	hdr = area + AREA - program - 17 - 64 - 20;
	hdr -= (uintptr_t)hdr % 4;
	cie = hdr + 20;
	fde = put_cie(cie, data);
	fde = area + AREA - program - 17;
	memcpy(hdr, "\x01\x1b\x03\x3b", 4);
	p = put32(hdr + 4, (uint32_t)(cie - (hdr + 4)));
	p = put32(p, 1);
	p = put32(p, PAGE * 64); /* code, somewhere above */
	put32(p, (uint32_t)(fde - hdr));
	p = put32(fde, (uint32_t)(13 + program));
	p = put32(p, (uint32_t)(p - cie));
	p = put32(p, (uint32_t)((uintptr_t)hdr + PAGE * 64 - (uintptr_t)p));
	p = put32(p, CODE_BYTES);
	*p++ = 0;
	memcpy(p, data + HEAD, program);
	image = (struct cfi_image){hdr, area, area + AREA};
	cfi_rule_find(&image, (uintptr_t)hdr + PAGE * 64 +
				      (data[2] | data[3] << 8) % CODE_BYTES);
	return 0;
}
