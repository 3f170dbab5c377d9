# SPDX-License-Identifier: BSD-2-Clause
# One Criterion binary a module, linked with the shim's core or the tool's.

EXTRA_DIST += tests/unit/plugin.c tests/unit/plugin_many.c
check_DATA =

if HAVE_CRITERION

check_LIBRARIES += tests/unit/libshimcore.a tests/unit/libtoolcore.a

tests_unit_libshimcore_a_SOURCES = $(shim_core_sources) \
	tests/unit/support.c tests/unit/support.h
tests_unit_libshimcore_a_CPPFLAGS = $(AM_CPPFLAGS) -DANONSHIM_SYS_HOOK
tests_unit_libshimcore_a_CFLAGS = $(AM_CFLAGS) $(SANITIZER_CFLAGS)

tests_unit_libtoolcore_a_SOURCES = $(tool_core_sources)
tests_unit_libtoolcore_a_CFLAGS = $(AM_CFLAGS) $(SANITIZER_CFLAGS)

shim_unit_tests = \
	tests/unit/test_bits \
	tests/unit/test_caps \
	tests/unit/test_cfi \
	tests/unit/test_config \
	tests/unit/test_cow \
	tests/unit/test_share \
	tests/unit/test_fdlist \
	tests/unit/test_cow_policy \
	tests/unit/test_cow_child \
	tests/unit/test_cow_faults \
	tests/unit/test_cow_race \
	tests/unit/test_faults \
	tests/unit/test_fmt \
	tests/unit/test_glob \
	tests/unit/test_history \
	tests/unit/test_heap \
	tests/unit/test_heap_arena \
	tests/unit/test_heap_cache \
	tests/unit/test_heap_class \
	tests/unit/test_heap_early \
	tests/unit/test_heap_faults \
	tests/unit/test_heap_owner \
	tests/unit/test_heap_race \
	tests/unit/test_heap_window \
	tests/unit/test_index \
	tests/unit/test_lock \
	tests/unit/test_log \
	tests/unit/test_module \
	tests/unit/test_name \
	tests/unit/test_namer \
	tests/unit/test_own \
	tests/unit/test_procmaps \
	tests/unit/test_race \
	tests/unit/test_region \
	tests/unit/test_registry \
	tests/unit/test_site \
	tests/unit/test_skip \
	tests/unit/test_snapshot \
	tests/unit/test_stack \
	tests/unit/test_string \
	tests/unit/test_symbol \
	tests/unit/test_symtab \
	tests/unit/test_sync \
	tests/unit/test_sys \
	tests/unit/test_table \
	tests/unit/test_track \
	tests/unit/test_unwind

# Variables that automake takes for targets of their own, one a test.
UNIT_CPPFLAGS = $(AM_CPPFLAGS) -DANONSHIM_SYS_HOOK -I$(top_srcdir)/tests/unit \
	-DTEST_BUILD_DIR='"$(abs_top_builddir)/tests/unit"'
UNIT_CFLAGS = $(AM_CFLAGS) $(SANITIZER_CFLAGS)
UNIT_LDADD = tests/unit/libshimcore.a -lcriterion
HEAP_UNIT_LDADD = src/heap/jemalloc.o $(UNIT_LDADD)
TOOL_UNIT_LDADD = tests/unit/libtoolcore.a -lcriterion $(TOOL_LIBS)

tests_unit_test_bits_SOURCES = tests/unit/test_bits.c
tests_unit_test_bits_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_bits_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_bits_LDADD = $(UNIT_LDADD)
tests_unit_test_caps_SOURCES = tests/unit/test_caps.c
tests_unit_test_caps_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_caps_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_caps_LDADD = $(UNIT_LDADD)

tests_unit_test_config_SOURCES = tests/unit/test_config.c
tests_unit_test_config_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_config_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_config_LDADD = $(UNIT_LDADD)

tests_unit_test_cow_SOURCES = tests/unit/test_cow.c \
	tests/unit/test_cow_fixture.h
tests_unit_test_cow_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cow_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cow_LDADD = $(UNIT_LDADD)

tests_unit_test_share_SOURCES = tests/unit/test_share.c
tests_unit_test_share_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_share_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_share_LDADD = $(UNIT_LDADD)

tests_unit_test_fdlist_SOURCES = tests/unit/test_fdlist.c
tests_unit_test_fdlist_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fdlist_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_fdlist_LDADD = $(UNIT_LDADD)

