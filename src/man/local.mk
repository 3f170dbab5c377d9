# SPDX-License-Identifier: BSD-2-Clause
# Manual pages.  Two of them hold the table of options, which is made from
# src/wire/options.def: their sources have a line that stands for it.
noinst_PROGRAMS += src/man/options-table
src_man_options_table_SOURCES = src/man/options-table.c src/wire/options.def

man_sources = src/man/anonshim.1 src/man/anonshim.7
dist_man_MANS = \
	src/man/anonshim_available.3 \
	src/man/anonshim_name.3 \
	src/man/anonshim_region_alias.3 \
	src/man/anonshim_region_create.3 \
	src/man/anonshim_region_destroy.3 \
	src/man/anonshim_region_fd.3 \
	src/man/anonshim_region_protect.3 \
	src/man/anonshim_set_fork.3 \
	src/man/anonshim_snapshot_changes.3 \
	src/man/anonshim_snapshot_release.3 \
	src/man/anonshim_snapshot_stats.3 \
	src/man/anonshim_snapshot_take.3 \
	src/man/anonshim_snapshot_view.3 \
	src/man/anonshim_snapshot_watch.3 \
	src/man/anonshim_stats.3 \
	src/man/anonshim_version.3
nodist_man_MANS = src/man/built/anonshim.1 src/man/built/anonshim.7
EXTRA_DIST += $(man_sources)
CLEANFILES += $(nodist_man_MANS) src/man/built/options

src/man/built/options: src/man/options-table$(EXEEXT)
	$(AM_V_at)$(MKDIR_P) src/man/built
	$(AM_V_GEN)src/man/options-table$(EXEEXT) >$@.tmp && mv $@.tmp $@

put_options = $(AM_V_GEN)$(SED) \
	-e '/^\.\\" OPTIONS-TABLE/{' -e 'r src/man/built/options' -e 'd' -e '}'

src/man/built/anonshim.1: src/man/anonshim.1 src/man/built/options
	$(put_options) $(srcdir)/src/man/anonshim.1 >$@.tmp && mv $@.tmp $@

src/man/built/anonshim.7: src/man/anonshim.7 src/man/built/options
	$(put_options) $(srcdir)/src/man/anonshim.7 >$@.tmp && mv $@.tmp $@
