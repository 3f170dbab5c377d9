# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Snapshots of shared memory read as the memory did when they were taken,
# whatever is written, and by whom, and whatever becomes of it.
#
# What checks that is run where there is no protection too, with a snapshot that
# is one more mapping and nothing else: there it has to find that out.

# snapshots COMMAND...: exits with 0 under the shim, and nothing is said.
snapshots() {
	needs_watch
	status with "${options:-}" "$victims/$1" "${@:2}" 2>err >out </dev/null
	cat out err
	((status != 77)) || skip "$(tail -n 1 err)"
	equal "$status" 0 "exit status"
	[[ ! -s err ]] || fail "something on standard error: $(head -n 1 err)"
}

# wrong COMMAND...: says what is not as it should be, and exits with 1.
wrong() {
	status with "${options:-}" "$victims/$1" "${@:2}" 2>err >out </dev/null
	cat out err
	equal "$status" 1 "exit status where it has to fail"
	[[ -s err ]] || fail "fails and does not say why"
}

# Everything at random --------------------------------------------------------

# at_random KIND FIRST LAST STEPS
at_random() {
	local seed

	for ((seed = $2; seed <= $3; seed++)); do
		snapshots snapshot_model "$seed" "$4" "$1"
	done
}

test_a_region() { at_random region 1 "$(less 3 30)" 400; }
test_a_memfd() { at_random memfd 1 "$(less 3 30)" 400; }
test_anonymous_memory() { at_random anonymous 1 "$(less 3 30)" 400; }

test_many_seeds() { # 600 s
	heavy
	local kind

	for kind in region memfd anonymous; do
		at_random "$kind" 1000 1100 1500
	done
}

test_copies_at_fork() { # 120 s
	local options

	for options in copy=eager naming=registry heap=off; do
		at_random region 50 "$(less 51 55)" 400
	done
}

test_the_model_finds_aliases_out() {
	local kind

	for kind in memfd anonymous; do
		wrong snapshot_model 1 400 "$kind" alias
	done
}

test_no_protection() {
	needs_watch
	wrong unprotected "$victims/snapshot_model" 1 400 region
	wrong unprotected "$victims/snapshot_order" 100
}

# Many ------------------------------------------------------------------------

test_hundreds() { snapshots snapshot_many 300 64 100 100; }

# As the issue has it; 5 GiB of memory.
test_ten_thousand_of_a_gibibyte() { # 1200 s
	heavy
	(($(awk '/^MemAvailable/ { print $2 }' /proc/meminfo) > 7 << 20)) ||
		skip "not enough memory"
	snapshots snapshot_many 10000 1024 100 1000
}

test_a_hundred_deep() { snapshots snapshot_keep deep; }

# Order -----------------------------------------------------------------------

test_four_threads_write() { snapshots snapshot_order "$(less 100 1000)"; }

test_four_threads_write_for_long() { # 300 s
	heavy
	snapshots snapshot_order 30000
}

test_threads_write_while_rights_go() {
	snapshots snapshot_order "$(less 100 500)" rights
}

test_the_order_of_an_alias_is_wrong() { wrong snapshot_order 1000 alias; }

# Who writes ------------------------------------------------------------------

test_read() { snapshots snapshot_kernel read; }
test_readv() { snapshots snapshot_kernel readv; }
test_pread() { snapshots snapshot_kernel pread; }
test_o_direct() { snapshots snapshot_kernel direct; }
test_io_uring() { snapshots snapshot_kernel ring; }
test_process_vm_writev() { snapshots snapshot_kernel vm; }
test_a_pipe() { snapshots snapshot_kernel pipe; }
test_a_socket() { snapshots snapshot_kernel socket; }
test_getrandom() { snapshots snapshot_kernel random; }
test_what_is_appended() { snapshots snapshot_files appends; }
test_what_is_printed() { snapshots snapshot_files prints; }
test_what_is_refused() { snapshots snapshot_files refuses; }
test_files_that_grew() { snapshots snapshot_files grew; }
test_files_that_grow_unseen() { snapshots snapshot_files grows; }

# What becomes of it ----------------------------------------------------------

test_memory_that_is_gone() { snapshots snapshot_keep gone; }
test_memory_that_is_mapped_over() { snapshots snapshot_keep over; }
test_forks() { snapshots snapshot_keep forks; }
test_thousands_of_views() { snapshots snapshot_keep many; }
test_all_is_locked() { snapshots snapshot_keep all; }
test_message_queues() { snapshots snapshot_keep queue; }
test_locked_memory() { snapshots snapshot_keep locked; }
test_holes_of_views() { snapshots snapshot_keep holes; }
test_no_proc() { snapshots snapshot_keep chroot; }
test_memory_that_grows() { snapshots snapshot_keep grows; }
test_views_that_are_shared() {
	needs_watch
	status with '' "$victims/snapshot_keep" share 2>err
	cat err
	equal "$status" 0 "exit status"
	equal "$(grep -vc CLONE_FILES err)" 0 "lines of anything else"
}
test_released_twice() { snapshots snapshot_keep twice; }

# The right to see writes goes: it is said, and nothing else.
test_another_user() {
	needs_watch
	[[ $(sysctl -n vm.unprivileged_userfaultfd 2>/dev/null) == 0 ]] ||
		skip "everybody may see writes"
	status with '' "$victims/snapshot_keep" user 2>err
	cat err
	((status != 77)) || skip "$(tail -n 1 err)"
	equal "$status" 0 "exit status"
	one_line err
	contains err "anonshim: snapshots: "
}

test_a_sandbox() {
	needs_watch
	status with '' "$victims/snapshot_keep" sandbox 2>err
	cat err
	((status != 77)) || skip "$(tail -n 1 err)"
	equal "$status" 0 "exit status"
}

# Limits ----------------------------------------------------------------------

test_address_space() { snapshots snapshot_limits as; }
test_descriptors() { snapshots snapshot_limits nofile; }

test_not_permitted() {
	options=assume=uffd=0 snapshots snapshot_limits refused
}

test_an_ordinary_user() {
	needs_root
	needs setpriv
	[[ $(sysctl -n vm.unprivileged_userfaultfd 2>/dev/null) == 0 ]] ||
		skip "everybody may see writes"
	status with '' setpriv --reuid "$nobody" --regid "$nobody" \
		--clear-groups "$victims/snapshot_limits" refused 2>err
	cat err
	equal "$status" 0 "exit status"
}

# The interface ---------------------------------------------------------------

test_errors() { snapshots snapshot_api errors; }
test_limit_on_files() { snapshots snapshot_api limited; }
test_changes() { snapshots snapshot_api changes; }
test_watch() { snapshots snapshot_api watch; }
test_stats() { snapshots snapshot_api stats; }
test_protect() { snapshots snapshot_api protect; }
test_a_descriptor_that_is_passed() { snapshots snapshot_api passed; }
test_a_descriptor_over_exec() { snapshots snapshot_api exec; }

test_a_report() {
	needs_watch
	start with '' "$victims/snapshot_api" wait
	shows "rss(owner='anonshim', name='anonshim: snapshots') == 48 * 4" \
		"rss(owner='snapshot_api', kind='snapshot') == 20 * 4" \
		"rss(name='snapshot_api: snapshot waits') == 20 * 4"
}

test_the_example() {
	snapshots snapshot_list 2000
	contains out "2000 snapshots of 64 MiB"
	without "$victims/snapshot_list" >out || fail "it needs the shim"
	contains out "anonshim is not there"
	without "$victims/snapshot_list_linked" 500 >out || fail "linked"
	contains out "500 snapshots of 64 MiB"
}
