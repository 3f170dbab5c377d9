# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# What the library shows to the loader.

listed() {
	sed -n '/global:/,/local:/p' "$E2E_DIR/../../src/shim/exports.map" |
		sed -nE 's/^[[:space:]]+([A-Za-z_0-9]+);.*/\1/p' | sort
}

exported() {
	nm -D --defined-only "$1" | awk '{ print $3 }' | sort
}

test_exports_are_the_list() {
	needs nm
	listed >wanted
	exported "$shim" >got
	(($(wc -l <wanted) > 5)) || fail "the list was not read"
	same got wanted "the list of exported names"
	# and a library that exports anything else is seen
	exported "$libraries/lib_bss.so" >other
	! cmp -s other wanted || fail "any library would do"
}

test_needs_libc_only() {
	needs readelf
	readelf -d "$shim" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
		grep -v '^ld-linux' >needed
	echo libc.so.6 >wanted
	same needed wanted "NEEDED"
}

test_no_executable_stack_no_text_relocations() {
	needs readelf
	readelf -lW "$shim" | grep GNU_STACK >stack
	contains stack "RW "
	readelf -d "$shim" >dynamic
	lacks dynamic TEXTREL
	contains dynamic INITFIRST
}
