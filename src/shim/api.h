/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the functions of the public interface have in common.
 */
#ifndef ANONSHIM_SHIM_API_H
#define ANONSHIM_SHIM_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets errno to ERR.  Returns -1. */
int api_failed(int err);

/* Whether all of LEN bytes at ADDR is mapped. */
bool api_mapped(void *addr, size_t len);

/* Busy, with the region map's lock.  False: it cannot be had. */
bool api_enter(void);
void api_leave(void);

/* Memory that is shared, as far as is known now. */
struct api_memory {
	uint32_t object; /* 0: there is none */
	uint32_t flags;	 /* OBJECT_* */
	uint64_t size;	 /* bytes */
	int fd;		 /* a region's; -1: the program closed it */
};

/* What is mapped at ADDR; the lock is held. */
struct api_memory api_memory_at(void *addr);
/* The region at ADDR: of object 0 where there is none. */
struct api_memory api_region_at(void *addr);

#endif
