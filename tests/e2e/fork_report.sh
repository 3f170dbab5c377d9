# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash disable=SC2034,SC2154 # see lib.sh
# What reports tell of a fork; an example that uses the calls about it.

# The example ----------------------------------------------------------------

test_ring_buffer() {
	local program

	for program in ring_buffer ring_buffer_plain; do
		without "$victims/$program" | sort >out
		contains out "child: not its own ring" # or this tests nothing
		with '' "$victims/$program" | sort >out
		printf '%s\n' "child: its own ring" "parent: its own ring" \
			>wanted
		same out wanted "$program"
	done
}

# A region is the program's word, which comes before the option.
test_ring_buffer_without_the_mechanism() {
	not_in_lab
	with fork=none "$victims/ring_buffer" >out
	lacks out "not its own"
	with fork=none "$victims/ring_buffer_plain" >out
	contains out "child: not its own ring"
}

# Alias groups in the report -------------------------------------------------

# group_is FIELD VALUE...: those of the only one.
group_is() {
	local all=("len(r['alias_groups']) == 1 and r['schema_version'] == 1")

	while (($#)); do
		all+=("r['alias_groups'][0]['$1'] == $2")
		shift 2
	done
	holds "${all[@]}"
}

test_of_a_ring() {
	local address

	start with '' "$victims/ring_buffer" wait
	address=$(sed -n 's/address //p' out)
	report
	group_is object "'memfd'" name "'ring'" owner "'ring_buffer'" \
		site "'ring_make'" region True fork "'copied'" \
		size_kib 64 held_kib 64 copy_kib 64
	holds "[m['start'] for m in r['alias_groups'][0]['mappings']] == \
		['$address', format(0x$address + 65536, 'x')]" \
		"all(m['perms'] == 'rw-s' and m['size_kib'] == 64 \
		for m in r['alias_groups'][0]['mappings'])" \
		"r['fork_copy']['objects'] == 1" \
		"r['fork_copy']['copy_kib'] == 64"
	"$anonshim" report "$pid" >table
	contains table "memfd ring, by ring_buffer: ring_make"
	contains table "a fork copies 64K, less than 0.1 ms"
	"$anonshim" explain "$pid" "0x$address" >explained
	contains explained "aliases   of memfd ring, by ring_buffer: ring_make"
	contains explained "fork      a fork copies it, 64K"
}

test_of_shared_anonymous_memory() {
	start with '' "$victims/map_names" alias
	report
	group_is object "'anonymous'" site "'site_alias'" copy_kib 148 \
		rss_kib 148
	holds "len(r['alias_groups'][0]['mappings']) == 2"
}

test_no_aliases_no_groups() {
	not_in_lab
	start with '' "$victims/map_names" shared
	report
	holds "r['alias_groups'] == [] and r['fork_copy']['copy_kib'] == 0"
	"$anonshim" report "$pid" >table
	lacks table "a fork"
}

# What the report says of an option is what the fork does.
test_options() {
	not_in_lab
	start with fork=none "$victims/ring_buffer_plain" wait
	report
	group_is fork "'shared'"
	group_is why "'fork=none'"
	group_is copy_kib 0
	stop
	start with 'share=rin?' "$victims/ring_buffer_plain" wait
	report
	group_is why "'share= lists it'"
	stop
	with 'share=rin?' "$victims/ring_buffer_plain" >out
	contains out "not its own"
	start with 'share=ring_make' "$victims/ring_buffer_plain" wait
	report
	group_is why "'share= lists it'"
	stop
	start with fork=all "$victims/map_names" shared
	report
	group_is why "'fork=all'"
	group_is copy_kib 148
	stop
	start with max-copy=4K "$victims/ring_buffer_plain" wait
	holds_limit
}

holds_limit() {
	report
	holds "r['fork_copy']['max_copy_kib'] == 4"
	"$anonshim" report "$pid" >table
	contains table "more than max-copy, 4K: it fails with ENOMEM"
}

# Not its user's, but root's: what an anonymous object holds is seen by root.
test_as_a_user() {
	not_in_lab
	needs_root
	needs setpriv
	chmod 755 .
	start with '' setpriv --reuid "$nobody" --regid "$nobody" \
		--clear-groups "$victims/map_names" alias
	setpriv --reuid "$nobody" --regid "$nobody" --clear-groups \
		"$anonshim" report "$pid" --json >report.json 2>err ||
		{ cat err; fail "no report"; }
	[[ ! -s err ]] || skip "$(cat err)"
	group_is held_kib None
	group_is at_least True
	group_is copy_kib 148
}

test_without_a_registry_nothing_is_known() {
	not_in_lab
	start without "$victims/ring_buffer" wait
	report 2>err
	holds "r['alias_groups'] is None"
	holds "r['fork_copy']['copy_kib'] is None"
	"$anonshim" report "$pid" >table 2>err
	lacks table "a fork"
}

# It was an alias group once: the program may map its second view again.
test_history() {
	not_in_lab
	start with '' "$victims/fork_told" once
	report
	group_is fork "'copied'"
	holds "len(r['alias_groups'][0]['mappings']) == 1"
	stop
	start with '' "$victims/fork_told" idle
	report
	group_is fork "'copied'"
	group_is copy_kib 148
	group_is mappings '[]'
	stop
	start with '' "$victims/fork_told" gone
	report
	holds "r['alias_groups'] == []"
}

# A name of PR_SET_VMA hides the memfd's in maps, and only there.
test_names_of_mappings() {
	needs_names
	start with '' "$victims/fork_told" named
	shows "size(name='my view') == 296"
	group_is object "'memfd'" name "'told'" fork "'copied'"
	holds "len(r['alias_groups'][0]['mappings']) == 2"
}

# Records of what was at an address are not taken for what is there now.
test_a_place_used_again() {
	start with '' "$victims/fork_told" reused
	report
	holds "not [g for g in r['alias_groups'] if g['fork'] != 'unknown']"
}

test_what_is_shared_and_why() {
	not_in_lab
	start with '' "$victims/fork_told" sealed
	report
	group_is fork "'shared'"
	group_is why "'it is sealed against writing'"
	group_is copy_kib 0
	stop
	start with '' "$victims/fork_told" file
	report
	group_is object "'file'"
	group_is name "'$PWD/told'"
	group_is why "'it has a name that others can open'"
	"$anonshim" report "$pid" >table
	contains table "a fork copies nothing"
}

# One that confined itself: the shim stands aside, and forks share again.
test_of_a_process_that_confined_itself() {
	not_in_lab
	start with '' "$victims/fork_told" confined
	report 2>err
	group_is fork "'unknown'"
	holds "r['fork_copy']['copy_kib'] is None"
}

test_of_a_core_file() {
	local pattern

	not_in_lab
	pattern=$(cat /proc/sys/kernel/core_pattern)
	[[ $pattern == core* ]] || skip "core_pattern is $pattern"
	ulimit -c unlimited 2>/dev/null || skip "no core files"
	status with '' "$victims/fork_told" abort 2>/dev/null
	equal "$status" 134 "exit status of what aborts"
	mv core* core 2>/dev/null || :
	[[ -s core ]] || skip "no core file was written"
	pid=0 subject=(--core core)
	report
	group_is site "'site_view'"
	group_is size_kib 148
	group_is held_kib None
	group_is mappings None
	group_is fork "'unknown'"
	"$anonshim" report --core core >table
	contains table "not known whether a fork copies it"
}

# The doctor -----------------------------------------------------------------

doctor_says() {
	"$@" "$anonshim" doctor --json >doctor.json
	"$python" -IS - <<-'EOF'
		import json
		checks = json.load(open("doctor.json"))["checks"]
		one, = (c for c in checks if c["check"] == "userfaultfd")
		print(one["state"], one["detail"], "->", one["remedy"])
	EOF
}

test_doctor_on_held_writes() {
	not_in_lab
	needs_root
	needs setpriv
	doctor_says env >said
	grep -q '^ok ' said || skip "not even root may: $(cat said)"
	contains said "writes of other threads wait"
	(($(cat /proc/sys/vm/unprivileged_userfaultfd) == 0)) ||
		skip "every user may"
	doctor_says setpriv --reuid "$nobody" --regid "$nobody" \
		--clear-groups >said
	contains said "limited "
	contains said "may be seen halfway"
	contains said "vm.unprivileged_userfaultfd=1"
}
