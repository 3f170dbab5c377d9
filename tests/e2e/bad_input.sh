# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# What cannot work says so in one line, and nothing is lost.

# complains STATUS TEXT COMMAND...
complains() {
	local wanted=$1 text=$2

	shift 2
	status "$@" >stdout 2>err
	cat err
	equal "$status" "$wanted" "exit status"
	one_line err
	contains err "$text"
	contains err "anonshim: "
	[[ ! -s stdout ]] || fail "something on standard output"
}

test_usage() {
	complains 2 "no PID" "$anonshim" report 12x
	complains 2 "no PID" "$anonshim" report -- -5
	complains 2 "--by" "$anonshim" report --by colour 1
	complains 2 "--help" "$anonshim" report --frobnicate
	complains 2 "one PID" "$anonshim" report 1 2
	complains 2 "" "$anonshim" frobnicate
	complains 2 "key=value" "$anonshim" run -o verbose true
	complains 2 "command" "$anonshim" run
	complains 2 "" "$anonshim" explain
}

test_no_arguments() {
	status "$anonshim" >stdout 2>err
	equal "$status" 2 "exit status"
	"$anonshim" --help >help
	for command in run report explain doctor; do
		contains help "anonshim $command"
		"$anonshim" "$command" --help >help2
		contains help2 "usage: anonshim $command"
	done
}

test_pid_that_is_gone() {
	sleep 0 &
	local gone=$!
	wait "$gone"
	complains 1 "$gone" "$anonshim" report "$gone"
	complains 1 "" "$anonshim" report 2147483647
}

test_kernel_thread() {
	grep -q kthreadd /proc/2/comm 2>/dev/null || skip "no kthreadd"
	complains 1 "thread of the kernel" "$anonshim" report 2
}

test_zombie() {
	(sleep 0 & exec sleep 30) &
	local parent=$! zombie=
	started+=("$parent")
	while [[ ! $zombie ]]; do
		zombie=$(awk '/State:\tZ/ { z = 1 } /^Pid:/ && z { print $2 }
			/^PPid:/ { if (z && $2 != p) exit }' p="$parent" \
			"/proc/$(cut -d ' ' -f 1 \
				"/proc/$parent/task/$parent/children" \
				2>/dev/null)/status" 2>/dev/null) || :
	done
	complains 1 "" "$anonshim" report "$zombie"
}

test_process_of_another_user() {
	needs_root
	needs setpriv
	start with '' "$victims/map_names" plain
	[[ -x $anonshim ]] || skip "no anonshim"
	setpriv --reuid "$nobody" --clear-groups test -r "$anonshim" ||
		skip "the build tree is closed to others"
	complains 1 "root" setpriv --reuid "$nobody" --regid "$nobody" \
		--clear-groups "$anonshim" report "$pid"
	# and one's own is fine
	stop
	rm out # it says that another is ready
	setpriv --reuid "$nobody" --regid "$nobody" --clear-groups \
		env LD_PRELOAD="$shim" "$victims/map_names" plain >out 2>&1 &
	pid=$!
	started+=("$pid")
	await out ready
	setpriv --reuid "$nobody" --regid "$nobody" --clear-groups \
		"$anonshim" report "$pid" --json --by name >report.json ||
		fail "no report on one's own process"
	holds "size(name='map_names: mmap site_plain') == 148"
	holds "r['total']['rss_kib'] == kernel('Rss')"
}

# undumpable: not even one's own may be read
test_process_that_may_not_be_read() {
	needs_root
	needs setpriv
	setpriv --reuid "$nobody" --regid "$nobody" --clear-groups \
		"$victims/map_names" plain undumpable >out 2>&1 &
	pid=$!
	started+=("$pid")
	await out ready
	complains 1 "root" setpriv --reuid "$nobody" --regid "$nobody" \
		--clear-groups "$anonshim" report "$pid"
}

test_process_that_ends_while_it_is_read() { # 120 s
	local i ended=0 whole=0

	for ((i = 0; i < $(less 10 80); i++)); do
		rm -f out
		env LD_PRELOAD="$shim" "$victims/ends_soon" $((i % 40)) >out &
		pid=$!
		await out ready
		status "$anonshim" report "$pid" --json >report.json 2>err
		if ((status == 0)); then
			whole=$((whole + 1))
			"$python" -ISc 'import json
json.load(open("report.json"))' || fail "half a report"
		else
			equal "$status" 1 "exit status"
			one_line err
			[[ ! -s report.json ]] || fail "a report beside it"
			ended=$((ended + 1))
		fi
		wait "$pid" || :
	done
	echo "$whole reports, $ended ended"
}

scribbled() {


	start with '' "$victims/scribbles" "$1"
	status timeout 20 "$anonshim" report "$pid" --json --by name \
		>report.json 2>err
	cat err
	((status == 0 || status == 1)) || fail "exit status $status, $1"
	((status == 1)) || holds "r['total']['rss_kib'] == kernel('Rss')"
	((status == 1)) || holds "r['total']['rss_kib'] == rss()"
	status timeout 20 "$anonshim" explain "$pid" --tsv >listed 2>err2
	((status == 0 || status == 1)) || fail "explain: $status, $1"
	stop
}

test_damaged_registry() {
	local what

	for what in head magic pointer tables; do
		scribbled "$what"
		[[ -s err ]] || fail "nothing said of a damaged registry: $what"
	done
}

test_damaged_registry_at_random() {
	slow
	local seed

	for ((seed = 1; seed <= $(less 5 40); seed++)); do
		scribbled "$seed"
	done
}
