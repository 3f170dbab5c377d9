/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The next definitions of what the shim interposes; see real.h.
 */
#include "env/real.h"

#include "base/glob.h"
#include "base/sys.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>

static void *raw_mmap(void *addr, size_t len, int prot, int flags, int fd,
		      off_t off)
{
	return (void *)real_result(sys_mmap(addr, len, prot, flags, fd, off));
}

static int raw_munmap(void *addr, size_t len)
{
	return (int)real_result(sys_munmap(addr, len));
}

static void *raw_mremap(void *old, size_t old_len, size_t new_len, int flags,
			...)
{
	va_list ap;
	void *new_addr;

	va_start(ap, flags);
	new_addr = va_arg(ap, void *);
	va_end(ap);
	return (void *)real_result(
		sys_mremap(old, old_len, new_len, flags, new_addr));
}

static long raw_syscall(long nr, ...)
{
	long a[6];
	va_list ap;

	va_start(ap, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	return real_result(sys_call(nr, a[0], a[1], a[2], a[3], a[4], a[5]));
}

static int raw_prctl(int op, ...)
{
	unsigned long a[4];
	va_list ap;

	va_start(ap, op);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	return (int)real_result(sys_prctl(op, a[0], a[1], a[2], a[3]));
}

static int raw_brk(void *end)
{
	if (sys_brk(end) >= (long)end)
		return 0;
	errno = ENOMEM;
	return -1;
}

static void *raw_sbrk(intptr_t increment)
{
	char *end = (char *)sys_brk(NULL);

	if (increment && raw_brk(end + increment))
		return (void *)-1;
	return end;
}

/* Before glibc 2.34 in a library that may come later. */
static void *dlopen_late(const char *path, int flags)
{
	void *found = dlsym(RTLD_NEXT, "dlopen");

	return found ? ((void *(*)(const char *, int))found)(path, flags)
		     : NULL;
}

struct real real = {
	.mmap = raw_mmap,
	.munmap = raw_munmap,
	.mremap = raw_mremap,
	.syscall = raw_syscall,
	.dlopen = dlopen_late,
	.prctl = raw_prctl,
	.brk = raw_brk,
	.sbrk = raw_sbrk,
	.dl_iterate_phdr = dl_iterate_phdr,
	.memcpy = memcpy,
	.memset = memset,
};

long real_result(long result)
{
	if (!sys_failed(result))
		return result;
	errno = (int)-result;
	return -1;
}

/* Those that are called as they are named, and no list in real.h has. */
#define NAMED(X)              \
	X(mmap)               \
	X(munmap)             \
	X(mremap)             \
	X(syscall)            \
	X(dlopen)             \
	X(prctl)              \
	X(brk)                \
	X(sbrk)               \
	X(fork)               \
	X(_Fork)              \
	X(forkpty)            \
	X(daemon)             \
	X(clone)              \
	X(remap_file_pages)   \
	X(madvise)            \
	X(mlockall)           \
	X(unshare)            \
	X(setns)              \
	X(setuid)             \
	X(setgid)             \
	X(seteuid)            \
	X(setegid)            \
	X(setreuid)           \
	X(setregid)           \
	X(setresuid)          \
	X(setresgid)          \
	X(setgroups)          \
	X(initgroups)         \
	X(capset)             \
	X(chroot)             \
	X(write)              \
	X(pwrite)             \
	X(writev)             \
	X(pwritev)            \
	X(ftruncate)          \
	X(truncate)           \
	X(fallocate)          \
	X(fcntl)              \
	X(fdopen)             \
	X(posix_fallocate)    \
	X(vsnprintf)          \
	X(vdprintf)           \
	X(__vdprintf_chk)     \
	X(fileno)             \
	X(fopen)              \
	X(fopen64)            \
	X(freopen)            \
	X(freopen64)          \
	X(fexecve)            \
	X(execveat)           \
	X(aio_read)           \
	X(aio_read64)         \
	X(aio_write)          \
	X(aio_write64)        \
	X(lio_listio)         \
	X(lio_listio64)       \
	X(posix_spawn)        \
	X(posix_spawnp)       \
	X(sendmsg)            \
	X(sendmmsg)           \
	X(recvmsg)            \
	X(recvmmsg)           \
	X(dl_iterate_phdr)    \
	X(pthread_create)     \
	X(malloc)             \
	X(calloc)             \
	X(realloc)            \
	X(memalign)           \
	X(free)               \
	X(malloc_usable_size) \
	X(malloc_trim)        \
	X(mallopt)            \
	X(mallinfo)           \
	X(mallinfo2)          \
	X(malloc_info)        \
	X(malloc_stats)       \
	X(memcpy)             \
	X(memset)

void real_init(void)
{
	void *found;

#define LOOK_UP(name)                                             \
	do {                                                      \
		found = dlsym(RTLD_NEXT, #name);                  \
		if (found)                                        \
			real.name = (__typeof__(real.name))found; \
	} while (0);
#define X(result, name, ...) LOOK_UP(name)
	NAMED(LOOK_UP)
	REAL_READS(X)
	REAL_TRANSFERS(X)
#undef X
#undef LOOK_UP
	found = dlsym(RTLD_NEXT, "_IO_list_lock");
	real.files_lock = (__typeof__(real.files_lock))found;
	found = dlsym(RTLD_NEXT, "_IO_list_unlock");
	real.files_unlock = (__typeof__(real.files_unlock))found;
	real.single_threaded = dlsym(RTLD_NEXT, "__libc_single_threaded");
	found = dlsym(RTLD_NEXT, "__register_atfork");
	real.register_atfork = (__typeof__(real.register_atfork))found;
	found = dlsym(RTLD_NEXT, "_dl_find_object");
	if (found)
		real.dl_find_object = (__typeof__(real.dl_find_object))found;
}

static bool is_shims(const void *p)
{
	/* of the linker: where this library begins and ends */
	extern const char __ehdr_start[], _end[];

	return (const char *)p >= __ehdr_start && (const char *)p < _end;
}

/* dladdr1() looks for a symbol as well, at every one of libc's. */
static struct link_map *library_of(const void *p)
{
	struct link_map *map = NULL;
	struct dl_find_object found;
	Dl_info info;

	if (real.dl_find_object)
		return real.dl_find_object((void *)p, &found)
			       ? NULL
			       : found.dlfo_link_map;
	return dladdr1(p, &info, (void **)&map, RTLD_DL_LINKMAP) ? map : NULL;
}

/*
 * Whether P is where a program that is not position independent calls a
 * function that it does not define: there the linker puts the address.
 */
static bool is_stub(const void *p)
{
	const ElfW(Sym) *symbol = NULL;
	Dl_info info;

	return dladdr1(p, &info, (void **)&symbol, RTLD_DL_SYMENT) && symbol &&
	       symbol->st_shndx == SHN_UNDEF;
}

/* Whether but for the program itself and the vDSO nobody's symbols come first.
 */
static bool comes_first(void)
{
	struct link_map *map = library_of(&real);

	if (!map)
		return false;
	for (map = map->l_prev; map && map->l_prev; map = map->l_prev)
		if (strncmp(map->l_name, "linux-vdso.", 11))
			return false;
	return true;
}

bool real_is_ours(const char *name)
{
	const void *found = dlsym(RTLD_DEFAULT, name);

	return is_shims(found) || (is_stub(found) && comes_first());
}

const char *real_other_library(const char *name)
{
	struct link_map *libc =
		library_of(dlsym(RTLD_NEXT, "gnu_get_libc_version"));
	struct link_map *map = library_of(dlsym(RTLD_NEXT, name));
	const char *slash;

	if (!map || !libc || map == libc)
		return NULL;
	slash = strrchr(map->l_name, '/');
	return slash ? slash + 1 : map->l_name;
}

/* What a library takes from others comes first, and is in no hash chain. */
static bool imports(const struct link_map *map, const char *names)
{
	const ElfW(Sym) *symbols = NULL;
	const char *text = NULL;
	const uint32_t *hash = NULL;

	for (const ElfW(Dyn) *d = map->l_ld; d && d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_SYMTAB)
			symbols = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_STRTAB)
			text = (const void *)d->d_un.d_ptr;
		else if (d->d_tag == DT_GNU_HASH)
			hash = (const void *)d->d_un.d_ptr;
	}
	/* the vDSO's are not relocated */
	if (!symbols || !text || !hash || (uintptr_t)hash < map->l_addr)
		return false;
	for (uint32_t i = 1; i < hash[1]; i++)
		if (symbols[i].st_shndx == SHN_UNDEF &&
		    glob_match_list(names, text + symbols[i].st_name))
			return true;
	return false;
}

const char *real_importer(const char *names)
{
	struct link_map *map = library_of(&real);

	while (map && map->l_prev)
		map = map->l_prev;
	for (; map; map = map->l_next)
		if (imports(map, names))
			return map->l_name;
	return NULL;
}

void *real_next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* Loads nothing; a library may be loaded where only its own users see it. */
static void *symbol_in(const char *library, const char *name)
{
	void *handle = real.dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
	void *found = handle ? dlsym(handle, name) : NULL;

	if (handle)
		dlclose(handle);
	return is_shims(found) ? NULL : found;
}

void *real_symbol(const char *name, const void *user,
		  const char *const *libraries)
{
	void *found = dlsym(RTLD_NEXT, name);
	struct link_map *map;

	if (found)
		return found;
	map = library_of(user);
	found = map ? symbol_in(map->l_name, name) : NULL;
	for (; !found && *libraries; libraries++)
		found = symbol_in(*libraries, name);
	return found;
}
