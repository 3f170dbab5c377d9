# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# The registry is what the kernel has: tests/victims/random_map.c.

random_map() {
	LD_PRELOAD=$shim "$victims/random_map" "$@"
}

test_one_thread() { # 300 s
	random_map 1 "$(less 5000 100000)" 1
}

test_four_threads() { # 300 s
	slow
	random_map 2 "$(less 10000 100000)" 4
	[[ $E2E_LAB ]] || random_map 3 100000 4
}

test_without_procmap_query() { # 300 s
	slow
	ANONSHIM_OPTIONS=assume=procmap=0 random_map 4 "$(less 2000 20000)" 2
}

test_nearly_out_of_vmas() { # 300 s
	slow
	ANONSHIM_OPTIONS=max-vmas=1% random_map 5 "$(less 2000 20000)" 4
}

# What goes on behind the shim's back is seen: the comparison can fail.
test_sabotage_is_seen() {
	local what

	for what in map unmap; do
		if random_map --sabotage="$what" 6 1000 1 >out; then
			fail "sabotage=$what went unseen"
		fi
	done
	[[ ! $E2E_NAMES ]] || ! random_map --sabotage=name 6 1000 1 >out ||
		fail "sabotage=name went unseen"
}
