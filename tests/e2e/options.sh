# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# ANONSHIM_OPTIONS.

# says OPTIONS [TEXT]: on standard error, and the program goes on.
says() {
	with "$1" "$victims/exits" 3 >out 2>err && status=0 || status=$?
	cat err
	equal "$status" 3 "exit status"
	one_line out
	contains out "shim 1"
	[[ ! ${2:-} ]] || contains err "$2"
}

test_silent_by_default() {
	with '' "$victims/exits" >out 2>err
	[[ ! -s err ]] || fail "not silent"
	one_line out
}

test_unknown_key() {
	says namming=auto "namming"
	one_line err
	contains err "did you mean naming?"
	says depht=3 "did you mean depth?"
	says verbos "did you mean verbose?"
	says xyzzyplugh=1 "unknown"
	lacks err "did you mean"
	says "$(head -c 5000 /dev/zero | tr '\0' x)=1" unknown
	says $'na\e[31mme=1' unknown
	! grep -q $'\x1b' err || fail "controls reach the terminal"
}

test_bad_value() {
	says depth=0 "1 to 32"
	one_line err
	contains err "default 8"
	says depth=33 "depth"
	says depth=x "depth"
	says depth=-1 "depth"
	says depth= "depth"
	says depth=99999999999999999999999 "depth"
	says enable=maybe "0 or 1"
	says naming=loudly "auto|kernel|registry|off"
	says max-vmas=0% "1 to 90"
	says max-vmas=91 "default 50%"
	says name= "1 to 64"
	says "name=$(head -c 65 /dev/zero | tr '\0' x)" "1 to 64"
	says stacks "stacks"
}

test_defaults_stay_in_force() {
	says depth=99,verbose=1 "depth=8 (default)"
	says naming=loudly,verbose=1 "naming=auto (default)"
	says depth=9,depth=99,verbose=1 "depth=9"
}

test_several_at_once() {
	says ,,depth=2,,bogus=1,verbose=1, "depth=2 (ANONSHIM_OPTIONS)"
	contains err bogus
}

listed_options() {
	sed -n 's/^OPTION([a-z_]*, "\([^"]*\)".*/\1/p' \
		"$E2E_DIR/../../src/wire/options.def"
}

test_help_lists_every_option() {
	says help=1 "ANONSHIM_OPTIONS"
	(($(listed_options | wc -l) > 8)) || fail "options.def was not read"
	while read -r key; do
		contains err "  $key="
	done < <(listed_options)
	contains err "1 to 32 frames, default 8"
}

test_verbose_prints_every_option() {
	says verbose=1,depth=3 "depth=3 (ANONSHIM_OPTIONS)"
	while read -r key; do
		contains err "option $key="
	done < <(listed_options)
	contains err "kernel: "
}

test_log() {
	says "log=$PWD/log,depth=77"
	[[ ! -s err ]] || fail "written to stderr too"
	contains log "1 to 32"
	# appended to, not truncated
	says "log=$PWD/log,depth=78"
	equal "$(wc -l <log)" 2 "lines"
	# where it cannot be written, the program goes on
	with "log=/no/such/dir/log,depth=77" "$victims/exits" >out
	contains out "shim 1"
}

test_options_inherited() {
	with depth=77 sh -c "$victims/exits; $victims/exits" >out 2>err
	equal "$(wc -l <out)" 2 "lines"
	contains err "1 to 32"
}

# Under AT_SECURE the variable is another user's word.
test_ignored_when_secure() {
	needs_root
	needs setpriv
	cp "$victims/secure" secure
	chown 0:0 secure
	chmod 4755 secure
	setpriv --reuid "$nobody" --regid "$nobody" --clear-groups \
		env "ANONSHIM_OPTIONS=help=1,log=$PWD/log" ./secure >out 2>err
	grep -q 'secure 1' out || skip "this file system ignores set-user-ID"
	contains out "shim 1"
	[[ ! -s err && ! -e log ]] || fail "options were read under AT_SECURE"
	# and would have been read otherwise
	env ANONSHIM_OPTIONS=help=1 ./secure >out 2>err
	contains out "secure 0"
	contains err "depth="
}
