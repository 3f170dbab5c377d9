/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory from before main, and from others: malloc_early WAY [LIBRARY], with
 * LIBRARY lib_malloc_ctor.so.  The ways are in the table at the end.
 */
#include "victim.h"

#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <stdbool.h>

#define SIZES 18

static char *of_preinit[SIZES];
static char *of_ctor[SIZES];
static const char *library_path;

/* ---- before main ---- */

static void take(char **p)
{
	for (unsigned i = 0; i < SIZES; i++) {
		p[i] = i % 2 ? malloc(1UL << i) : calloc(1, 1UL << i);
		CHECK(p[i]);
		memset(p[i], (int)i + 1, 1UL << i);
	}
}

static void preinit(void)
{
	take(of_preinit);
}

__attribute__((section(".preinit_array"),
	       used)) static void (*entry)(void) = preinit;

__attribute__((constructor)) static void ctor(void)
{
	take(of_ctor);
	of_preinit[5] = realloc(of_preinit[5], 5000);
}

__attribute__((destructor)) static void dtor(void)
{
	for (unsigned i = 0; i < SIZES; i += 2)
		free(of_ctor[i]);
	dprintf(1, "freed at the end\n");
}

static bool kept(char **p, unsigned i)
{
	for (size_t k = 0; k < 1UL << i; k++)
		if (p[i][k] != (char)(i + 1))
			return false;
	return true;
}

static void before_main(void)
{
	for (unsigned i = 0; i < SIZES; i++) {
		CHECK(kept(of_preinit, i) && kept(of_ctor, i));
		CHECK(malloc_usable_size(of_ctor[i]) >= 1UL << i);
		CHECK((of_preinit[i] = realloc(of_preinit[i], 2UL << i)));
		CHECK(kept(of_preinit, i));
		free(of_preinit[i]);
		if (i % 2)
			free(of_ctor[i]);
	}
}

/* ---- what libc asked for ---- */

static void reads_lines(void)
{
	FILE *file = tmpfile();
	char *line = NULL;
	size_t size = 0;

	CHECK(file);
	for (unsigned i = 0; i < 200; i++)
		fprintf(file, "%*u\n", (int)(i * i + 1), i);
	rewind(file);
	for (unsigned i = 0; i < 200; i++)
		CHECK(getline(&line, &size, file) == (ssize_t)(i * i + 2));
	CHECK(malloc_usable_size(line) >= size);
	line = realloc(line, 100000);
	CHECK(line && !strcmp(line + 199 * 199 - 2, "199\n"));
	free(line);
	line = malloc(1); /* libc resizes ours */
	size = 1;
	rewind(file);
	for (unsigned i = 0; i < 200; i++)
		CHECK(getline(&line, &size, file) > 0);
	free(line);
	fclose(file);
}

static void gets_strings(void)
{
	for (unsigned i = 0; i < 1000; i++) {
		char *text;
		char *path;

		CHECK(asprintf(&text, "%*d", (int)(i * 7 + 1), 5) > 0);
		path = strdup(text);
		CHECK(path && !strcmp(path, text));
		free(text);
		free(path);
		text = strndup("abcdef", i % 7);
		CHECK(text && strlen(text) == (i % 7 < 6 ? i % 7 : 6));
		free(text);
	}
	free(getcwd(NULL, 0));
	free(realpath("/proc/self/exe", NULL));
}

static void opens_directories(void)
{
	struct dirent **names;
	int n = scandir("/", &names, NULL, alphasort);
	DIR *directory;

	CHECK(n > 2);
	while (n--)
		free(names[n]);
	free(names);
	for (unsigned i = 0; i < 50; i++) {
		directory = opendir("/proc/self");
		CHECK(directory && readdir(directory));
		CHECK(!closedir(directory));
	}
}

static void opens_streams(void)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);

	CHECK(file);
	for (unsigned i = 0; i < 10000; i++)
		fprintf(file, "%u,", i);
	CHECK(!fclose(file));
	CHECK(size == 48890 && strlen(text) == size);
	free(text);
	for (unsigned i = 0; i < 50; i++) {
		file = fopen("/proc/self/maps", "r");
		CHECK(file && fgetc(file) != EOF);
		CHECK(!fclose(file));
	}
}

static void changes_environment(void)
{
	char name[32];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "VARIABLE_%u", i);
		CHECK(!setenv(name, "something or other", 1));
	}
	CHECK(getenv("VARIABLE_299"));
	CHECK(!clearenv() && !getenv("VARIABLE_299"));
}

