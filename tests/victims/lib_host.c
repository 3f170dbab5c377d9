/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads the library that the argument names, twice unloaded in between. */
#include "victim.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc > 1);
	for (int i = 0; i < 2; i++) {
		void *library = dlopen(argv[1], RTLD_NOW);
		void *(*mine)(void);

		CHECK(library);
		mine = (void *(*)(void))dlsym(library, "ctor_mine");
		CHECK(!munmap(mine(), PAGES * PAGE));
		CHECK(!dlclose(library));
	}
	CHECK(dlopen(argv[1], RTLD_NOW));
	victim_wait();
	return 0;
}
