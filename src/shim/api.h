/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the functions of the public interface have in common.
 */
#ifndef ANONSHIM_SHIM_API_H
#define ANONSHIM_SHIM_API_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all of LEN bytes at ADDR is mapped. */
bool api_mapped(void *addr, size_t len);

#endif
