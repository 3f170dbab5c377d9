# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Lazy copies: forks that copy nothing, and whose children have all the same
# what was there. Each check fails without the shim and with fork=none.

# lazily HOW TIMES [MIB], with $options too
lazily() {
	needs_watch
	status with copy=lazy${options:+,$options} "$victims/fork_lazy" "$@" \
		2>err
	cat err
	equal "$status" 0 "exit status"
	[[ ! -s err ]] || fail "something on standard error"
}

# only_lazily HOW TIMES [MIB]: and it can fail.
only_lazily() {
	status without "$victims/fork_lazy" "$@" 2>err
	equal "$status" 1 "exit status without the shim"
	status with fork=none "$victims/fork_lazy" "$@" 2>err
	equal "$status" 1 "exit status with fork=none"
	lazily "$@"
}

test_nobody_writes() { only_lazily quiet "$(less 3 50)"; }
test_four_threads_write() { only_lazily writers "$(less 5 100)"; }
test_children_of_children() { only_lazily again "$(less 3 20)"; }
test_holes_stay() { only_lazily holes "$(less 3 20 3)" "$(less 64 1024)"; }
test_many_at_once() { only_lazily stopped 6 64; }
test_sparse_memory() { only_lazily sparse 5; }
test_sparse_memory_with_swap() {
	local options=assume=mincore=0

	lazily sparse 5
}
test_memory_that_grows() { only_lazily grows 2; }
test_writes_here_and_there() { only_lazily here "$(less 20 200)" 64; }
test_a_crowd_that_forks() { lazily crowd 20; }
test_odd_mappings() { only_lazily odd 1; }
test_memory_that_is_only_open() { only_lazily closed 20; }
test_memory_that_is_locked() { only_lazily locked 10; }
test_files_of_a_child() { lazily files 1; }
test_children_that_exec() { lazily exec "$(less 5 50)"; }
test_children_are_killed() { lazily child "$(less 5 50)"; }
test_parents_are_killed() { only_lazily parent "$(less 5 50)"; }

test_no_protection() {
	needs_watch
	status with copy=lazy "$victims/unprotected" \
		"$victims/fork_lazy" writers 5 2>err
	cat err
	equal "$status" 1 "exit status where nothing is protected"
	contains err behind
}

# What copies have for themselves is nobody's memory, and not copied.
test_many_of_all() {
	local options=fork=all,max-copy=1M

	lazily stopped 6 64
}

test_a_thousand_forks() { # 300 s
	heavy
	lazily writers 1000 8
}

test_five_hundred_killed() { # 300 s
	heavy
	lazily parent 500 8
	lazily child 500 8
}

# What protection does not cover ends the copy first.
test_aliases_at_random() { # 180 s
	local seed

	for seed in 1 2 3; do
		status with copy=lazy "$victims/fork_alias" lazy "$seed" \
			"$(less 20 100)" 2>err
		cat err
		equal "$status" 0 "exit status"
	done
}

# passes HOW [LINES]: a descriptor is used where nobody is told; so many lines
# say that the copy is not lazy.
passes() {
	needs_watch
	status with fork=none "$victims/fork_passes" "$1" 1 2>err
	[[ $status != 77 ]] || skip "$(cat err)"
	equal "$status" 1 "exit status with fork=none"
	status with copy=lazy "$victims/fork_passes" "$1" "$(less 3 20)" 2>err
	cat err
	equal "$status" 0 "exit status"
	equal "$(grep -c '^anonshim: fork: .* its copy is not lazy' err)" \
		"${2:-0}" "lines said"
}

test_descriptor_of_a_file() { passes file 1; }
test_descriptor_of_a_program() { passes spawn; }
test_descriptor_that_seeks() { passes seek; }
test_memory_as_a_file() { passes mem; }
test_descriptor_in_a_system_call() { passes syscall; }
test_descriptor_cut_by_name() { passes cut; }
test_descriptor_of_a_ring() { passes ring 1; }
test_namespace_that_is_left() { passes leave; }
test_descriptor_of_another_process() { passes sent 1; }

test_room_is_made() { passes room; }
test_descriptor_that_is_printed_to() { passes print; }
test_file_of_a_parent() { passes wrap 1; }
test_file_by_name() { passes name; }
test_files_about_itself() { passes look; }
test_descriptor_of_a_thread() { passes aio 1; }

test_region_with_another_alias() {
	needs_watch
	status with copy=lazy "$victims/fork_passes" alias "$(less 3 20)"
	equal "$status" 0 "exit status"
}

test_descriptor_that_is_kept() {
	needs_watch
	status with copy=lazy "$victims/fork_passes" keep "$(less 3 20)"
	equal "$status" 0 "exit status"
}

test_program_in_memory() {
	local options

	for options in "" copy=eager copy=lazy; do
		status with "$options" "$victims/fork_passes" run 1 2>err
		cat err
		equal "$status" 0 "exit status, $options"
	done
}

# each_lazily VICTIM STATUS WHICH...: 0 under the shim, STATUS without.
each_lazily() {
	local which

	needs_watch
	for which in "${@:3}"; do
		status without "$victims/$1" "$which"
		equal "$status" "$2" "exit status without the shim: $which"
		status with copy=lazy "$victims/$1" "$which"
		equal "$status" 0 "exit status: $which"
	done
}

# What the parent has a thread for from its first lazy copy on does not keep it.
test_processes_end() { each_lazily fork_exits 0 clone first exit thread; }

test_pinned_pages() {
	each_lazily fork_pins 1 vmsplice spliced direct registered
}

# Where there may be none, that is said once, and the copy is made at once.
test_not_permitted() {
	status with copy=lazy,assume=uffd=0 "$victims/fork_lazy" quiet 5 2>err
	cat err
	equal "$status" 0 "exit status"
	equal "$(grep -c '^anonshim: fork: ' err)" 1 "lines said"
}
