# SPDX-License-Identifier: BSD-2-Clause
# What scripts/bench measures; built on demand, never run by make check.
bench_programs = tests/bench/cow tests/bench/fork tests/bench/heap \
	tests/bench/heap_pages tests/bench/map tests/bench/measure \
	tests/bench/vmas tests/bench/work
EXTRA_PROGRAMS += $(bench_programs)
CLEANFILES += $(bench_programs) tests/bench/lib_owner.so
tests_bench_cow_SOURCES = tests/bench/cow.c tests/bench/cow.h \
	tests/bench/cow_snapshots.c
tests_bench_cow_LDADD = -lpthread
tests_bench_fork_SOURCES = tests/bench/fork.c
tests_bench_fork_LDADD = -lpthread
tests_bench_heap_SOURCES = tests/bench/heap.c
tests_bench_heap_LDADD = -lpthread
tests_bench_heap_pages_SOURCES = tests/bench/heap_pages.c
tests_bench_heap_pages_LDADD = -ldl
tests_bench_map_SOURCES = tests/bench/map.c
tests_bench_map_LDADD = -lpthread
tests_bench_measure_SOURCES = tests/bench/measure.c
tests_bench_vmas_SOURCES = tests/bench/vmas.c
tests_bench_work_SOURCES = tests/bench/work.c

# Not by libtool, which knows modules only for installing them.
tests/bench/lib_owner.so: tests/bench/lib_owner.c
	$(AM_V_CCLD)$(MKDIR_P) tests/bench && $(CC) $(CPPFLAGS) $(AM_CFLAGS) \
		$(CFLAGS) -fPIC -shared -o $@ $(srcdir)/tests/bench/lib_owner.c

bench: $(bench_programs) tests/bench/lib_owner.so
.PHONY: bench

EXTRA_DIST += tests/bench/lib_owner.c tests/bench/heap.js \
	tests/bench/heap.py tests/bench/heap.sql