tests_unit_test_cow_policy_SOURCES = tests/unit/test_cow_policy.c \
	tests/unit/test_cow_fixture.h
tests_unit_test_cow_policy_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cow_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cow_policy_LDADD = $(UNIT_LDADD)

tests_unit_test_cow_child_SOURCES = tests/unit/test_cow_child.c \
	tests/unit/test_cow_fixture.h
tests_unit_test_cow_child_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cow_child_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cow_child_LDADD = $(UNIT_LDADD)

tests_unit_test_cow_faults_SOURCES = tests/unit/test_cow_faults.c \
	tests/unit/test_cow_fixture.h
tests_unit_test_cow_faults_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cow_faults_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cow_faults_LDADD = $(UNIT_LDADD)

# No Criterion in this one.
tests_unit_test_cow_race_SOURCES = tests/unit/test_cow_race.c
tests_unit_test_cow_race_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_cow_race_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cow_race_LDADD = tests/unit/libshimcore.a

tests_unit_test_faults_SOURCES = tests/unit/test_faults.c
tests_unit_test_faults_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_faults_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_faults_LDADD = $(UNIT_LDADD)

tests_unit_test_fmt_SOURCES = tests/unit/test_fmt.c
tests_unit_test_fmt_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_fmt_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_fmt_LDADD = $(UNIT_LDADD)

tests_unit_test_glob_SOURCES = tests/unit/test_glob.c
tests_unit_test_glob_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_glob_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_glob_LDADD = $(UNIT_LDADD)

tests_unit_test_history_SOURCES = tests/unit/test_history.c
tests_unit_test_history_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_history_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_history_LDADD = $(UNIT_LDADD)

tests_unit_test_heap_SOURCES = tests/unit/test_heap.c \
	tests/unit/test_heap_fixture.h
tests_unit_test_heap_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_LDADD = $(HEAP_UNIT_LDADD)

tests_unit_test_heap_arena_SOURCES = tests/unit/test_heap_arena.c \
	tests/unit/test_heap_fixture.h
tests_unit_test_heap_arena_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_arena_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_arena_LDADD = $(HEAP_UNIT_LDADD)

tests_unit_test_heap_cache_SOURCES = tests/unit/test_heap_cache.c \
	tests/unit/test_heap_fixture.h
tests_unit_test_heap_cache_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_cache_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_cache_LDADD = $(HEAP_UNIT_LDADD)

tests_unit_test_heap_class_SOURCES = tests/unit/test_heap_class.c
tests_unit_test_heap_class_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_class_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_class_LDADD = $(HEAP_UNIT_LDADD)

tests_unit_test_heap_early_SOURCES = tests/unit/test_heap_early.c \
	tests/unit/test_heap_fixture.h
tests_unit_test_heap_early_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_early_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_early_LDADD = $(HEAP_UNIT_LDADD)

tests_unit_test_heap_faults_SOURCES = tests/unit/test_heap_faults.c \
	tests/unit/test_heap_fixture.h
tests_unit_test_heap_faults_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_faults_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_faults_LDADD = $(HEAP_UNIT_LDADD)

tests_unit_test_heap_owner_SOURCES = tests/unit/test_heap_owner.c \
	tests/unit/test_heap_fixture.h
tests_unit_test_heap_owner_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_owner_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_owner_LDADD = $(HEAP_UNIT_LDADD)

# No Criterion in this one.
tests_unit_test_heap_race_SOURCES = tests/unit/test_heap_race.c
tests_unit_test_heap_race_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_race_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_race_LDADD = src/heap/jemalloc.o \
	tests/unit/libshimcore.a

tests_unit_test_heap_window_SOURCES = tests/unit/test_heap_window.c \
	tests/unit/test_heap_fixture.h
tests_unit_test_heap_window_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_heap_window_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_heap_window_LDADD = $(HEAP_UNIT_LDADD)

tests_unit_test_index_SOURCES = tests/unit/test_index.c
tests_unit_test_index_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_index_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_index_LDADD = $(UNIT_LDADD)

tests_unit_test_lock_SOURCES = tests/unit/test_lock.c
tests_unit_test_lock_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_lock_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_lock_LDADD = $(UNIT_LDADD)

tests_unit_test_log_SOURCES = tests/unit/test_log.c
tests_unit_test_log_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_log_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_log_LDADD = $(UNIT_LDADD)

