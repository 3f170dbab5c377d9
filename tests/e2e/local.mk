# SPDX-License-Identifier: BSD-2-Clause
# The end-to-end tests: victims, tiny programs with one behaviour each, and
# the scripts that run them under the shim.

e2e_victims = \
	tests/victims/before_main \
	tests/victims/bss \
	tests/victims/busy \
	tests/victims/calls \
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
	tests/victims/fork_alias \
	tests/victims/fork_api \
	tests/victims/fork_api_linked \
	tests/victims/fork_churn \
	tests/victims/fork_exits \
	tests/victims/fork_handlers \
	tests/victims/fork_jit \
	tests/victims/fork_keeps \
	tests/victims/fork_limits \
	tests/victims/fork_lazy \
	tests/victims/fork_order \
	tests/victims/fork_passes \
	tests/victims/fork_pins \
	tests/victims/fork_plain \
	tests/victims/fork_ring \
	tests/victims/fork_ring_linked \
	tests/victims/fork_shared \
	tests/victims/fork_stdio \
	tests/victims/fork_storm \
	tests/victims/fork_told \
	tests/victims/fork_ways \
	tests/victims/forks \
	tests/victims/has_names \
	tests/victims/heap_check \
	tests/victims/heap_crowd \
	tests/victims/heap_owners \
	tests/victims/in_handler \
	tests/victims/in_malloc \
	tests/victims/lib_host \
	tests/victims/limited \
	tests/victims/loads_deep \
	tests/victims/malloc_early \
	tests/victims/malloc_face \
	tests/victims/malloc_limits \
	tests/victims/malloc_own \
	tests/victims/malloc_own_free \
	tests/victims/malloc_space \
	tests/victims/malloc_threads \
	tests/victims/many_threads \
	tests/victims/maps_again \
	tests/victims/many_vmas \
	tests/victims/map_names \
	tests/victims/no_files \
	tests/victims/own_mmap \
	tests/victims/own_name \
	tests/victims/random_map \
	tests/victims/raw_calls \
	tests/victims/ring_buffer \
	tests/victims/ring_buffer_plain \
	tests/victims/sandboxed \
	tests/victims/scribbles \
	tests/victims/secure \
	tests/victims/small_stack \
	tests/victims/snapshot_api \
	tests/victims/snapshot_files \
	tests/victims/snapshot_keep \
	tests/victims/snapshot_kernel \
	tests/victims/snapshot_limits \
	tests/victims/snapshot_list \
	tests/victims/snapshot_list_linked \
	tests/victims/snapshot_many \
	tests/victims/snapshot_model \
	tests/victims/snapshot_order \
	tests/victims/spawns \
	tests/victims/state \
	tests/victims/statically \
	tests/victims/thread_stack \
	tests/victims/two_preloads \
	tests/victims/unprotected \
	tests/victims/uses_jemalloc \
	tests/victims/wrapped
check_PROGRAMS += $(e2e_victims)

tests_victims_fork_alias_SOURCES = tests/victims/fork_alias.c \
	tests/victims/fork_disturb.h tests/victims/fork_help.h \
	tests/victims/fork_object.h
# With the library, and with what it declares weak.
tests_victims_fork_api_linked_SOURCES = tests/victims/fork_api.c
tests_victims_fork_api_linked_LDADD = $(tests_victims_secure_LDADD)
tests_victims_fork_api_linked_LDFLAGS = $(tests_victims_secure_LDFLAGS)
EXTRA_tests_victims_fork_api_linked_DEPENDENCIES = libanonshim.la
tests_victims_fork_ring_linked_SOURCES = tests/victims/fork_ring.c
tests_victims_fork_ring_linked_LDADD = $(tests_victims_secure_LDADD)
tests_victims_fork_ring_linked_LDFLAGS = $(tests_victims_secure_LDFLAGS)
EXTRA_tests_victims_fork_ring_linked_DEPENDENCIES = libanonshim.la
tests_victims_random_map_SOURCES = tests/victims/random_map.c \
	tests/victims/map_compare.h tests/victims/map_operations.h \
	tests/victims/registry_look.h
tests_victims_heap_check_SOURCES = tests/victims/heap_check.c \
	tests/victims/heap_blocks.h tests/victims/lib_owner.h \
	tests/victims/owners_load.h tests/victims/registry_look.h
