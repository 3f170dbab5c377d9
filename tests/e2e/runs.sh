# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# anonshim run.

test_exit_status() {
	for wanted in 0 3 125 255; do
		status "$anonshim" run -- "$victims/exits" "$wanted" >out
		equal "$status" "$wanted" "exit status"
		contains out "shim 1"
	done
}

test_exit_by_signal() {
	status "$anonshim" run "$victims/exits" 0 15 >out
	equal "$status" 143 "status after SIGTERM"
	"$python" -IS - "$anonshim" "$victims/exits" <<-'EOF' || fail "signal"
		import subprocess, sys
		command = [sys.argv[1], "run", sys.argv[2], "0", "9"]
		sys.exit(subprocess.call(command) != -9)
	EOF
}

test_same_pid() {
	"$anonshim" run -- "$victims/exits" >out &
	local mine=$!
	wait "$mine"
	contains out "pid $mine user"
	contains out "shim 1"
}

test_output_is_the_program_s_only() {
	"$anonshim" run "$victims/exits" >out 2>err
	[[ ! -s err ]] || fail "something on standard error"
	one_line out
}

test_options() {
	"$anonshim" run -o verbose=1 -o depth=3 -- "$victims/exits" >out 2>err
	contains err "depth=3 (ANONSHIM_OPTIONS)"
	ANONSHIM_OPTIONS=depth=4,bss=0 "$anonshim" run -o verbose=1 \
		-o depth=3 "$victims/exits" >out 2>err
	contains err "depth=3 (ANONSHIM_OPTIONS)"
	contains err "bss=0 (ANONSHIM_OPTIONS)"
	one_line out
	"$anonshim" run -o help=1 "$victims/exits" >out 2>err
	contains err "naming="
	one_line out
}

test_arguments_are_passed_on() {
	"$anonshim" run printf '%s|' a 'b c' -- -o x=y --help >out
	echo -n 'a|b c|--|-o|x=y|--help|' >wanted
	same out wanted "arguments"
}

test_surroundings() {
	without "$victims/state" | grep -v "^environment _=" >plain
	"$anonshim" run "$victims/state" |
		grep -v "^environment _=" >shimmed
	same shimmed plain "what the program sees"
}

test_keeps_another_preload() {
	LD_PRELOAD=$libraries/lib_ctor.so "$anonshim" run \
		cat /proc/self/maps >maps
	contains maps lib_ctor.so
	contains maps libanonshim.so
}

test_by_path_search() {
	PATH=$victims:$PATH "$anonshim" run exits 4 >out && status=0 ||
		status=$?
	equal "$status" 4 "exit status"
	contains out "shim 1"
}

test_static_program() {
	status "$anonshim" run "$victims/statically" >out 2>err
	equal "$status" 5 "exit status"
	contains out static
	one_line err
	contains err "statically linked"
}

test_setuid_program() {
	needs_root
	needs setpriv
	cp "$victims/exits" setuid
	chown 0:0 setuid
	chmod 4755 setuid
	setpriv --reuid "$nobody" --regid "$nobody" --clear-groups \
		"$anonshim" run ./setuid 6 >out 2>err && status=0 || status=$?
	grep -q 'user 0 ' out || skip "this file system ignores set-user-ID"
	equal "$status" 6 "exit status"
	contains out "shim 0"
	one_line err
	contains err "set-user-ID"
	# as root there is nothing to be secure about
	"$anonshim" run ./setuid >out 2>err
	contains out "shim 1"
	[[ ! -s err ]] || fail "complains for root"
}

test_script() {
	printf '#!/bin/sh\n"%s" 8\n' "$victims/exits" >script
	chmod +x script
	status "$anonshim" run ./script a b >out 2>err
	equal "$status" 8 "exit status"
	contains out "shim 1"
	[[ ! -s err ]] || fail "something on standard error"
}

test_script_of_a_static_interpreter() {
	printf '#!%s\n' "$victims/statically" >script
	chmod +x script
	status "$anonshim" run ./script >out 2>err
	equal "$status" 5 "exit status"
	contains err "statically linked"
}

test_not_found() {
	status "$anonshim" run no-such-program 2>err
	equal "$status" 127 "exit status"
	one_line err
	contains err no-such-program
	status "$anonshim" run ./no/such/path 2>err
	equal "$status" 127 "exit status"
	one_line err
	printf '#!/no/such/interpreter\n' >script
	chmod +x script
	status "$anonshim" run ./script 2>err
	equal "$status" 127 "exit status"
	one_line err
}

test_not_executable() {
	echo text >file
	status "$anonshim" run ./file 2>err
	equal "$status" 126 "exit status"
	one_line err
	status "$anonshim" run . 2>err
	equal "$status" 126 "exit status of a directory"
	chmod +x file
	mkdir dir
	status "$anonshim" run ./dir 2>err
	equal "$status" 126 "exit status of a directory"
}

test_path_with_a_space() {
	mkdir 'a dir'
	cp "$victims/exits" 'a dir/my exits'
	status "$anonshim" run 'a dir/my exits' 2 >out 2>err
	equal "$status" 2 "exit status"
	contains out "shim 1"
}

# The loader takes a blank for a separator: told, not run without the shim.
test_shim_in_a_path_with_a_space() {
	mkdir 'a dir'
	cp "$anonshim" "$shim" 'a dir/'
	status 'a dir/anonshim' run "$victims/exits" >out 2>err
	if ((status == 0)); then
		contains out "shim 1"
	else
		equal "$status" 125 "exit status"
		one_line err
		contains err "a dir"
	fi
}

test_standard_streams_closed() {
	status "$anonshim" run "$victims/exits" 3 <&- >&- 2>&-
	equal "$status" 3 "exit status"
}

test_run_nested() {
	status "$anonshim" run "$anonshim" run "$victims/exits" 9 >out 2>err
	equal "$status" 9 "exit status"
	contains out "shim 1"
	[[ ! -s err ]] || fail "something on standard error"
}
