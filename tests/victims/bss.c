/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zeroed data of its own; with a library as argument that one's too; close:
 * loaded and unloaded again.
 */
#include "victim.h"

#include <dlfcn.h>

static char zeroed[PAGES * 8 * PAGE] __attribute__((aligned(4096)));

int main(int argc, char **argv)
{
	void *library = NULL;
	void (*use)(void);

	victim_begin();
	touch(zeroed, PAGES * 8);
	if (argc > 1) {
		library = dlopen(argv[1], RTLD_NOW);
		if (!library)
			dprintf(2, "%s\n", dlerror());
		CHECK(library);
		use = (void (*)(void))dlsym(library, "bss_use");
		CHECK(use);
		use();
	}
	if (argc > 2) {
		CHECK(dlclose(library) == 0);
		touch(anon(1), 1); /* a call that notices */
	}
	victim_wait();
	return 0;
}
