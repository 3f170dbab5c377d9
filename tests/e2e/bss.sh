# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Zeroed data of programs and libraries.

library=$libraries/lib_bss.so

test_of_the_program() {
	start with '' "$victims/bss"
	[[ ! $E2E_NAMES ]] || also=("names()['bss: bss'] >= 37 * 8 * 4")
	shows "rss(name='bss: bss') >= 37 * 8 * 4" ${also[@]+"${also[@]}"}
}

test_after_dlopen() {
	start with '' "$victims/bss" "$library"
	shows "37 * 16 * 4 <= rss(name='lib_bss.so: bss') < 37 * 16 * 4 + 64"
	[[ ! $E2E_NAMES ]] || holds "names()['lib_bss.so: bss'] >= 37 * 16 * 4"
}

# The registry itself, without the tool's own knowledge of files.
test_registry_has_it() {
	start with '' "$victims/bss" "$library"
	"$anonshim" explain "$pid" --tsv >listed
	contains listed "lib_bss.so: bss"
	contains listed "bss: bss"
	stop
	start with bss=0 "$victims/bss" "$library"
	"$anonshim" explain "$pid" --tsv >listed
	lacks listed "lib_bss.so: bss"
}

test_after_dlclose() {
	start with '' "$victims/bss" "$library" close
	shows "size(name='lib_bss.so: bss') == 0"
	holds "size(name='bss: bss') > 0"
	"$anonshim" explain "$pid" --tsv >listed
	lacks listed "lib_bss.so: bss"
}

test_bss_off() {
	needs_names
	start with bss=0 "$victims/bss"
	report
	holds "'bss: bss' not in names()"
}
