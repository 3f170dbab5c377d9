# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# Reports add up to what the kernel says, in every shape.

# A process that stands still: what it has does not change between two looks.
freeze() {
	start with '' "$@"
	kill -STOP "$pid"
	soon grep -q 'State:.T' "/proc/$pid/status"
}

# adds_up [EXPRESSION...]: and these hold. Files' PSS follows the processes that
# come and go meanwhile.
adds_up() {
	local field sums=()

	for field in rss size swap; do
		sums+=("r['total']['${field}_kib'] == $field()")
	done
	holds "${sums[@]}" \
		"r['total']['rss_kib'] == kernel('Rss')" \
		"r['total']['swap_kib'] == kernel('Swap')" \
		"r['anonymous']['rss_kib'] == anonymous()" \
		"r['named_kib'] + r['heap_stack_kib'] + r['unattributed_kib'] \
			== r['anonymous']['rss_kib']" \
		"abs(kernel('Pss') - r['total']['pss_kib']) \
			<= r['total']['vmas'] + kernel('Pss') // 3" \
		"pss(name=re(': mmap ')) <= rss(name=re(': mmap '))" \
		"$@"
}

test_by_every_key() {
	local by

	freeze "$victims/map_names" plain
	for by in owner site kind name; do
		report --by "$by"
		adds_up "r['by'] == '$by' and r['schema_version'] == 1" \
			"r['pid'] == $pid and r['comm'] == 'map_names'"
	done
}

test_shared_and_remapped() {
	local way

	for way in shared alias dontunmap partial; do
		freeze "$victims/map_names" "$way"
		report --by name
		adds_up
		stop
	done
}

test_threads_and_libraries() {
	freeze "$victims/thread_stack" cached
	report --by site
	adds_up
	stop
	freeze "$victims/bss" "$libraries/lib_bss.so"
	report --by site
	adds_up
}

test_a_process_without_the_shim() {
	start without "$victims/map_names" plain
	kill -STOP "$pid"
	"$anonshim" report "$pid" --json >report.json 2>err
	contains err "does not run under anonshim"
	one_line err
	adds_up "rss(owner='[heap]') >= 0 and rss(owner='[stack]') >= 0" \
		"r['unattributed_kib'] >= 148"
}

# libc's malloc was interrupted where its own records do not agree.
test_in_the_midst_of_malloc() {
	start with heap=off "$victims/in_malloc"
	shows "rss(owner='libc.so.6', site='malloc arena') >= 1024"
	holds "r['unattributed_kib'] == 0"
}

test_a_process_with_another_shell_of_anon_names() {
	needs_names
	start without "$victims/own_name" ''
	shows "size(name='mine: my own name') == 148"
}

# Nothing stands still here: the report is of one moment as far as it goes,
# and adds up in itself.
test_of_a_busy_process() {
	local i

	start with '' "$victims/busy"
	for ((i = 0; i < $(less 3 20); i++)); do
		"$anonshim" report "$pid" --by name --json >report.json 2>err ||
			{ cat err; fail "no report"; }
		(($(wc -l <err) <= 1)) || { cat err; fail "many words"; }
		holds "r['total']['rss_kib'] == rss()" \
			"r['total']['size_kib'] == size()" \
			"rss(name='busy: mmap site_busy') > 1000"
	done
	kill -STOP "$pid"
	report --by name
	adds_up "r['unattributed_kib'] <= 4"
}

test_sixty_thousand_vmas() {
	slow
	start with '' "$victims/many_vmas" "$(less 20000 60000)"
	kill -STOP "$pid"
	"$python" -IS - "$anonshim" "$pid" <<-'EOF' || fail "memory"
		import resource, subprocess, sys
		with open("report.json", "wb") as out:
		    subprocess.run([sys.argv[1], "report", sys.argv[2],
		                    "--json", "--by", "name"],
		                   stdout=out, check=True)
		kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
		print("report took", kib, "KiB")
		sys.exit(kib >= 100 * 1024)
	EOF
	adds_up "vmas() >= $(less 20000 60000)" \
		"size(name='many_vmas: mmap map_one') == \
			$(less 20000 60000) * 4"
}

