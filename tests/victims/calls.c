/* SPDX-License-Identifier: BSD-2-Clause */
/* calls LIBRARY FUNCTION: loads it for itself, twice, and calls FUNCTION. */
#include "victim.h"

#include <dlfcn.h>

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc == 3);
	for (int i = 0; i < 2; i++) {
		void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		int (*run)(void);

		CHECK(library);
		run = (int (*)(void))dlsym(library, argv[2]);
		CHECK(run && !run());
		CHECK(!dlclose(library));
	}
	return 0;
}