tests_victims_heap_crowd_SOURCES = tests/victims/heap_crowd.c \
	tests/victims/lib_owner.h tests/victims/owners_load.h
tests_victims_heap_owners_SOURCES = tests/victims/heap_owners.c \
	tests/victims/lib_heap.h
# What the compiler knows of malloc would leave calls out.
e2e_no_builtin = $(AM_CFLAGS) -fno-builtin
tests_victims_malloc_early_CFLAGS = $(e2e_no_builtin)
tests_victims_malloc_face_CFLAGS = $(e2e_no_builtin)
tests_victims_malloc_limits_CFLAGS = $(e2e_no_builtin)
tests_victims_malloc_own_CFLAGS = $(e2e_no_builtin)
tests_victims_malloc_own_free_SOURCES = tests/victims/malloc_own.c
tests_victims_malloc_own_free_CFLAGS = $(e2e_no_builtin) -DOWNS_FREE
tests_victims_malloc_space_CFLAGS = $(e2e_no_builtin)
tests_victims_malloc_threads_CFLAGS = $(e2e_no_builtin)
tests_victims_ring_buffer_plain_SOURCES = tests/victims/ring_buffer.c
tests_victims_ring_buffer_plain_CPPFLAGS = $(AM_CPPFLAGS) -DRING_PLAIN
# The example, with the library as well as with what is declared weak.
tests_victims_snapshot_list_linked_SOURCES = tests/victims/snapshot_list.c
tests_victims_snapshot_list_linked_LDADD = $(tests_victims_secure_LDADD)
tests_victims_snapshot_list_linked_LDFLAGS = $(tests_victims_secure_LDFLAGS)
EXTRA_tests_victims_snapshot_list_linked_DEPENDENCIES = libanonshim.la
tests_victims_snapshot_model_SOURCES = tests/victims/snapshot_model.c \
	tests/victims/snapshot_model.h
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
	tests/victims/lib_heap_a.la \
	tests/victims/lib_heap_b.la \
	tests/victims/lib_heap_wrap.la \
	tests/victims/lib_malloc_ctor.la \
	tests/victims/lib_mmap_next.la \
	tests/victims/lib_owner.la \
	tests/victims/lib_sabotage.la
check_LTLIBRARIES = $(e2e_libraries)
tests_victims_lib_bss_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_ctor_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_heap_a_la_SOURCES = tests/victims/lib_heap.c \
	tests/victims/lib_heap.h
tests_victims_lib_heap_a_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_heap_b_la_SOURCES = \
	$(tests_victims_lib_heap_a_la_SOURCES)
tests_victims_lib_heap_b_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_heap_wrap_la_SOURCES = tests/victims/lib_heap_wrap.c \
	tests/victims/lib_heap.h
tests_victims_lib_heap_wrap_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_malloc_ctor_la_CFLAGS = $(e2e_no_builtin)
tests_victims_lib_malloc_ctor_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_mmap_next_la_LDFLAGS = $(e2e_library_ldflags)
tests_victims_lib_owner_la_SOURCES = tests/victims/lib_owner.c \
	tests/victims/lib_owner.h
tests_victims_lib_owner_la_CFLAGS = $(e2e_no_builtin)
tests_victims_lib_owner_la_LDFLAGS = $(e2e_library_ldflags)
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
	tests/e2e/exact.sh tests/e2e/exports.sh tests/e2e/fork.sh \
	tests/e2e/fork_lazy.sh \
	tests/e2e/fork_programs.sh tests/e2e/fork_report.sh \
	tests/e2e/fork_shared.sh tests/e2e/heap.sh \
	tests/e2e/heap_programs.sh \
	tests/e2e/limits.sh tests/e2e/names.sh tests/e2e/options.sh \
	tests/e2e/programs.sh tests/e2e/runs.sh tests/e2e/snapshot.sh \
	tests/e2e/stacks.sh \
	tests/e2e/totals.sh tests/e2e/unchanged.sh \
	tests/victims/heap_new.cc tests/victims/malloc_cxx.cc \
	tests/victims/malloc_cxx_own.cc tests/victims/malloc_cxx_some.cc \
	tests/victims/malloc_linked.c tests/victims/snapshot_help.h \
	tests/victims/throws.cc \
	tests/victims/victim.h tests/asleep.h
