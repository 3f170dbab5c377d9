# SPDX-License-Identifier: BSD-2-Clause
# The shim, the command, and what is installed with them.

# Everything the shim is made of that a unit test can link.
shim_core_sources = \
	src/base/bits.c src/base/bits.h \
	src/base/fdlist.c src/base/fdlist.h \
	src/base/fmt.c src/base/fmt.h \
	src/base/glob.c src/base/glob.h \
	src/base/index.c src/base/index.h \
	src/base/lock.c src/base/lock.h \
	src/base/log.c src/base/log.h \
	src/base/mem.c src/base/mem.h \
	src/base/place.c src/base/place.h \
	src/base/procmaps.c src/base/procmaps.h \
	src/base/sys.c src/base/sys.h \
	src/base/table.c src/base/table.h \
	src/base/thread.c src/base/thread.h \
	src/env/caps.c src/env/caps.h \
	src/env/config.c src/env/config.h \
	src/env/guard.c src/env/guard.h \
	src/env/real.c src/env/real.h \
	src/cow/advice.c src/cow/copy.c \
	src/cow/cow.c src/cow/cow.h \
	src/cow/engine.c src/cow/engine.h \
	src/cow/extent.c src/cow/gather.c \
	src/cow/hidden.c src/cow/history.c src/cow/history.h \
	src/cow/lazy.c src/cow/lazy.h src/cow/lazy_parent.c \
	src/cow/lazy_prepare.c src/cow/lazy_put.c \
	src/cow/list.c src/cow/list.h src/cow/make.c \
	src/cow/plan.h src/cow/policy.c \
	src/cow/snapshot.c src/cow/snapshot.h src/cow/snapshot_changes.c \
	src/cow/snapshot_page.c src/cow/snapshot_page.h \
	src/cow/uffd.c src/cow/uffd.h \
	src/cow/view.c src/cow/watch.c src/cow/watch.h \
	src/cow/watch_map.c src/cow/watched.c \
	src/cow/writers.c \
	src/heap/arena.c src/heap/arena.h \
	src/heap/cache.c src/heap/cache.h \
	src/heap/class.c src/heap/class.h \
	src/heap/early.c src/heap/early.h \
	src/heap/heap.c src/heap/heap.h \
	src/heap/jemalloc.c src/heap/jemalloc.h \
	src/heap/owner.c src/heap/owner.h \
	src/heap/window.c src/heap/window.h \
	src/track/bss.c src/track/bss.h \
	src/track/cfi.c src/track/cfi.h \
	src/track/life.c src/track/life.h \
	src/track/module.c src/track/module.h \
	src/track/module_file.c src/track/module_file.h \
	src/track/name.c src/track/name.h \
	src/track/namer.c src/track/namer.h \
	src/track/own.c src/track/own.h \
	src/track/readable.c src/track/readable.h \
	src/track/region.c src/track/region.h \
	src/track/registry.c src/track/registry.h \
	src/track/share.c src/track/share.h src/track/share_follow.c \
	src/track/share_size.c \
	src/track/site.c src/track/site.h \
	src/track/skip.c src/track/skip.h \
	src/track/stack.c src/track/stack.h \
	src/track/symbol.c src/track/symbol.h \
	src/track/symtab.c src/track/symtab.h \
	src/track/sync.c src/track/sync.h \
	src/track/track.c src/track/track.h \
	src/track/unwind_x86_64.c src/track/unwind.h \
	src/wire/options.def src/wire/registry_abi.h

# jemalloc's archive as one object, its C++ and its constructor left out, its
# names made private;
# libtool hands it to the linker as it is.
src/heap/jemalloc.o: $(srcdir)/src/heap/jemalloc.syms
	$(AM_V_GEN)rm -rf src/heap/jemalloc.d && $(MKDIR_P) src/heap/jemalloc.d
	$(AM_V_at)cd src/heap/jemalloc.d && $(AR) x '$(JEMALLOC_ARCHIVE)' && \
		rm -f jemalloc_cpp.*
	$(AM_V_at)$(LD) -r -o $@.tmp src/heap/jemalloc.d/*.o
	$(AM_V_at)$(OBJCOPY) -g -R .init_array -R .rela.init_array \
		--redefine-syms='$<' $@.tmp $@
	$(AM_V_at)rm -rf $@.tmp src/heap/jemalloc.d
EXTRA_DIST += src/heap/jemalloc.syms
CLEANFILES += src/heap/jemalloc.o

lib_LTLIBRARIES += libanonshim.la
libanonshim_la_SOURCES = $(shim_core_sources) \
	src/base/string.c \
	src/interpose/interpose.c src/interpose/interpose.h \
	src/interpose/dlopen.S \
	src/interpose/fork.c src/interpose/fork.h \
	src/interpose/inside.c \
	src/interpose/objects.c src/interpose/objects.h \
	src/interpose/process.c src/interpose/process.h \
	src/interpose/reads.c \
	src/interpose/malloc.c src/interpose/malloc.h \
	src/interpose/malloc_about.c src/interpose/malloc_cxx.c \
	src/interpose/malloc_family.c \
	src/interpose/syscall.S \
	src/shim/api.c src/shim/api.h \
	src/shim/api_fork.c src/shim/api_region.c src/shim/api_snapshot.c \
	src/shim/start.c
# what the family calls of itself is the linker's to choose
# No vectors of what was just written by words: the processor has to wait.
libanonshim_la_CFLAGS = $(AM_CFLAGS) -O2 -fvisibility=hidden -fno-builtin \
	-fsemantic-interposition -fno-tree-slp-vectorize
libanonshim_la_DEPENDENCIES = src/heap/jemalloc.o
# initfirst: our constructor runs first, our prepare handler of fork last
libanonshim_la_LDFLAGS = -module -avoid-version -shared \
	-Wl,--version-script=$(top_srcdir)/src/shim/exports.map \
	-Wl,-z,initfirst -Wl,-z,now -Wl,-z,relro -Wl,-z,defs \
	-Wl,src/heap/jemalloc.o
EXTRA_libanonshim_la_DEPENDENCIES = src/shim/exports.map
EXTRA_DIST += src/shim/exports.map

include src/tool/local.mk
include src/man/local.mk

bin_PROGRAMS += anonshim
anonshim_SOURCES = $(tool_core_sources) src/tool/main.c
anonshim_CFLAGS = $(AM_CFLAGS)
anonshim_LDADD = $(TOOL_LIBS)

include_HEADERS = include/anonshim.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = src/anonshim.pc
dist_bashcompletion_DATA = src/completion/anonshim.bash

install-exec-hook:
	rm -f $(DESTDIR)$(libdir)/libanonshim.la