/* The loader's memory: of libraries, of its messages, of its TLS. */
static void loads_libraries(void)
{
	for (unsigned i = 0; i < 20; i++) {
		void *library = dlopen("libm.so.6", RTLD_NOW | RTLD_LOCAL);

		CHECK(library && dlsym(library, "cos"));
		CHECK(!dlsym(library, "no such function"));
		CHECK(dlerror() && !dlerror());
		CHECK(!dlopen("/nonexistent/library.so", RTLD_NOW));
		CHECK(strstr(dlerror(), "nonexistent"));
		CHECK(!dlclose(library));
	}
	CHECK(!dlopen("/nonexistent/library.so", RTLD_NOW)); /* never asked */
}

static void from_libc(void)
{
	reads_lines();
	gets_strings();
	opens_directories();
	opens_streams();
	loads_libraries();
	changes_environment();
}

/* ---- another library's ---- */

struct library {
	void *handle;
	char *(*early)(void);
	void *(*get)(size_t size);
	void *(*resize)(void *p, size_t size);
	void (*put)(void *p);
};

static struct library load(int flags)
{
	struct library l = {.handle = dlopen(library_path, flags)};

	CHECK(l.handle);
	l.early = (char *(*)(void))dlsym(l.handle, "lib_early");
	l.get = (void *(*)(size_t))dlsym(l.handle, "lib_get");
	l.resize = (void *(*)(void *, size_t))dlsym(l.handle, "lib_resize");
	l.put = (void (*)(void *))dlsym(l.handle, "lib_put");
	CHECK(l.early && l.get && l.resize && l.put);
	return l;
}

/* Freed and resized here, whoever it is from. */
static void take_over(struct library l)
{
	char *p = l.early();

	CHECK(p && p[0] == 'e' && p[999] == 'e');
	free(p);
	for (size_t size = 1; size < 1 << 20; size += 1 + size / 3) {
		p = l.get(size);
		CHECK(p && malloc_usable_size(p) >= size);
		memset(p, 'x', size);
		p = realloc(p, size * 3);
		CHECK(p && p[0] == 'x' && p[size - 1] == 'x');
		free(p);
		free(l.get(size));
		p = l.get(size);
		p[size - 1] = 'y';
		p = realloc(p, size / 2 + 1);
		CHECK(p && (size > 1 || *p == 'y'));
		free(p);
	}
}

static void hand_over(struct library l)
{
	for (size_t size = 1; size < 1 << 20; size += 1 + size / 3) {
		char *p = malloc(size);

		CHECK(p);
		memset(p, 'x', size);
		p = l.resize(p, size * 2);
		CHECK(p && p[0] == 'x' && p[size - 1] == 'x');
		l.put(p);
		l.put(malloc(size));
		l.put(calloc(3, size));
		l.put(aligned_alloc(64, size));
	}
}

static void library(void)
{
	for (unsigned i = 0; i < 3; i++) {
		struct library l = load(RTLD_NOW);

		take_over(l);
		hand_over(l);
		CHECK(!dlclose(l.handle));
	}
}

static void deepbind(void)
{
	for (unsigned i = 0; i < 3; i++) {
		struct library l = load(RTLD_NOW | RTLD_DEEPBIND);

		take_over(l);
		CHECK(!dlclose(l.handle));
	}
}

static void deepbind_back(void)
{
	struct library l = load(RTLD_NOW | RTLD_DEEPBIND);

	take_over(l);
	hand_over(l);
	CHECK(!dlclose(l.handle));
}

static void after_unload(void)
{
	static char *p[20000];

	for (unsigned round = 0; round < 3; round++) {
		struct library l = load(RTLD_NOW);

		for (unsigned i = 0; i < 20000; i++) {
			p[i] = l.get(i % 1500 + 1);
			CHECK(p[i]);
			p[i][i % 1500] = 'z';
		}
		CHECK(!dlclose(l.handle));
		CHECK(!dlopen(library_path, RTLD_NOW | RTLD_NOLOAD));
		for (unsigned i = 0; i < 20000; i++) {
			CHECK(p[i][i % 1500] == 'z');
			if (i % 3 == 0)
				CHECK((p[i] = realloc(p[i], 3000)));
			free(p[i]);
		}
	}
}

static const struct {
	const char *name;
	void (*run)(void);
} ways[] = {
	{"before_main", before_main},
	{"from_libc", from_libc},
	{"library", library},
	{"deepbind", deepbind},
	{"deepbind_back", deepbind_back},
	{"after_unload", after_unload},
};

int main(int argc, char **argv)
{
	victim_begin();
	CHECK(argc > 1);
	library_path = argc > 2 ? argv[2] : NULL;
	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (!strcmp(ways[i].name, argv[1])) {
			ways[i].run();
			return 0;
		}
	}
	return 2;
}
