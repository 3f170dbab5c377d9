# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Programs do under the shim what they do without, odd ones too.

test_surroundings() {
	unchanged "$victims/state"
	sabotaged fd "$victims/state"
	sabotaged mask "$victims/state"
	sabotaged env "$victims/state"
	sabotaged stdout "$victims/state"
	sabotaged status "$victims/state"
}

test_surroundings_with_descriptors_closed() {
	unchanged sh -c "exec 0<&- 5</dev/null; exec $victims/state"
	unchanged sh -c "exec 2>&-; exec $victims/state"
}

test_errno_and_results() {
	unchanged "$victims/errnos"
	sabotaged errno "$victims/errnos"
	sabotaged result "$victims/errnos"
	for options in naming=registry depth=1 stacks=0 assume=names=1; do
		unchanged "$victims/errnos"
	done
}

closes_case() {
	options=$2 fine "$victims/closes_all" "$1"
	printf 'before\nafter\n' >wanted
	for file in zero one two; do same "$file" wanted; done
}

test_all_descriptors_closed() {
	for how in closefrom range loop; do closes_case "$how" ''; done
}

# Messages that come late do not go into what is descriptor 2 then.
test_late_messages_do_not_reach_the_program_s_files() {
	closes_case range max-vmas=1,assume=names=1
	closes_case range "log=$PWD/log,verbose=1,max-vmas=1,assume=names=1"
	start with assume=names=1,max-vmas=1 "$victims/many_vmas" 5000 gaps
	contains out "nears vm.max_map_count"
}

test_no_descriptor_ever_open_again() {
	fine "$victims/closes_all" none_open
}

test_chroot() {
	needs_root
	mkdir -m 755 empty
	start with '' "$victims/chroots" "$PWD/empty"
	# the function's name is in a file that is out of reach
	shows "size(name=re('chroots: mmap')) >= 148"
	contains out ready
	one_line out
}

test_daemon() {
	(with '' "$victims/daemonises" new pid) || fail "did not daemonise"
	soon test -e pid
	pid=$(cat pid)
	started+=("$pid")
	shows "size(name='daemonises: mmap site_daemon') == 148"
	holds "r['pid'] == $pid"
}

test_exec_of_itself() { fine "$victims/execs_itself" "$(less 10 100)"; }

test_two_hundred_threads() { # 120 s
	slow
	fine "$victims/many_threads"
}

test_mmap_in_a_signal_handler() { # 120 s
	heavy # signals would leave no time for anything else there
	fine "$victims/in_handler" plain
}

test_mmap_in_a_handler_on_another_stack() { # 120 s
	heavy # signals would leave no time for anything else there
	fine "$victims/in_handler" altstack
}

test_jump_out_of_a_signal_handler() { # 120 s
	heavy # signals would leave no time for anything else there
	fine "$victims/in_handler" jump
}

test_handlers_and_threads() { # 120 s
	heavy # signals would leave no time for anything else there
	fine "$victims/in_handler" threads
}

test_small_stacks() {
	local way

	for options in '' depth=32 assume=procmap=0; do
		for way in thread 'coroutine 4096' 'altstack 8192'; do
			# shellcheck disable=SC2086 # words they are
			fine "$victims/small_stack" $way
		done
	done
}

test_vfork_spawn_system() { fine "$victims/spawns"; }
test_raw_calls() { fine "$victims/raw_calls"; }

# The children keep names and registry; what they map is theirs.
forked() {
	local child

	start with '' "$victims/forks" "$1"
	child=$(sed -n 's/child //p' out | tr -d '\r')
	started+=("$child")
	pid=$child
	report --by name
	holds "r['pid'] == $child"
	holds "size(name='forks: mmap site_before') == 148"
	holds "size(name='forks: mmap site_after') == 296"
	holds "r['total']['rss_kib'] == kernel('Rss')"
	[[ ! $E2E_NAMES ]] || holds "names()['forks: mmap site_before'] == 148"
	[[ ! $E2E_NAMES ]] || holds "names()['forks: mmap site_after'] == 296"
	pid=${started[0]}
	shows "size(name='forks: mmap site_before') == 148"
	holds "size(name='forks: mmap site_after') == 0"
}

test_fork() { forked fork; }
test_underscore_fork() { forked _Fork; }
test_raw_fork() { forked raw; }
test_clone_without_vm() { forked clone; }
test_forkpty() { forked forkpty; }

test_child_gets_its_pid_in_names() {
	start with 'name=%o %s %p' "$victims/forks" fork
	pid=$(sed -n 's/child //p' out)
	started+=("$pid")
	shows "size(name='forks site_after $pid') == 296"
}

test_fork_while_others_map() { # 180 s
	slow
	fine "$victims/fork_storm" "$(less 30 1000)"
}

test_raw_fork_while_others_map() { # 180 s
	heavy
	fine "$victims/fork_storm" 200 raw
}

test_underscore_fork_while_others_map() { # 180 s
	heavy
	fine "$victims/fork_storm" 200 _Fork
}

