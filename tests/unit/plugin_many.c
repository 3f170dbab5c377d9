/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A module of many functions, 1024 exported and as many that only .symtab
 * knows, called as SHOWN and HIDDEN say and then n and five digits below 4.
 */
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)

#define FUNCTION(n)                             \
	static int PASTE(HIDDEN, n)(int x)      \
	{                                       \
		return x + 1;                   \
	}                                       \
	int PASTE(SHOWN, n)(int x);             \
	int PASTE(SHOWN, n)(int x)              \
	{                                       \
		return PASTE(HIDDEN, n)(x) * 2; \
	}

#define D1(n) FUNCTION(n##0) FUNCTION(n##1) FUNCTION(n##2) FUNCTION(n##3)
#define D2(n) D1(n##0) D1(n##1) D1(n##2) D1(n##3)
#define D3(n) D2(n##0) D2(n##1) D2(n##2) D2(n##3)
#define D4(n) D3(n##0) D3(n##1) D3(n##2) D3(n##3)

D4(n0) D4(n1) D4(n2) D4(n3)
