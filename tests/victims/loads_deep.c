/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads the library that the argument names with RTLD_DEEPBIND and uses it. */
#include "victim.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
	void *(*mine)(void);
	void *library;

	victim_begin();
	CHECK(argc > 1);
	for (int i = 0; i < 3; i++) {
		library = dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND);
		CHECK(library);
		mine = (void *(*)(void))dlsym(library, "ctor_mine");
		CHECK(mine && *(volatile char *)mine() == 1);
		CHECK(!munmap(mine(), PAGE));
		CHECK(!dlclose(library));
	}
	touch(anon(PAGES), PAGES);
	victim_wait();
	return 0;
}