test_address_space_limit() {
	for kib in 40000 100000; do
		plain=$(ulimit -v $kib && "$victims/limited")
		shimmed=$(ulimit -v $kib && with '' "$victims/limited")
		equal "$shimmed" "$plain" "under a limit of $kib KiB"
	done
	[[ $plain == *"full 1"* ]] || fail "the limit was not met: $plain"
}

# Just enough for the program itself.
test_address_space_limit_at_start() {
	local kib failed=0

	for ((kib = 2000; kib < 12000; kib += 250)); do
		(ulimit -v $kib && "$victims/exits") >plain 2>&1 || continue
		# what the shim is, and no room for a heap of its own
		(
			ulimit -v $((kib + 4096))
			LD_PRELOAD=$shim "$victims/exits"
		) >shimmed 2>&1 || { cat shimmed; failed=$kib; }
	done
	((!failed)) || fail "does not start with $failed KiB and four MiB more"
}

test_data_limit() {
	plain=$(ulimit -d 20000 && "$victims/limited")
	shimmed=$(ulimit -d 20000 && with '' "$victims/limited")
	equal "$shimmed" "$plain" "under RLIMIT_DATA"
}

test_descriptor_limit() {
	for most in 0 3; do fine "$victims/no_files" "$most"; done
	(exec >out 2>&1 && ulimit -n 4 && with '' "$victims/exits")
	contains out "pid "
}

test_seccomp_filter() {
	fine "$victims/sandboxed"
	fine "$victims/sandboxed" raw
	fine "$victims/sandboxed" thread
	fine "$victims/sandboxed" malloc
	# the filter does kill
	status "$victims/sandboxed" dlopen
	((status >= 128)) || fail "the filter lets anything through"
}

test_cancelled_asynchronously() { # 120 s
	slow
	status with '' "$victims/cancelled" "$(less 20 300)" async
	plain=$(
		status "$victims/cancelled" "$(less 20 300)" async
		echo "$status"
	)
	equal "$status" "$plain" "exit status"
}

test_cancelled() { # 120 s
	fine "$victims/cancelled" "$(less 10 100)"
}

test_cxx_exceptions() {
	compiled throws
	start with '' "$victims/throws"
	contains out ready
}

two_preloads() {
	LD_PRELOAD="$1" VICTIM_SHIM=1 "$victims/two_preloads" >out 2>&1 &
	pid=$!
	started+=("$pid")
	await out ready
	shows "size(name='two_preloads: mmap site_two') == 148"
	contains out "other saw 100"
	contains out "of the clock 0"
	stop
}

test_other_interposer_behind() {
	two_preloads "$shim $libraries/lib_mmap_next.so"
}

test_other_interposer_before() {
	two_preloads "$libraries/lib_mmap_next.so $shim"
}

test_program_with_its_own_mmap() {
	start with '' "$victims/own_mmap"
	report --by name
	holds "r['total']['rss_kib'] == kernel('Rss')"
	contains out ready
}

test_deepbind() {
	start with '' "$victims/loads_deep" "$libraries/lib_ctor.so"
	report --by name
	holds "r['total']['rss_kib'] == kernel('Rss')"
}

# The loader searches the RUNPATH of who calls dlopen().
test_dlopen_by_runpath() {
	needs gcc
	mkdir sub
	echo 'int deep(void) { return 7; }' >deep.c
	gcc -shared -fPIC -o sub/libdeep.so deep.c
	cat >host.c <<-'EOF'
	#include <dlfcn.h>
	#include <stdio.h>
	int main(void)
	{
		void *handle = dlopen("libdeep.so", RTLD_NOW);
		int (*deep)(void) = handle ? dlsym(handle, "deep") : 0;

		return printf("%d\n", deep ? deep() : -1) < 0;
	}
	EOF
	# shellcheck disable=SC2016 # the loader's word
	gcc -o host host.c -Wl,--enable-new-dtags,-rpath,'$ORIGIN/sub'
	unchanged ./host
	equal "$(cat shim.out)" 7 "what the library says"
}

test_shim_preloaded_twice() {
	cp "$shim" ./libother.so
	LD_PRELOAD="$shim ./libother.so" "$victims/map_names" plain >out 2>&1 &
	pid=$!
	started+=("$pid")
	await out ready
	shows "size(name=re('site_plain')) >= 148"
}

test_shell_tools() {
	seq 20000 >numbers
	unchanged sh -c "sort -rn numbers | awk '{s += \$1} END {print s}'"
	unchanged tar -C "$E2E_DIR" --sort=name -cf - .
	unchanged find "$E2E_DIR" -name '*.sh' -newer /nonexistent
	unchanged ls -l /nonexistent
	unchanged pwd
	sabotaged stdout pwd
}

# What the shim has for itself is never where a program is about to map.
test_ranges_that_are_mapped_anew() {
	local pages options

	for pages in 1 4 16 64; do
		for options in '' naming=registry heap=off copy=lazy; do
			status with "$options" "$victims/maps_again" "$pages"
			equal "$status" 0 "exit status: $pages pages, $options"
		done
	done
}
