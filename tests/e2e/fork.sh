# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Forks of programs that map shared memory at several addresses: the child's is
# its own, and whoever means to share still does.
#
# What tells private from shared memory is run without the shim and with
# fork=none as well, where it has to fail: `own`. All is run as root, if this is
# root, and as an ordinary user, who may not hold threads that write.

as=()

# As an ordinary user, all that follows in this test.
ordinary() {
	if ((EUID == 0)); then
		type -P setpriv >/dev/null || return 1
		as=(setpriv --reuid "$nobody" --regid "$nobody" --clear-groups)
		chmod 777 .
	fi
}

# quiet COMMAND...: exits with 0 under the shim, and nothing is said, but that
# copies are not lazy where they cannot be.
quiet() {
	status with "${options:-}" ${as[@]+"${as[@]}"} "$@" \
		2>err >out </dev/null
	cat err
	((status != 77)) || skip "$(tail -n 1 err)"
	equal "$status" 0 "exit status${as[0]:+ as an ordinary user}"
	! grep -v '^anonshim: fork: .* laz[iy]' err ||
		fail "something on standard error: $(head -n 1 err)"
}

# fails COMMAND...: it says why and exits with 1.
fails() {
	status "$@" 2>err >out </dev/null
	((status != 77)) || skip "$(tail -n 1 err)"
	cat err
	equal "$status" 1 "exit status where it has to fail"
	[[ -s err ]] || fail "fails and does not say why"
}

# everyone COMMAND...: quiet, whoever asks.
everyone() {
	as=()
	quiet "$@"
	! ordinary || quiet "$@"
	as=()
}

# own COMMAND...: a child's memory is its own under the shim, and only there.
own() {
	fails without "$@"
	fails with fork=none "$@"
	everyone "$@"
}

# Topologies ----------------------------------------------------------------

test_aliases_at_random() { # 180 s
	local seed

	for seed in 1 2 3; do
		own "$victims/fork_alias" "$seed" "$(less 20 200 50)"
	done
}

test_thousands_of_topologies() { # 600 s
	heavy
	local seed

	for seed in {11..14}; do
		everyone "$victims/fork_alias" "$seed" 1000
	done
	for seed in {15..18}; do quiet "$victims/fork_alias" "$seed" 1000; done
}

test_a_thousand_forks_in_a_row() { # 300 s
	own "$victims/fork_alias" row 4 "$(less 50 1000 100)"
}

test_many_forks_in_many_rows() { # 300 s
	slow
	local seed

	for seed in {5..9}; do
		everyone "$victims/fork_alias" row "$seed" "$(less 50 1000)"
	done
}

# The checker is right about what it makes: nothing, or all, is private.
test_aliases_left_alone() {
	status without "$victims/fork_alias" 5 200 none
	equal "$status" 0 "exit status without the shim"
	options=fork=none everyone "$victims/fork_alias" 5 200 none
	options=enable=0
	status with "$options" env -u VICTIM_SHIM \
		"$victims/fork_alias" 5 50 none
	equal "$status" 0 "exit status under enable=0"
}

test_all_that_has_no_name() { # 120 s
	options=fork=all everyone "$victims/fork_alias" 6 "$(less 50 300 100)" \
		all
}

test_aliases_whatever_else_is_on() { # 300 s
	slow
	for options in copy=eager heap=off heap=owner naming=registry \
		stacks=0,bss=0; do
		everyone "$victims/fork_alias" 7 200
	done
}

# Threads --------------------------------------------------------------------

# in_order HOW FORKS: no child sees what threads write in another order.
in_order() {
	as=()
	fails without "$victims/fork_order" "$@"
	fails with fork=none "$victims/fork_order" "$@"
	! may_watch || quiet "$victims/fork_order" "$@"
	# where they cannot be held it is said, once
	ordinary || return 0
	status with "${options:-}" ${as[@]+"${as[@]}"} "$victims/fork_order" \
		"$@" loose 2>err >out
	cat err
	equal "$status" 0 "exit status as an ordinary user"
	if [[ -s err ]]; then
		one_line err
		contains err "anonshim: fork: "
	fi
}

test_threads_that_store() { # 120 s
	in_order store "$(less 10 100)"
}
test_threads_that_pwrite() { # 120 s
	in_order pwrite "$(less 10 100)"
}
test_threads_that_read_into_it() { # 120 s
	in_order kernel "$(less 10 100)"
}
test_threads_one_after_another() { # 120 s
	in_order chain "$(less 10 100)"
}
test_threads_that_map() { # 120 s
	in_order maps "$(less 10 100)"
}

test_threads_that_fork() { # 120 s
	in_order forks "$(less 10 100)"
}
test_threads_that_come_and_go() { # 120 s
	in_order threads "$(less 10 100)"
}
test_threads_that_lock_files() { # 30 s
	in_order files "$(less 10 100)"
}