tests_unit_test_module_SOURCES = tests/unit/test_module.c
tests_unit_test_module_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_module_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_module_LDADD = $(UNIT_LDADD)

tests_unit_test_name_SOURCES = tests/unit/test_name.c
tests_unit_test_name_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_name_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_name_LDADD = $(UNIT_LDADD)

tests_unit_test_namer_SOURCES = tests/unit/test_namer.c
tests_unit_test_namer_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_namer_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_namer_LDADD = $(UNIT_LDADD)

tests_unit_test_own_SOURCES = tests/unit/test_own.c
tests_unit_test_own_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_own_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_own_LDADD = $(UNIT_LDADD)

tests_unit_test_procmaps_SOURCES = tests/unit/test_procmaps.c
tests_unit_test_procmaps_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_procmaps_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_procmaps_LDADD = $(UNIT_LDADD)

# No Criterion in this one.
tests_unit_test_race_SOURCES = tests/unit/test_race.c
tests_unit_test_race_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_race_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_race_LDADD = tests/unit/libshimcore.a

tests_unit_test_region_SOURCES = tests/unit/test_region.c
tests_unit_test_region_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_region_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_region_LDADD = $(UNIT_LDADD)

tests_unit_test_registry_SOURCES = tests/unit/test_registry.c
tests_unit_test_registry_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_registry_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_registry_LDADD = $(UNIT_LDADD)

tests_unit_test_site_SOURCES = tests/unit/test_site.c
tests_unit_test_site_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_site_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_site_LDADD = $(UNIT_LDADD)

tests_unit_test_skip_SOURCES = tests/unit/test_skip.c
tests_unit_test_skip_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_skip_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_skip_LDADD = $(UNIT_LDADD)

tests_unit_test_snapshot_SOURCES = tests/unit/test_snapshot.c \
	tests/unit/test_cow_fixture.h
tests_unit_test_snapshot_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_snapshot_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_snapshot_LDADD = $(UNIT_LDADD)

tests_unit_test_stack_SOURCES = tests/unit/test_stack.c
tests_unit_test_stack_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_stack_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_stack_LDADD = $(UNIT_LDADD)
tests_unit_test_string_SOURCES = tests/unit/test_string.c src/base/string.c
tests_unit_test_string_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_string_CFLAGS = $(UNIT_CFLAGS) -fno-builtin -fvisibility=hidden
tests_unit_test_string_LDADD = $(UNIT_LDADD)

tests_unit_test_symbol_SOURCES = tests/unit/test_symbol.c
tests_unit_test_symbol_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_symbol_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_symbol_LDADD = $(UNIT_LDADD)

tests_unit_test_symtab_SOURCES = tests/unit/test_symtab.c
tests_unit_test_symtab_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_symtab_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_symtab_LDADD = $(UNIT_LDADD)

tests_unit_test_sync_SOURCES = tests/unit/test_sync.c
tests_unit_test_sync_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_sync_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_sync_LDADD = $(UNIT_LDADD)

tests_unit_test_sys_SOURCES = tests/unit/test_sys.c
tests_unit_test_sys_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_sys_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_sys_LDADD = $(UNIT_LDADD)

tests_unit_test_table_SOURCES = tests/unit/test_table.c
tests_unit_test_table_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_table_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_table_LDADD = $(UNIT_LDADD)

tests_unit_test_track_SOURCES = tests/unit/test_track.c
tests_unit_test_track_CPPFLAGS = $(UNIT_CPPFLAGS)
tests_unit_test_track_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_track_LDADD = $(UNIT_LDADD)

tests_unit_test_cfi_SOURCES = tests/unit/test_cfi.c
tests_unit_test_cfi_CPPFLAGS = $(UNIT_CPPFLAGS) $(ORACLE_CPPFLAGS)
tests_unit_test_cfi_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_cfi_LDADD = $(UNIT_LDADD) $(ORACLE_LIBS)

tests_unit_test_unwind_SOURCES = tests/unit/test_unwind.c
tests_unit_test_unwind_CPPFLAGS = $(UNIT_CPPFLAGS) $(ORACLE_CPPFLAGS)
tests_unit_test_unwind_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_unwind_LDADD = $(UNIT_LDADD) $(ORACLE_LIBS)

