# SPDX-License-Identifier: BSD-2-Clause
# The end-to-end tests: victims, tiny programs with one behaviour each, and
# the scripts that run them under the shim.

e2e_victims = \
	tests/victims/before_main \
	tests/victims/bss \
	tests/victims/busy \
	tests/victims/cancelled \
	tests/victims/chroots \
	tests/victims/closes_all \
	tests/victims/coroutines \
	tests/victims/daemonises \
	tests/victims/dumps_core \
	tests/victims/ends_soon \
	tests/victims/errnos \
	tests/victims/execs_itself \
	tests/victims/exits \
	tests/victims/fork_storm \
	tests/victims/forks \
	tests/victims/has_names \
	tests/victims/in_handler \
	tests/victims/in_malloc \
	tests/victims/lib_host \
	tests/victims/limited \
	tests/victims/loads_deep \
	tests/victims/many_threads \
	tests/victims/many_vmas \
	tests/victims/map_names \
	tests/victims/no_files \
	tests/victims/own_mmap \
	tests/victims/own_name \
	tests/victims/random_map \
	tests/victims/raw_calls \
	tests/victims/sandboxed \
	tests/victims/scribbles \
	tests/victims/secure \
	tests/victims/small_stack \
	tests/victims/spawns \
	tests/victims/state \
	tests/victims/statically \
	tests/victims/thread_stack \
	tests/victims/two_preloads \
	tests/victims/uses_jemalloc \
	tests/victims/wrapped
check_PROGRAMS += $(e2e_victims)

tests_victims_random_map_SOURCES = tests/victims/random_map.c \
	tests/victims/map_compare.h tests/victims/map_operations.h
tests_victims_statically_LDFLAGS = -all-static
tests_victims_secure_LDADD = $(abs_top_builddir)/.libs/libanonshim.so
tests_victims_secure_LDFLAGS = -Wl,--no-as-needed \
	-Wl,-rpath,$(abs_top_builddir)/.libs
EXTRA_tests_victims_secure_DEPENDENCIES = libanonshim.la

# What victims load, or a test preloads beside the shim.
e2e_library_ldflags = -module -avoid-version -shared -rpath /nonexistent
e2e_libraries = \
	tests/victims/lib_bss.la \
	tests/victims/lib_ctor.la \
	tests/victims/lib_mmap_next.la \
	tests/victims/lib_sabotage.la
check_LTLIBRARIES = $(e2e_libraries)
tests_victims_lib_bss_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_ctor_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_mmap_next_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_sabotage_la_LDFLAGS = $(e2e_library_ldflags)

# Without running anything: for tests/e2e/run from a build tree.
victims: $(bin_PROGRAMS) $(lib_LTLIBRARIES) $(e2e_victims) $(e2e_libraries)
.PHONY: victims

TESTS += tests/e2e/fast
EXTRA_DIST += \
	tests/e2e/fast \
	tests/e2e/run \
	tests/e2e/one \
	tests/e2e/lib.sh \
	tests/e2e/ask.py \
	tests/e2e/packages \
	tests/e2e/bad_input.sh tests/e2e/bss.sh tests/e2e/cores.sh \
	tests/e2e/exact.sh tests/e2e/exports.sh tests/e2e/limits.sh \
	tests/e2e/names.sh tests/e2e/options.sh \
	tests/e2e/programs.sh tests/e2e/runs.sh tests/e2e/stacks.sh \
	tests/e2e/totals.sh tests/e2e/unchanged.sh \
	tests/victims/throws.cc \
	tests/victims/victim.h