test_threads_that_close_descriptors() { # 60 s
	fails without "$victims/fork_churn" 100
	fails with fork=none "$victims/fork_churn" 100
	status with '' "$victims/fork_churn" "$(less 300 2000)"
	equal "$status" 0 "exit status"
}

# Nothing is copied: the heap's locks are enough.
test_threads_that_read_files() { # 60 s
	status with '' "$victims/fork_stdio" "$(less 100 1000)"
	equal "$status" 0 "exit status"
}

test_threads_across_a_thousand_forks() { # 600 s
	heavy
	local how

	for how in store pwrite kernel chain maps forks threads files; do
		if may_watch; then
			quiet "$victims/fork_order" "$how" 1000
		else
			in_order "$how" 1000
		fi
	done
}

# Ways to fork ---------------------------------------------------------------

# ways NAME...: each is a way of fork_ways.
ways() {
	local way

	for way; do
		own "$victims/fork_ways" "$way"
	done
}

# As where threads cannot be held: whoever forks among them is told so.
ways_of_threads() {
	local way

	for way; do
		fails without "$victims/fork_ways" "$way"
		fails with fork=none "$victims/fork_ways" "$way"
		status with "" "$victims/fork_ways" "$way"
		equal "$status" 0 "exit status of $way"
	done
}

test_functions_that_fork() { ways fork _Fork forkpty daemon clone; }
test_calls_that_fork() {
	ways raw_clone raw_clone_tid raw_clone3 raw_clone3_pidfd
	! "$victims/fork_ways" | grep -qx raw_fork || ways raw_fork
}
test_calls_into_namespaces() { ways raw_clone_namespaces; }

# It shares its descriptors with its parent: so it shares memory, and is told.
test_clone_with_one_table() {
	status with "" "$victims/fork_ways" raw_clone_files 2>err
	equal "$status" 0 "exit status"
	one_line err
	contains err CLONE_FILES
}

test_fork_in_a_thread() { ways_of_threads thread thread_Fork thread_raw; }
# Without the shim both sides run on one stack, and anything may happen.
on_a_stack() {
	right_or_told timeout 20 "$victims/fork_ways" "$1"
	[[ $status != 124 ]] || fail "it waits for itself"
}

test_fork_on_a_stack_mapped_twice() { # 20 s
	on_a_stack thread_stack
}
test_fork_in_a_coroutine_mapped_twice() { # 20 s
	on_a_stack coroutine_stack
}
test_children_of_children() { ways generations generations_raw; }
test_fork_in_a_handler() { ways handler handler_Fork handler_raw; }
test_fork_in_the_midst_of_malloc() { ways in_malloc in_malloc_Fork; }
test_fork_in_the_midst_of_mapping() {
	ways in_mapping in_mapping_Fork in_mapping_raw
}

test_every_way_is_tried() {
	"$victims/fork_ways" | sort >known
	sed -n '/^test_functions_that_fork/,/^test_every_way/p' \
		"$E2E_DIR/fork.sh" >said
	while read -r way; do
		grep -qw -- "$way" said || fail "nobody tries $way"
	done <known
}

test_handlers_of_fork() { # 120 s
	local how

	for how in fork forkpty _Fork raw; do
		own "$victims/fork_handlers" "$how"
	done
	fails without "$victims/fork_handlers" thread
	status with "" "$victims/fork_handlers" thread
	equal "$status" 0 "exit status in a thread"
}

# Where a copy would be refused nobody asks for one.
test_what_needs_no_copy() {
	fine "$victims/fork_plain"
	status with max-copy=64K "$victims/fork_plain" copies 2>err
	equal "$status" 0 "exit status"
	one_line err
	contains err "anonshim: fork: "
	contains err max-copy
	status without "$victims/fork_plain" copies 2>err
	equal "$status" 1 "exit status where fork cannot fail"
}

# What stays shared ----------------------------------------------------------

# stays OBJECT...: natively too.
stays() {
	local object

	for object; do
		status without "$victims/fork_shared" "$object" shared
		((status != 77)) || continue
		equal "$status" 0 "exit status of $object without the shim"
		everyone "$victims/fork_shared" "$object" shared
		status with "${options:-}" "$victims/fork_shared" "$object" \
			private 2>/dev/null
		equal "$status" 1 "exit status if $object were private"
	done
}

becomes() {
	local object

	for object; do own "$victims/fork_shared" "$object" private; done
}

exceptions=(future_write future_write_closed named_shm named_file sysv
	received inherited)

