# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# The limit of VMAs that names come near to.

# What calls at vm.max_map_count came to, $1 under the shim and $2 without: the
# same, or better, for names taken back let VMAs merge.
no_worse() {
	paste -d '|' "$1" "$2" | awk -F '|' '
		$1 != $2 && $1 !~ / works$/ { print "worse: " $0; bad = 1 }
		END { exit bad || !NR }' >&2 || fail "worse at the limit"
}

# At vm.max_map_count the program gets what it would get without the shim.
test_map_count_reached() { # 240 s
	heavy
	(($(cat /proc/sys/vm/max_map_count) < 100000)) ||
		skip "vm.max_map_count is high"
	without "$victims/many_vmas" >plain
	for options in '' max-vmas=90 naming=registry assume=names=1; do
		with "$options" "$victims/many_vmas" >shimmed 2>err
		cat err
		same shimmed plain "at the limit"
	done
}

test_map_count_reached_with_names() { # 600 s, alone
	needs_names
	[[ $E2E_LAB ]] || skip "changes a sysctl"
	before=$(cat /proc/sys/vm/max_map_count)
	trap 'echo "$before" >/proc/sys/vm/max_map_count; clean_up' EXIT
	echo 30000 >/proc/sys/vm/max_map_count
	without "$victims/many_vmas" >plain
	for options in '' max-vmas=90; do
		with "$options" "$victims/many_vmas" >shimmed 2>err || :
		cat err
		no_worse shimmed plain
	done
}
