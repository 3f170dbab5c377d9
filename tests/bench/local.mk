# SPDX-License-Identifier: BSD-2-Clause
# What scripts/bench measures; built on demand, never run by make check.
EXTRA_PROGRAMS += tests/bench/map tests/bench/measure tests/bench/vmas \
	tests/bench/work
CLEANFILES += tests/bench/map tests/bench/measure tests/bench/vmas \
	tests/bench/work
tests_bench_map_SOURCES = tests/bench/map.c
tests_bench_map_LDADD = -lpthread
tests_bench_measure_SOURCES = tests/bench/measure.c
tests_bench_vmas_SOURCES = tests/bench/vmas.c
tests_bench_work_SOURCES = tests/bench/work.c