test_mapped_once() { stays anon_once anon_moved anon_cut memfd_once apart; }
test_one_mapping_after_another() { stays one_after_another; }
test_number_of_a_file_used_again() { stays reused; }
test_exceptions() { stays "${exceptions[@]}"; }
test_mapped_twice() { becomes anon_twice memfd_twice unlinked_shm; }
test_mapped_twice_once() { becomes unlinked_once; }

test_fork_all() {
	options=fork=all
	becomes anon_once anon_moved anon_cut memfd_once apart \
		one_after_another anon_twice memfd_twice unlinked_once
	stays "${exceptions[@]}"
}

test_fork_none() {
	options=fork=none
	stays anon_once anon_twice memfd_twice unlinked_shm
}

test_private_by_name() {
	options='private=*pool*' becomes memfd_once memfd_twice
	options='private=*pool*' stays anon_once
	options='private=*other*' stays memfd_once
	options='private=x:*pool*:y' becomes memfd_once
}

test_shared_by_name() {
	options='share=*pool*' stays memfd_once memfd_twice
	options='share=*pool*,fork=all' stays memfd_once memfd_twice
	options='share=*other*' becomes memfd_twice
}

# The interface --------------------------------------------------------------

interface() {
	local what

	for what; do
		everyone "$victims/fork_api" "$what"
		everyone "$victims/fork_api_linked" "$what"
	done
}

test_anonshim_set_fork() { interface set_one set_twin set_wrong; }
test_regions() { interface region region_in_a_child region_wrong; }

# What is said comes before every option.
test_anonshim_set_fork_comes_first() {
	options=fork=none everyone "$victims/fork_api" set_one
}

# The example, with the library and without.
test_ring() {
	equal "$(without "$victims/fork_ring")" shared "natively"
	equal "$(with '' "$victims/fork_ring")" private "as a region"
	equal "$(with '' "$victims/fork_ring" hand)" private "by hand"
	equal "$(without "$victims/fork_ring_linked")" private "linked"
	equal "$(with fork=none "$victims/fork_ring" hand)" shared "fork=none"
}

# What is kept ---------------------------------------------------------------

# Beside the contents a child can tell nothing.
test_what_is_kept() {
	unchanged "$victims/fork_keeps"
	unchanged "$victims/fork_keeps" _Fork
	ordinary || return 0
	unchanged "${as[@]}" "$victims/fork_keeps"
}

limits() {
	as=()
	status without "$victims/fork_limits" "$1" 2>/dev/null
	equal "$status" 1 "exit status without the shim"
	everyone "$victims/fork_limits" "$1"
	contains out worked
}

test_out_of_descriptors() {
	limits nofile
	! grep -qE 'worked 0|failed 0' out || fail "not tried: $(cat out)"
}
test_out_of_address_space() {
	limits as
	! grep -qE 'worked 0|failed 0' out || fail "not tried: $(cat out)"
}
test_files_may_not_grow() { limits fsize; }
test_out_of_descriptors_in_a_child() { limits child; }

# right_or_told COMMAND...: a child's memory is its own, or it is said, in a
# line, that it is not.
right_or_told() {
	status with "" "$@" 2>err
	cat err
	if ((status)); then
		equal "$(grep -c '^anonshim: fork: ' err)" 1 "lines said"
	fi
}

test_no_proc() {
	needs_root
	right_or_told "$victims/fork_limits" noproc
}

# In a sandbox nothing forbidden is tried.
test_calls_refused() { right_or_told "$victims/fork_limits" refused; }
test_calls_forbidden() {
	status with "" "$victims/fork_limits" forbidden
	equal "$status" 0 "exit status"
}

test_no_more_processes() {
	needs_root
	as=()
	quiet "$victims/fork_limits" nproc
}

# pages N: so many huge pages, or the test is skipped.
pages() {
	echo "$1" >/proc/sys/vm/nr_hugepages
	(($(cat /proc/sys/vm/nr_hugepages) == $1)) || skip "no huge pages"
}

test_huge_pages() { # 60 s, alone
	needs_root
	[[ -w /proc/sys/vm/nr_hugepages ]] || skip "no huge pages"
	before=$(cat /proc/sys/vm/nr_hugepages)
	((before == 0)) || skip "somebody uses huge pages"
	trap 'echo "$before" >/proc/sys/vm/nr_hugepages; clean_up' EXIT
	pages 6
	fails without "$victims/fork_limits" huge
	quiet "$victims/fork_limits" huge
	pages 3
	status with "" "$victims/fork_limits" huge none 2>err
	equal "$status" 0 "exit status when pages run out"
}

# Pins and code --------------------------------------------------------------

test_pinned_pages() {
	for which in vmsplice spliced direct registered; do
		own "$victims/fork_pins" "$which"
	done
}

test_code_patched_in_a_child() {
	own "$victims/fork_jit"
}
test_code_where_none_may_be_made() {
	own "$victims/fork_jit" mdwe
}