test_json_is_json_for_odd_names() {
	cp "$victims/map_names" $'a "b\\c\t\xff\xc3\xa9'
	start with '' ./a* plain
	report --by name
	holds "size(name=re('site_plain')) == 148"
	holds "all(0x20 <= ord(c) < 0x7f for row in r['rows'] \
		if row['kind'] == 'mmap' for c in row['name'])"
	"$anonshim" report "$pid" --tsv --by name >tsv
	awk -F '\t' 'NF != 11 { exit 1 }' tsv || fail "a line of tsv is torn"
	"$anonshim" report "$pid" >table
	! grep -q $'[\x01-\x08\x0b-\x1f\x7f]' table || fail "controls in table"
}

test_tsv() {
	freeze "$victims/map_names" plain
	"$anonshim" report "$pid" --tsv --by name >tsv
	head -n 1 tsv >first
	printf 'owner\tkind\tsite\tname\trss_kib\tpss_kib\tswap_kib\t%s\n' \
		$'size_kib\tvmas\tlive_kib\testimate' >wanted
	same first wanted
	report --by name
	local sum
	sum=$(awk -F '\t' 'NR > 1 { sum += $5 } END { print sum }' tsv)
	holds "r['total']['rss_kib'] == $sum"
	contains tsv $'\tmap_names: mmap site_plain\t148\t148\t0\t148\t'
}

test_table() {
	freeze "$victims/map_names" plain
	"$anonshim" report "$pid" >table
	contains table "process $pid (map_names), names from the"
	contains table "map_names"
	grep -vE '^(~ .*)?$' table | tail -n 1 >last # no footnote
	contains last total
	! grep -q $'\x1b' table || fail "colours outside a terminal"
	"$anonshim" report "$pid" --by site >table
	grep -q '148K .* map_names *mmap *site_plain' table ||
		fail "no row for site_plain"
}

test_nothing_to_write_to() {
	freeze "$victims/map_names" plain
	status "$anonshim" report "$pid" --json >/dev/full 2>err
	equal "$status" 1 "exit status"
	one_line err
	contains err "No space left"
}

test_report_without_pid() {
	not_in_lab
	start with '' "$victims/map_names" plain
	status "$anonshim" report >out2 2>err
	if ((status == 0)); then
		contains out2 "process $pid"
	else
		contains err anonshim:
	fi
}

test_explain() {
	local address

	start with '' "$victims/map_names" plain
	address=$(sed -n 's/address //p' out)
	"$anonshim" explain "$pid" "0x$address" >explained
	contains explained "map_names: mmap site_plain"
	contains explained main
	"$anonshim" explain "$pid" "map_names: mmap site_plain" >explained
	contains explained site_plain
	status "$anonshim" explain "$pid" 0x10 2>err
	equal "$status" 1 "exit status"
	one_line err
	"$anonshim" explain "$pid" --tsv >listed
	awk -F '\t' -v at="$address" '
		NR == 1 { if ($1 != "start" || NF != 6) exit 1 }
		index($1, at) && index($5, "site_plain") { seen = 1 }
		END { exit !seen }' listed || fail "explain --tsv: no row"
}

test_doctor() {
	"$anonshim" doctor >checked
	contains checked "names of VMAs"
	"$anonshim" doctor --json >checked.json
	"$python" -IS -c 'import json; json.load(open("checked.json"))' ||
		fail "no JSON"
	if [[ $E2E_NAMES ]]; then
		grep -q '^ok *names of VMAs' checked || fail "names are not ok"
	else
		grep -q '^limited *names of VMAs' checked || fail "not limited"
		contains checked CONFIG_ANON_VMA_NAME
	fi
	# every option of the list is explained
	sed -n 's/^OPTION([a-z_]*, "\([^"]*\)".*/\1/p' \
		"$E2E_DIR/../../src/wire/options.def" >options
	(($(wc -l <options) > 8)) || fail "options.def was not read"
	while read -r key; do contains checked "$key"; done <options
}