tool_unit_tests = \
	tests/unit/test_tool_alias \
	tests/unit/test_tool_attribute \
	tests/unit/test_tool_elf_core \
	tests/unit/test_tool_fork_policy \
	tests/unit/test_tool_heap \
	tests/unit/test_tool_label \
	tests/unit/test_tool_process \
	tests/unit/test_tool_registry_read \
	tests/unit/test_tool_rows \
	tests/unit/test_tool_smaps \
	tests/unit/test_tool_split \
	tests/unit/test_tool_subject \
	tests/unit/test_tool_target \
	tests/unit/test_tool_text \
	tests/unit/test_tool_vma

tests_unit_test_tool_alias_SOURCES = tests/unit/test_tool_alias.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_alias_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_alias_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_attribute_SOURCES = tests/unit/test_tool_attribute.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_attribute_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_attribute_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_elf_core_SOURCES = tests/unit/test_tool_elf_core.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_elf_core_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_elf_core_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_fork_policy_SOURCES = tests/unit/test_tool_fork_policy.c
tests_unit_test_tool_fork_policy_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_fork_policy_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_heap_SOURCES = tests/unit/test_tool_heap.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_heap_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_heap_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_label_SOURCES = tests/unit/test_tool_label.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_label_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_label_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_process_SOURCES = tests/unit/test_tool_process.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_process_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_process_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_registry_read_SOURCES = \
	tests/unit/test_tool_registry_read.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_registry_read_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_registry_read_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_rows_SOURCES = tests/unit/test_tool_rows.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_rows_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_rows_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_smaps_SOURCES = tests/unit/test_tool_smaps.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_smaps_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_smaps_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_split_SOURCES = tests/unit/test_tool_split.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_split_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_split_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_subject_SOURCES = tests/unit/test_tool_subject.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_subject_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_subject_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_target_SOURCES = tests/unit/test_tool_target.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_target_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_target_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_text_SOURCES = tests/unit/test_tool_text.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_text_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_text_LDADD = $(TOOL_UNIT_LDADD)

tests_unit_test_tool_vma_SOURCES = tests/unit/test_tool_vma.c \
	tests/unit/test_tool_fixture.h
tests_unit_test_tool_vma_CFLAGS = $(UNIT_CFLAGS)
tests_unit_test_tool_vma_LDADD = $(TOOL_UNIT_LDADD)

# The oracle of the rules and of the walks.
if HAVE_LIBUNWIND
ORACLE_CPPFLAGS = -DHAVE_LIBUNWIND
ORACLE_LIBS = -lunwind-x86_64 -lunwind
endif

# A module to load and unload, as it is and without its symbols.
# Not by libtool, which knows modules only for installing them.
PLUGIN_SOURCE = $(srcdir)/tests/unit/plugin.c
PLUGIN_LINK = $(CC) $(CPPFLAGS) $(AM_CFLAGS) $(CFLAGS) -O0 -fPIC -shared

tests/unit/plugin.so: tests/unit/plugin.c
	$(AM_V_CCLD)$(MKDIR_P) tests/unit && $(PLUGIN_LINK) \
		-Wl,-soname,libplugin.so.7 -o $@ $(PLUGIN_SOURCE)

tests/unit/plugin_stripped.so: tests/unit/plugin.c
	$(AM_V_CCLD)$(MKDIR_P) tests/unit && $(PLUGIN_LINK) -s \
		-o $@ $(PLUGIN_SOURCE)

# Two of one size, with other names.
tests/unit/plugin_many.so: tests/unit/plugin_many.c
	$(AM_V_CCLD)$(MKDIR_P) tests/unit && $(PLUGIN_LINK) \
		-DSHOWN=many_shown_ -DHIDDEN=many_hidden_ \
		-o $@ $(srcdir)/tests/unit/plugin_many.c

tests/unit/plugin_more.so: tests/unit/plugin_many.c
	$(AM_V_CCLD)$(MKDIR_P) tests/unit && $(PLUGIN_LINK) \
		-DSHOWN=more_shown_ -DHIDDEN=more_hidden_ \
		-o $@ $(srcdir)/tests/unit/plugin_many.c

unit_plugins = tests/unit/plugin.so tests/unit/plugin_stripped.so \
	tests/unit/plugin_many.so tests/unit/plugin_more.so
check_DATA += $(unit_plugins)
CLEANFILES += $(unit_plugins)

check_PROGRAMS += $(shim_unit_tests) $(tool_unit_tests)
TESTS += $(shim_unit_tests) $(tool_unit_tests)

endif
